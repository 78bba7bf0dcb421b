//! Filter response normalisation: each channel of each image divided by the root of its mean square,
//! and a rectifier with a learned threshold.
//!
//! ```text
//! nu2[n,c] = mean over pixels of x^2
//! y        = max(weight * x / sqrt(nu2 + eps) + bias, tau)
//! ```
//! It subtracts no mean and needs no batch; the threshold makes up for a zero that is not in the middle.
//!
//! Paper: Singh, Krishnan, *Filter Response Normalization Layer*, CVPR 2020, arXiv:1911.09737.
//! Departures: `eps` is a constant, 1e-5, as in timm; the paper learns it on maps of one pixel.
//! Parameters: `3*C`, or `2*C` without the threshold.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::{Init, Layer, Module, Parameter, VarBuilder, Visitor};

const LAYER: &str = "FilterResponseNorm";

/// How to build a [`FilterResponseNorm`].
#[derive(Clone, Debug)]
pub struct FilterResponseNormConfig {
    /// Number of channels.
    pub channels: usize,
    /// Added to the mean square.
    pub eps: f64,
    /// Whether the thresholded linear unit follows.
    pub threshold: bool,
}

impl FilterResponseNormConfig {
    /// `eps` 1e-5, with the threshold.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            eps: 1e-5,
            threshold: true,
        }
    }

    /// Sets what is added to the mean square.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Adds or leaves out the thresholded linear unit.
    #[must_use]
    pub fn threshold(mut self, threshold: bool) -> Self {
        self.threshold = threshold;
        self
    }

    /// Builds the layer: `weight`, `bias` and `tau`, each `[C]`.
    ///
    /// # Errors
    /// There are no channels, or `eps` is not positive.
    pub fn build(&self, vb: &VarBuilder) -> Result<FilterResponseNorm> {
        super::check(LAYER, self.channels, self.eps).map_err(|e| e.at(vb.path()))?;
        let shape = [self.channels];
        let tau = self
            .threshold
            .then(|| vb.parameter("tau", &shape, Init::ZEROS));
        Ok(FilterResponseNorm {
            path: Arc::clone(vb.path()),
            weight: vb.parameter("weight", &shape, Init::ONES)?,
            bias: vb.parameter("bias", &shape, Init::ZEROS)?,
            tau: tau.transpose()?,
            eps: self.eps,
        })
    }
}

/// Norm and activation in one, in training and in evaluation alike.
#[derive(Debug)]
pub struct FilterResponseNorm {
    path: Arc<str>,
    weight: Parameter,
    bias: Parameter,
    tau: Option<Parameter>,
    eps: f64,
}

impl Layer for FilterResponseNorm {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        v.parameter("bias", &self.bias);
        if let Some(tau) = &self.tau {
            v.parameter("tau", tau);
        }
    }
}

impl Module for FilterResponseNorm {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, c, h, w] = super::dims(LAYER, self.weight.numel(), x)?;
            let squares = x.sum_of_squares(&[2, 3], false)?;
            let inverse = squares.affine(1.0 / (h * w) as f64, self.eps)?.rsqrt()?;
            let scale = inverse.mul(&self.weight.tensor())?;
            let shift = self.bias.tensor().expand([n, c])?;
            let y = x.modulate(&scale, &shift)?;
            match &self.tau {
                Some(tau) => y.maximum(&tau.tensor().reshape([1, c, 1, 1])?),
                None => Ok(y),
            }
        })
    }
}
