//! CBAM in timm's dialect: other names, other defaults.
//!
//! Paper: as [`Cbam`](super::Cbam). Departures: the perceptron is two 1x1 convolutions without
//! biases by default and its width is rounded to nearest, the pooled maps are in the order mean,
//! maximum, and the batch norm has momentum 0.1.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::spatial_gate::{MapOrder, SpatialGateConfig};
use crate::probe::{self, ProbeKind};
use crate::util::reduced_channels;
use crate::{Conv2d, Conv2dConfig, ConvNormAct, Layer, Module, Rounding, VarBuilder, Visitor};

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
        let fc = |i, o, name| {
            Conv2dConfig::new(i, o, 1)
                .bias(self.mlp_bias)
                .build(&(&channel / name))
        };
        let gate = SpatialGateConfig::new().kernel(self.kernel).momentum(0.1);
        Ok(CbamTimm {
            channel: Channel {
                path: Arc::clone(channel.path()),
                fc1: fc(self.channels, width, "fc1")?,
                fc2: fc(width, self.channels, "fc2")?,
            },
            spatial: Spatial {
                path: Arc::clone(spatial.path()),
                conv: gate.conv(&spatial, "conv")?,
            },
        })
    }
}

/// The channel gate.
#[derive(Debug)]
struct Channel {
    path: Arc<str>,
    fc1: Conv2d,
    fc2: Conv2d,
}

impl Channel {
    fn mlp(&self, pooled: &Tensor) -> Result<Tensor> {
        self.fc2.forward(&self.fc1.forward(pooled)?.relu()?)
    }
}

impl Layer for Channel {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("fc1", &self.fc1);
        v.child("fc2", &self.fc2);
    }
}

impl Module for Channel {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, c, _, _] = x.dims_array("CbamTimm")?;
            let mean = self.mlp(&x.mean(&[2, 3], true)?)?;
            let max = self.mlp(&x.adaptive_max_pool2d([1, 1])?)?;
            let gate = mean.add(&max)?.sigmoid()?;
            if probe::is_recording() {
                probe::emit(&self.path, ProbeKind::ChannelGate, &gate.reshape([n, c])?);
            }
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
