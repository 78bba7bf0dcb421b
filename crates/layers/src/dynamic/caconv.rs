//! Coordinate attention in front of a convolution: what receptive-field attention is compared with.
//!
//! `y = conv(x * sigmoid(conv_h(f of the rows)) * sigmoid(conv_w(f of the columns)))`,
//! `f = hardswish(bn1(conv1([mean_w(x), mean_h(x)])))`
//!
//! Paper: Zhang, Liu, Zhang, Song, Ding, *RFAConv: Innovating Spatial Attention and Standard Convolutional Operation*,
//! 2023, arXiv:2304.03198. Departures: none.
//! Parameters: `3*C*m + 3*m + 2*C + C*out*k^2 + out`, `m = max(8, C / reduction)`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::util::at_least_one;
use crate::{
    Conv2d, Conv2dConfig, CoordAttention, CoordAttentionConfig, Layer, Module, VarBuilder, Visitor,
};

const LAYER: &str = "CaConv";

/// How to build a [`CaConv`].
#[derive(Clone, Debug)]
pub struct CaConvConfig {
    /// The convolution behind the attention.
    pub conv: Conv2dConfig,
    /// How many times fewer channels the attention's bottleneck has, which are 8 at least.
    pub reduction: usize,
}

impl CaConvConfig {
    /// Reduction 32. The released code's convolution has same-size padding and a bias.
    #[must_use]
    pub fn new(conv: Conv2dConfig) -> Self {
        Self {
            conv,
            reduction: 32,
        }
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Builds the module under the released code's names: `conv1`, `bn1`, `conv_h`, `conv_w`, `conv.0`.
    ///
    /// # Errors
    /// A number is 0, or the channels are no multiple of the groups.
    pub fn build(&self, vb: &VarBuilder) -> Result<CaConv> {
        at_least_one(LAYER, "reduction", self.reduction).map_err(|e| e.at(vb.path()))?;
        Ok(CaConv {
            path: Arc::clone(vb.path()),
            conv: self.conv.build(&(vb / "conv" / 0))?,
            attention: CoordAttentionConfig::new(self.conv.in_channels)
                .rd_channels((self.conv.in_channels / self.reduction).max(8))
                .build(vb)?,
        })
    }
}

/// Coordinate attention, which emits its factors, and a convolution.
#[derive(Debug)]
pub struct CaConv {
    path: Arc<str>,
    attention: CoordAttention,
    conv: Conv2d,
}

impl Layer for CaConv {
    fn visit(&self, v: &mut dyn Visitor) {
        self.attention.visit(v);
        v.child("conv.0", &self.conv);
    }
}

impl Module for CaConv {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, H', W']`, sizes as of the convolution.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            self.conv.forward(&self.attention.forward(x)?)
        })
    }
}
