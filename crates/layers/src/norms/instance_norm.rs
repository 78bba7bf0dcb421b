//! Instance normalisation: each channel of each image by itself.
//!
//! ```text
//! y[n,c] = (x[n,c] - mean) / sqrt(var + eps) * weight[c] + bias[c]       mean, var over the pixels
//! ```
//!
//! Paper: Ulyanov, Vedaldi, Lempitsky, *Instance Normalization: The Missing Ingredient for Fast
//! Stylization*, 2016, arXiv:1607.08022. Departures: none.
//! Parameters: `2*C`, or none without scale and shift.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Result, Tensor};

use crate::{Init, Layer, Module, Parameter, VarBuilder, Visitor};

const LAYER: &str = "InstanceNorm2d";

/// How to build an [`InstanceNorm2d`].
#[derive(Clone, Debug)]
pub struct InstanceNorm2dConfig {
    /// Number of channels.
    pub channels: usize,
    /// Added to the variance.
    pub eps: f64,
    /// Whether a scale and a shift are learned. PyTorch's default is not.
    pub affine: bool,
}

impl InstanceNorm2dConfig {
    /// `eps` 1e-5, with a learned scale and shift.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            eps: 1e-5,
            affine: true,
        }
    }

    /// Sets what is added to the variance.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Learns a scale and a shift, or not.
    #[must_use]
    pub fn affine(mut self, affine: bool) -> Self {
        self.affine = affine;
        self
    }

    /// Builds the layer: `weight [C]` and `bias [C]`, or nothing.
    ///
    /// # Errors
    /// There are no channels, or `eps` is not positive.
    pub fn build(&self, vb: &VarBuilder) -> Result<InstanceNorm2d> {
        super::check(LAYER, self.channels, self.eps).map_err(|e| e.at(vb.path()))?;
        let affine = self.affine.then(|| -> Result<_> {
            Ok([
                vb.parameter("weight", &[self.channels], Init::ONES)?,
                vb.parameter("bias", &[self.channels], Init::ZEROS)?,
            ])
        });
        Ok(InstanceNorm2d {
            path: Arc::clone(vb.path()),
            affine: affine.transpose()?,
            channels: self.channels,
            eps: self.eps,
        })
    }
}

/// Normalises each channel of each image, in training and in evaluation alike.
#[derive(Debug)]
pub struct InstanceNorm2d {
    path: Arc<str>,
    /// Scale and shift.
    affine: Option<[Parameter; 2]>,
    channels: usize,
    eps: f64,
}

impl Layer for InstanceNorm2d {
    fn visit(&self, v: &mut dyn Visitor) {
        if let Some([weight, bias]) = &self.affine {
            v.parameter("weight", weight);
            v.parameter("bias", bias);
        }
    }
}

impl Module for InstanceNorm2d {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    ///
    /// # Errors
    /// The map is one pixel, which has no variance; other channels than configured.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [_, _, h, w] = super::dims(LAYER, self.channels, x)?;
            if h * w == 1 {
                let detail = format!("one pixel has no variance, got shape {:?}", x.shape());
                return Err(Error::shape(LAYER, detail));
            }
            let [weight, bias] = match &self.affine {
                Some(both) => both.each_ref().map(|p| Some(p.tensor())),
                None => [None, None],
            };
            x.group_norm(self.channels, weight.as_ref(), bias.as_ref(), self.eps)
        })
    }
}
