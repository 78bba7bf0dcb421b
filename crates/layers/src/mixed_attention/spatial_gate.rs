//! The spatial half of CBAM: weighs pixels by a convolution over the maximum and the mean of the
//! channels.
//!
//! `y = x * sigmoid(bn(conv([max_c(x), mean_c(x)])))`
//!
//! Paper: as [`Cbam`](super::Cbam), whose formula has no batch norm; the released code has one.
//! Parameters: `2*k*k + 2`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::probe::{self, ProbeKind};
use crate::util::odd;
use crate::{
    Activation, Conv2dConfig, ConvNormAct, ConvNormActConfig, Init, Layer, Module, VarBuilder,
    Visitor,
};

/// The order of the two pooled maps, which is that of the convolution's input channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapOrder {
    /// Maximum, mean: the released code.
    MaxMean,
    /// Mean, maximum: timm.
    MeanMax,
}

impl MapOrder {
    /// The maximum and the mean over the channels of `x`, `[N, 2, H, W]`.
    pub(super) fn pool(self, x: &Tensor) -> Result<Tensor> {
        x.dims_array::<4>("SpatialGate")?;
        let both = x.max_and_mean(&[1])?;
        let both = match self {
            Self::MaxMean => both,
            Self::MeanMax => both.flip(&[0])?,
        };
        both.transpose(0, 1)
    }
}

/// How to build a [`SpatialGate`].
#[derive(Clone, Debug)]
pub struct SpatialGateConfig {
    /// Size of the kernel, odd; the paper compares 7 and 3.
    pub kernel: usize,
    /// The order of the pooled maps.
    pub order: MapOrder,
    /// Momentum of the batch norm.
    pub momentum: f64,
    /// Whether the scale of the batch norm starts at 0, and every factor at one half.
    pub zero_bn: bool,
}

impl Default for SpatialGateConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl SpatialGateConfig {
    /// The released code's: kernel 7, maximum before mean, momentum 0.01.
    #[must_use]
    pub fn new() -> Self {
        Self {
            kernel: 7,
            order: MapOrder::MaxMean,
            momentum: 0.01,
            zero_bn: false,
        }
    }

    /// Sets the size of the kernel.
    #[must_use]
    pub fn kernel(mut self, kernel: usize) -> Self {
        self.kernel = kernel;
        self
    }

    /// Sets the order of the pooled maps.
    #[must_use]
    pub fn order(mut self, order: MapOrder) -> Self {
        self.order = order;
        self
    }

    /// Sets the momentum of the batch norm.
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Starts the scale of the batch norm at 0, as the authors' networks do, or at 1.
    #[must_use]
    pub fn zero_bn(mut self, zero: bool) -> Self {
        self.zero_bn = zero;
        self
    }

    /// Builds the module: `spatial.conv` and `spatial.bn`, as in the released code.
    ///
    /// # Errors
    /// The kernel is even.
    pub fn build(&self, vb: &VarBuilder) -> Result<SpatialGate> {
        Ok(SpatialGate {
            path: Arc::clone(vb.path()),
            order: self.order,
            spatial: self.conv("SpatialGate", &(vb / "spatial"))?,
        })
    }

    /// The convolution with its batch norm.
    pub(super) fn conv(&self, layer: &'static str, vb: &VarBuilder) -> Result<ConvNormAct> {
        odd(layer, "kernel", self.kernel).map_err(|e| e.at(vb.path()))?;
        let conv = Conv2dConfig::new(2, 1, self.kernel).same_padding();
        let start = if self.zero_bn {
            Init::ZEROS
        } else {
            Init::ONES
        };
        let conv = ConvNormActConfig::new(conv)
            .act(Activation::Identity)
            .momentum(self.momentum)
            .norm_init(start);
        conv.build(vb)
    }
}

/// The spatial gate. Emits its factors as [`ProbeKind::SpatialMap`].
#[derive(Debug)]
pub struct SpatialGate {
    path: Arc<str>,
    order: MapOrder,
    spatial: ConvNormAct,
}

impl SpatialGate {
    /// The factors of the pixels of `x`, `[N, 1, H, W]`.
    ///
    /// # Errors
    /// `x` is no `[N, C, H, W]`, or is one pixel of one sample in training.
    pub fn gate(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            x.dims_array::<4>("SpatialGate")?;
            let gate = self.spatial.forward(&self.order.pool(x)?)?.sigmoid()?;
            probe::emit(&self.path, ProbeKind::SpatialMap, &gate);
            Ok(gate)
        })
    }
}

impl Layer for SpatialGate {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("spatial", &self.spatial);
    }
}

impl Module for SpatialGate {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let gate = self.gate(x)?;
        scope(&self.path, || x.mul(&gate))
    }
}
