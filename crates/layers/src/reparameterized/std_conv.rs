//! Weight-standardised convolution: each filter is normalised before it is used, so that the loss is smoother and batches
//! may be small.
//!
//! `y = conv(x, (W - mean(W)) / sqrt(var(W) + eps))`, mean and biased variance of each output channel's weights
//!
//! Paper: Qiao, Wang, Liu, Shen, Yuille, *Micro-Batch Training with Batch-Channel Normalization and Weight
//! Standardization*, 2019, arXiv:1903.10520. Departures: the biased variance inside of the root, as in timm; the first
//! released code has `std + 1e-5` with the unbiased one.
//! Parameters: those of the convolution.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::util::invalid;
use crate::{Conv2d, Conv2dConfig, Layer, Module, Parameter, VarBuilder, Visitor};

/// How to build a [`StdConv2d`].
#[derive(Clone, Debug)]
pub struct StdConv2dConfig {
    /// The convolution.
    pub conv: Conv2dConfig,
    /// Added to the variance.
    pub eps: f64,
}

impl StdConv2dConfig {
    /// timm's: no bias, `eps` 1e-6.
    #[must_use]
    pub fn new(conv: Conv2dConfig) -> Self {
        Self {
            conv: conv.bias(false),
            eps: 1e-6,
        }
    }

    /// Adds or leaves out the bias.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Self {
        self.conv.bias = bias;
        self
    }

    /// Sets what is added to the variance.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Builds the layer: `weight` and `bias` as of a convolution.
    ///
    /// # Errors
    /// Those of [`Conv2dConfig::build`]; or `eps` is negative or no number.
    pub fn build(&self, vb: &VarBuilder) -> Result<StdConv2d> {
        if !(self.eps >= 0.0 && self.eps.is_finite()) {
            let rule = "it must be a number from 0 on";
            return Err(invalid("StdConv2d", "eps", self.eps, rule).at(vb.path()));
        }
        Ok(StdConv2d {
            path: Arc::clone(vb.path()),
            conv: self.conv.build(vb)?,
            config: self.clone(),
        })
    }
}

/// The convolution with standardised weights.
#[derive(Debug)]
pub struct StdConv2d {
    path: Arc<str>,
    conv: Conv2d,
    config: StdConv2dConfig,
}

impl StdConv2d {
    /// The weights that are convolved with: of mean 0 and variance 1 for each output channel.
    ///
    /// # Errors
    /// Memory is out.
    pub fn standardized(&self) -> Result<Tensor> {
        let weight = self.conv.weight().tensor();
        let filters = weight.flatten(1, 3)?;
        let one = [filters.shape()[1]];
        let standard = filters.layer_norm(one, None, None, self.config.eps)?;
        standard.reshape(weight.shape())
    }
}

impl Layer for StdConv2d {
    fn visit(&self, v: &mut dyn Visitor) {
        self.conv.visit(v);
    }
}

impl Module for StdConv2d {
    /// # Shapes
    /// Those of the convolution.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let bias = self.conv.bias().map(Parameter::tensor);
            x.conv2d(
                &self.standardized()?,
                bias.as_ref(),
                self.config.conv.options(),
            )
        })
    }
}
