//! Concurrent spatial and channel squeeze-and-excitation.
//!
//! ```text
//! c = sigmoid(W2 relu(W1 mean_hw(x) + b1) + b2)     for every channel
//! s = sigmoid(w . x + b)                            for every pixel
//! y = x * c + x * s   or   max(x * c, x * s)
//! ```
//!
//! Paper: Roy, Navab, Wachinger, *Concurrent Spatial and Channel Squeeze & Excitation in Fully
//! Convolutional Networks*, MICCAI 2018, arXiv:1803.02579. Departures: the sum is `x * (c + s)`.
//! Names are those of `segmentation_models.pytorch`. Parameters: `2*C*R + R + C + C + 1`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::basic::Perceptron;
use crate::probe::{self, ProbeKind};
use crate::util::reduced_channels;
use crate::{Conv2d, Conv2dConfig, Layer, Module, Rounding, VarBuilder, Visitor};

const LAYER: &str = "ScSe";

/// How the map weighed by channels and the map weighed by pixels become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScSeCombine {
    /// Their sum.
    Sum,
    /// The larger of each pair of elements.
    Max,
}

/// How to build an [`ScSe`].
#[derive(Clone, Debug)]
pub struct ScSeConfig {
    /// Number of channels.
    pub channels: usize,
    /// How many times fewer channels the bottleneck has.
    pub reduction: usize,
    /// How the two halves become one.
    pub combine: ScSeCombine,
}

impl ScSeConfig {
    /// The paper's: reduction 2; the sum, as in most implementations.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            reduction: 2,
            combine: ScSeCombine::Sum,
        }
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets how the two halves become one.
    #[must_use]
    pub fn combine(mut self, combine: ScSeCombine) -> Self {
        self.combine = combine;
        self
    }

    /// Builds the module: `cSE.1`, `cSE.3` and `sSE.0`.
    ///
    /// # Errors
    /// A number is 0, or the reduced width would be.
    pub fn build(&self, vb: &VarBuilder) -> Result<ScSe> {
        let (c, r) = (self.channels, self.reduction);
        let width = reduced_channels(LAYER, c, r, Rounding::Floor).map_err(|e| e.at(vb.path()))?;
        Ok(ScSe {
            path: Arc::clone(vb.path()),
            channel: Perceptron::pointwise([c, width], true, ["1", "3"], &(vb / "cSE"))?,
            spatial: Conv2dConfig::new(c, 1, 1).build(&(vb / "sSE" / 0))?,
            combine: self.combine,
        })
    }
}

/// The module. Emits its gates as [`ProbeKind::ChannelGate`] and [`ProbeKind::SpatialMap`].
#[derive(Debug)]
pub struct ScSe {
    path: Arc<str>,
    channel: Perceptron,
    spatial: Conv2d,
    combine: ScSeCombine,
}

impl Layer for ScSe {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("cSE", &self.channel);
        v.child("sSE.0", &self.spatial);
    }
}

impl Module for ScSe {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            x.dims_array::<4>(LAYER)?;
            let channel = self.channel.forward(&x.mean(&[2, 3], true)?)?.sigmoid()?;
            let spatial = self.spatial.forward(x)?.sigmoid()?;
            probe::emit_channels(&self.path, &channel)?;
            probe::emit(&self.path, ProbeKind::SpatialMap, &spatial);
            match self.combine {
                ScSeCombine::Sum => x.mul(&channel.add(&spatial)?),
                ScSeCombine::Max => x.mul(&channel)?.maximum(&x.mul(&spatial)?),
            }
        })
    }
}
