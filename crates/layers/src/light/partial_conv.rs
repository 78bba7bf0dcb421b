//! Partial convolution: filters some of the channels and leaves the others as they are.
//!
//! `y = [conv3x3(x[:C/n]), x[C/n:]]`
//!
//! Paper: Chen et al., *Run, Don't Walk: Chasing Higher FLOPS for Faster Neural Networks*, CVPR 2023,
//! arXiv:2303.03667. Departures: none.
//! Parameters: `9 * P * P`, `P = C / n` rounded down.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Result, Tensor};

use crate::util::{Rounding, reduced_channels};
use crate::{Conv2d, Conv2dConfig, Layer, Module, VarBuilder, Visitor};

/// How to build a [`PartialConv`].
#[derive(Clone, Debug)]
pub struct PartialConvConfig {
    /// Number of channels.
    pub channels: usize,
    /// One part of so many is convolved.
    pub n_div: usize,
}

impl PartialConvConfig {
    /// The paper's: a quarter of the channels.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self { channels, n_div: 4 }
    }

    /// Convolves one part of so many.
    #[must_use]
    pub fn n_div(mut self, n_div: usize) -> Self {
        self.n_div = n_div;
        self
    }

    /// Builds the module: `partial_conv3`, as in the released code.
    ///
    /// # Errors
    /// A number is 0, or the part would have no channels.
    pub fn build(&self, vb: &VarBuilder) -> Result<PartialConv> {
        let part = reduced_channels("PartialConv", self.channels, self.n_div, Rounding::Floor);
        let part = part.map_err(|e| e.at(vb.path()))?;
        let conv = Conv2dConfig::new(part, part, 3).padding(1).bias(false);
        Ok(PartialConv {
            path: Arc::clone(vb.path()),
            conv: conv.build(&(vb / "partial_conv3"))?,
            channels: self.channels,
            part,
        })
    }
}

/// A convolution of the first channels.
#[derive(Debug)]
pub struct PartialConv {
    path: Arc<str>,
    conv: Conv2d,
    channels: usize,
    part: usize,
}

impl Layer for PartialConv {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("partial_conv3", &self.conv);
    }
}

impl Module for PartialConv {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        const LAYER: &str = "PartialConv";
        scope(&self.path, || {
            let [_, c, _, _] = x.dims_array(LAYER)?;
            if c != self.channels {
                let detail = format!("built for {} channels, got {:?}", self.channels, x.shape());
                return Err(Error::shape(LAYER, detail));
            }
            let filtered = self.conv.forward(&x.narrow(1, 0, self.part)?)?;
            if self.part == c {
                return Ok(filtered);
            }
            let rest = x.narrow(1, self.part, c - self.part)?;
            Tensor::cat(&[&filtered, &rest], 1)
        })
    }
}
