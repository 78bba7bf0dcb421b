//! A strided convolution without aliases: at stride 1, with its norm and activation, then blurred with the stride.
//!
//! `y = blur(relu(bn(conv(x))))`
//!
//! Paper: Zhang, *Making Convolutional Networks Shift-Invariant Again*, ICML 2019, arXiv:1904.11486.
//! Departures: none.
//! Parameters: those of the convolution and the norm.

use striate_tensor::{Result, Tensor};

use crate::{
    BlurPool, BlurPoolConfig, Conv2dConfig, ConvNormAct, ConvNormActConfig, Layer, Module,
    VarBuilder, Visitor,
};

/// How to build a [`BlurConv`].
#[derive(Clone, Debug)]
pub struct BlurConvConfig {
    /// The convolution at stride 1, its norm and activation.
    pub conv: ConvNormActConfig,
    /// The blur, which has the stride.
    pub blur: BlurPoolConfig,
}

impl BlurConvConfig {
    /// A 3x3 convolution of the map's size, batch norm, ReLU, a blur of four taps at stride 2.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        let conv = Conv2dConfig::new(in_channels, out_channels, 3).padding(1);
        Self::of(conv)
    }

    /// Another convolution in place of a 3x3 one; its stride should be 1.
    #[must_use]
    pub fn of(conv: Conv2dConfig) -> Self {
        let blur = BlurPoolConfig::new(conv.out_channels);
        Self {
            conv: ConvNormActConfig::new(conv),
            blur,
        }
    }

    /// Sets the blur.
    #[must_use]
    pub fn blur(mut self, blur: BlurPoolConfig) -> Self {
        self.blur = blur;
        self
    }

    /// Builds `conv`, `bn` and `blur`.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn build(&self, vb: &VarBuilder) -> Result<BlurConv> {
        Ok(BlurConv {
            conv: self.conv.build(vb)?,
            blur: self.blur.build(&(vb / "blur"))?,
        })
    }
}

/// Convolution, norm, activation, then a blur with the stride.
#[derive(Debug)]
pub struct BlurConv {
    conv: ConvNormAct,
    blur: BlurPool,
}

impl Layer for BlurConv {
    fn visit(&self, v: &mut dyn Visitor) {
        self.conv.visit(v);
        v.child("blur", &self.blur);
    }
}

impl Module for BlurConv {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C', H', W']`, of the convolution's size over the blur's stride, rounded up
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.blur.forward(&self.conv.forward(x)?)
    }
}
