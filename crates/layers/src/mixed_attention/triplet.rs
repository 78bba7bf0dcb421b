//! Triplet attention: three gates, each over two of the axes channel, row and column.
//!
//! ```text
//! g_d(x) = sigmoid(bn(conv7x7([max_d(x), mean_d(x)])))     d: the axis that is pooled
//! y      = x * (g_h(x) + g_w(x) + g_c(x)) / 3
//! ```
//!
//! Paper: Misra, Nalamada, Arasanipalai, Hou, *Rotate to Attend: Convolutional Triplet Attention
//! Module*, WACV 2021, arXiv:2010.03045. Departures: each axis is pooled where it lies, so nothing is
//! rotated, and the gates are added before they meet the map. Parameters: `3 (2*k*k + 2)`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::spatial_gate::SpatialGateConfig;
use crate::probe::{self, ProbeKind};
use crate::{ConvNormAct, Layer, Module, VarBuilder, Visitor};

const LAYER: &str = "TripletAttention";

/// How to build a [`TripletAttention`].
#[derive(Clone, Debug)]
pub struct TripletAttentionConfig {
    /// Size of the kernels, odd.
    pub kernel: usize,
    /// Whether the gate over rows and columns is left out.
    pub no_spatial: bool,
    /// Momentum of the batch norms.
    pub momentum: f64,
}

impl Default for TripletAttentionConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl TripletAttentionConfig {
    /// The released code's: kernel 7, three gates, momentum 0.01.
    #[must_use]
    pub fn new() -> Self {
        Self {
            kernel: 7,
            no_spatial: false,
            momentum: 0.01,
        }
    }

    /// Sets the size of the kernels.
    #[must_use]
    pub fn kernel(mut self, kernel: usize) -> Self {
        self.kernel = kernel;
        self
    }

    /// Leaves out the gate over rows and columns.
    #[must_use]
    pub fn no_spatial(mut self, no_spatial: bool) -> Self {
        self.no_spatial = no_spatial;
        self
    }

    /// Sets the momentum of the batch norms.
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Builds the module: `cw`, `hc` and `hw`, each with `conv.conv` and `conv.bn`, as in the released
    /// code.
    ///
    /// # Errors
    /// The kernel is even, or the momentum not within 0 and 1.
    pub fn build(&self, vb: &VarBuilder) -> Result<TripletAttention> {
        let spatial = SpatialGateConfig::new()
            .kernel(self.kernel)
            .momentum(self.momentum);
        let gate = |name: &'static str, axis| -> Result<_> {
            Ok(AxisGate {
                name,
                axis,
                conv: spatial.conv(LAYER, &(vb / name / "conv"))?,
            })
        };
        let mut gates = vec![gate("cw", 2)?, gate("hc", 3)?];
        if !self.no_spatial {
            gates.push(gate("hw", 1)?);
        }
        Ok(TripletAttention {
            path: Arc::clone(vb.path()),
            gates,
        })
    }
}

/// The gate over two axes, from the maximum and the mean over the third.
#[derive(Debug)]
struct AxisGate {
    name: &'static str,
    axis: usize,
    conv: ConvNormAct,
}

impl Layer for AxisGate {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("conv", &self.conv);
    }
}

impl AxisGate {
    /// The factors, of size 1 along the pooled axis. The convolution sees the pooled axis exchanged with
    /// the channels.
    fn gate(&self, x: &Tensor) -> Result<Tensor> {
        let dims = [self.axis];
        let pooled = [x.amax(&dims, true)?, x.mean(&dims, true)?];
        let [max, mean] = pooled.map(|map| map.transpose(1, self.axis));
        let maps = Tensor::cat(&[&max?, &mean?], 1)?;
        self.conv.forward(&maps)?.sigmoid()?.transpose(1, self.axis)
    }
}

/// The attention module. Emits the gate over rows and columns as [`ProbeKind::SpatialMap`] and the
/// mean of all as [`ProbeKind::FullGate`].
#[derive(Debug)]
pub struct TripletAttention {
    path: Arc<str>,
    gates: Vec<AxisGate>,
}

impl Layer for TripletAttention {
    fn visit(&self, v: &mut dyn Visitor) {
        for gate in &self.gates {
            v.child(gate.name, gate);
        }
    }
}

impl Module for TripletAttention {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            x.dims_array::<4>(LAYER)?;
            let share = 1.0 / self.gates.len() as f64;
            let mut sum: Option<Tensor> = None;
            for gate in &self.gates {
                let one = gate.gate(x)?;
                if gate.axis == 1 {
                    probe::emit(&self.path, ProbeKind::SpatialMap, &one);
                }
                let one = one.mul_scalar(share)?;
                sum = Some(match sum {
                    Some(sum) => sum.add(&one)?,
                    None => one,
                });
            }
            let Some(mean) = sum else {
                return Ok(x.clone());
            };
            probe::emit(&self.path, ProbeKind::FullGate, &mean);
            x.mul(&mean)
        })
    }
}
