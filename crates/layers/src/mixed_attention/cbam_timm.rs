//! CBAM in timm's dialect: other names, other defaults.
//!
//! Paper: as [`Cbam`](super::Cbam). Departures: the perceptron is two 1x1 convolutions without
//! biases by default and its width is rounded to nearest, the pooled maps are in the order mean,
//! maximum, and the batch norm has momentum 0.1.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::spatial_gate::{MapOrder, SpatialGateConfig};
use crate::basic::Perceptron;
use crate::probe::{self, ProbeKind};
use crate::util::reduced_channels;
use crate::{ConvNormAct, Layer, Module, Rounding, VarBuilder, Visitor};

/// How to build a [`CbamTimm`].
#[derive(Clone, Debug)]
pub struct CbamTimmConfig {
    /// Number of channels.
    pub channels: usize,
    /// How many times fewer channels the bottleneck has.
    pub reduction: usize,
    /// Kernel of the spatial gate, odd.
    pub kernel: usize,
    /// Whether the perceptron has biases.
    pub mlp_bias: bool,
}

impl CbamTimmConfig {
    /// timm's defaults: reduction 16, kernel 7, no biases.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            reduction: 16,
            kernel: 7,
            mlp_bias: false,
        }
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets the kernel of the spatial gate.
    #[must_use]
    pub fn kernel(mut self, kernel: usize) -> Self {
        self.kernel = kernel;
        self
    }

    /// Adds or leaves out the biases of the perceptron.
    #[must_use]
    pub fn mlp_bias(mut self, bias: bool) -> Self {
        self.mlp_bias = bias;
        self
    }

    /// Builds the module: `channel.fc1`, `channel.fc2`, `spatial.conv.conv`, `spatial.conv.bn`.
    ///
    /// # Errors
    /// A number is 0, or the kernel is even.
    pub fn build(&self, vb: &VarBuilder) -> Result<CbamTimm> {
        let rounding = Rounding::DivisibleBy(1);
        let width = reduced_channels("CbamTimm", self.channels, self.reduction, rounding)
            .map_err(|e| e.at(vb.path()))?;
        let (channel, spatial) = (vb / "channel", vb / "spatial");
        let sizes = [self.channels, width];
        let mlp = Perceptron::pointwise(sizes, self.mlp_bias, ["fc1", "fc2"], &channel)?;
        let gate = SpatialGateConfig::new().kernel(self.kernel).momentum(0.1);
        Ok(CbamTimm {
            channel: Channel {
                path: Arc::clone(channel.path()),
                mlp,
            },
            spatial: Spatial {
                path: Arc::clone(spatial.path()),
                conv: gate.conv("CbamTimm", &(&spatial / "conv"))?,
            },
        })
    }
}

/// The channel gate.
#[derive(Debug)]
struct Channel {
    path: Arc<str>,
    mlp: Perceptron,
}

impl Layer for Channel {
    fn visit(&self, v: &mut dyn Visitor) {
        self.mlp.visit(v);
    }
}

impl Module for Channel {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, c, _, _] = x.dims_array("CbamTimm")?;
            let both = x.max_and_mean(&[2, 3])?;
            let squeezed = |i| both.select(0, i)?.reshape([n, c, 1, 1]);
            let mean = self.mlp.forward(&squeezed(1)?)?;
            let max = self.mlp.forward(&squeezed(0)?)?;
            let gate = mean.add(&max)?.sigmoid()?;
            probe::emit_channels(&self.path, &gate)?;
            x.mul(&gate)
        })
    }
}

/// The spatial gate.
#[derive(Debug)]
struct Spatial {
    path: Arc<str>,
    conv: ConvNormAct,
}

impl Layer for Spatial {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("conv", &self.conv);
    }
}

impl Module for Spatial {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let gate = self.conv.forward(&MapOrder::MeanMax.pool(x)?)?.sigmoid()?;
            probe::emit(&self.path, ProbeKind::SpatialMap, &gate);
            x.mul(&gate)
        })
    }
}

/// CBAM under timm's names. Its gates emit their factors.
#[derive(Debug)]
pub struct CbamTimm {
    channel: Channel,
    spatial: Spatial,
}

impl Layer for CbamTimm {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("channel", &self.channel);
        v.child("spatial", &self.spatial);
    }
}

impl Module for CbamTimm {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.spatial.forward(&self.channel.forward(x)?)
    }
}
