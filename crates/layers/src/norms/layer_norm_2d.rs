//! Layer normalisation of maps: the channels of each pixel are normalised together.
//!
//! ```text
//! y[n,:,h,w] = (x[n,:,h,w] - mean) / sqrt(var + eps) * weight + bias      mean, var over the channels
//! ```
//!
//! Paper: Ba, Kiros, Hinton, *Layer Normalization*, 2016, arXiv:1607.06450; in this form Liu et al.,
//! *A ConvNet for the 2020s*, CVPR 2022, arXiv:2201.03545. Departures: none.
//! Parameters: `2*C`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::{Init, Layer, Module, Parameter, VarBuilder, Visitor};

const LAYER: &str = "LayerNorm2d";

/// How to build a [`LayerNorm2d`].
#[derive(Clone, Debug)]
pub struct LayerNorm2dConfig {
    /// Number of channels.
    pub channels: usize,
    /// Added to the variance.
    pub eps: f64,
}

impl LayerNorm2dConfig {
    /// `eps` 1e-6, as in timm and ConvNeXt.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            eps: 1e-6,
        }
    }

    /// Sets what is added to the variance.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Builds the layer: `weight [C]` and `bias [C]`.
    ///
    /// # Errors
    /// There are no channels, or `eps` is not positive.
    pub fn build(&self, vb: &VarBuilder) -> Result<LayerNorm2d> {
        super::check(LAYER, self.channels, self.eps).map_err(|e| e.at(vb.path()))?;
        Ok(LayerNorm2d {
            path: Arc::clone(vb.path()),
            weight: vb.parameter("weight", &[self.channels], Init::ONES)?,
            bias: vb.parameter("bias", &[self.channels], Init::ZEROS)?,
            eps: self.eps,
        })
    }
}

/// Normalises the channels of each pixel.
#[derive(Debug)]
pub struct LayerNorm2d {
    path: Arc<str>,
    weight: Parameter,
    bias: Parameter,
    eps: f64,
}

impl Layer for LayerNorm2d {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        v.parameter("bias", &self.bias);
    }
}

impl Module for LayerNorm2d {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (self.weight.tensor(), self.bias.tensor());
        scope(&self.path, || {
            super::dims(LAYER, self.weight.numel(), x)?;
            // Channels are innermost in memory already, unless they are few.
            let rows = x.permute(&[0, 2, 3, 1])?;
            let rows = rows.layer_norm(weight.shape(), Some(&weight), Some(&bias), self.eps)?;
            rows.permute(&[0, 3, 1, 2])
        })
    }
}
