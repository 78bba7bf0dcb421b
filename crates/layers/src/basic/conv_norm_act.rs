//! Convolution, batch norm, activation: the brick of most networks.

use striate_tensor::{Result, Tensor};

use crate::basic::{Activation, BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig};
use crate::{Layer, Module, VarBuilder, Visitor};

/// How to build a [`ConvNormAct`].
#[derive(Clone, Debug)]
pub struct ConvNormActConfig {
    /// The convolution; by default without a bias and with same-size padding.
    pub conv: Conv2dConfig,
    /// Momentum of the batch norm.
    pub momentum: f64,
    /// The activation; [`Activation::Identity`] for none.
    pub act: Activation,
}

impl ConvNormActConfig {
    /// A bias-free convolution, batch norm with PyTorch's defaults, ReLU.
    #[must_use]
    pub fn new(conv: Conv2dConfig) -> Self {
        Self {
            conv: conv.bias(false),
            momentum: 0.1,
            act: Activation::Relu,
        }
    }

    /// Sets the activation.
    #[must_use]
    pub fn act(mut self, act: Activation) -> Self {
        self.act = act;
        self
    }

    /// Sets the momentum of the batch norm.
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Gives the convolution a bias, which the batch norm makes redundant, for weights that have it.
    #[must_use]
    pub fn conv_bias(mut self, bias: bool) -> Self {
        self.conv.bias = bias;
        self
    }

    /// Builds the layers `conv` and `bn`.
    ///
    /// # Errors
    /// Those of [`Conv2dConfig::build`].
    pub fn build(&self, vb: &VarBuilder) -> Result<ConvNormAct> {
        let norm = BatchNormConfig::new(self.conv.out_channels).momentum(self.momentum);
        Ok(ConvNormAct {
            conv: self.conv.build(&(vb / "conv"))?,
            bn: norm.build_2d(&(vb / "bn"))?,
            act: self.act,
        })
    }
}

/// `act(bn(conv(x)))`, with the names `conv` and `bn` of timm's `ConvNormAct`.
#[derive(Debug)]
pub struct ConvNormAct {
    conv: Conv2d,
    bn: BatchNorm2d,
    act: Activation,
}

impl Layer for ConvNormAct {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("conv", &self.conv);
        v.child("bn", &self.bn);
    }
}

impl Module for ConvNormAct {
    /// # Shapes
    /// Those of the convolution.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.act.forward(&self.bn.forward(&self.conv.forward(x)?)?)
    }
}
