//! RepVGG's block: trains as a 3x3, a 1x1 and an identity, each with a batch norm, and is one 3x3 when
//! it serves.
//!
//! ```text
//! y = relu(bn(conv3x3(x)) + bn(conv1x1(x)) + bn(x))      bn(x) only where the shape stays
//!   = relu(conv3x3'(x) + b')                             after folding
//! ```
//!
//! Paper: Ding et al., *RepVGG: Making VGG-style ConvNets Great Again*, CVPR 2021, arXiv:2101.03697.
//! Departures: none.
//! Parameters: `10*C*O/g + 4*O`, and `2*O` with the identity; folded `9*C*O/g + O`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::fold::{Kernel, folding};
use crate::{
    Activation, BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvNormAct, ConvNormActConfig,
    Layer, Module, VarBuilder, Visitor,
};

/// How to build a [`RepVgg`].
#[derive(Clone, Debug)]
pub struct RepVggConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Stride.
    pub stride: usize,
    /// Groups of both convolutions.
    pub groups: usize,
    /// What follows the sum.
    pub act: Activation,
}

impl RepVggConfig {
    /// Stride 1, one group, ReLU.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            stride: 1,
            groups: 1,
            act: Activation::Relu,
        }
    }

    /// Sets the stride.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the groups of both convolutions.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Sets what follows the sum.
    #[must_use]
    pub fn act(mut self, act: Activation) -> Self {
        self.act = act;
        self
    }

    /// Builds the block under timm's names: `identity`, `conv_kxk` and `conv_1x1`, the latter each
    /// `conv` and `bn`.
    ///
    /// # Errors
    /// A number is 0, or the groups do not divide the channels.
    pub fn build(&self, vb: &VarBuilder) -> Result<RepVgg> {
        let branch = |kernel: usize, name| {
            let conv = Conv2dConfig::new(self.in_channels, self.out_channels, kernel)
                .stride(self.stride)
                .same_padding()
                .groups(self.groups);
            let config = ConvNormActConfig::new(conv).act(Activation::Identity);
            config.build(&(vb / name))
        };
        let keeps_shape = self.in_channels == self.out_channels && self.stride == 1;
        let large = branch(3, "conv_kxk")?;
        let identity = keeps_shape
            .then(|| BatchNormConfig::new(self.out_channels).build_2d(&(vb / "identity")));
        Ok(RepVgg {
            path: Arc::clone(vb.path()),
            identity: identity.transpose()?,
            large,
            small: branch(1, "conv_1x1")?,
            config: self.clone(),
        })
    }
}

/// Three branches that fold into one convolution.
#[derive(Debug)]
pub struct RepVgg {
    path: Arc<str>,
    identity: Option<BatchNorm2d>,
    large: ConvNormAct,
    small: ConvNormAct,
    config: RepVggConfig,
}

impl RepVgg {
    /// The one 3x3 convolution, with a bias, that the block is in evaluation; the activation is to
    /// follow it.
    ///
    /// # Errors
    /// Memory is out.
    pub fn fold(&self) -> Result<Conv2d> {
        folding(|| {
            let RepVggConfig { stride, groups, .. } = self.config;
            let small = Kernel::from(self.small.folded()?).widened(3)?;
            let mut sum = Kernel::from(self.large.folded()?).plus(&small)?;
            if let Some(identity) = &self.identity {
                let dtype = sum.weight.dtype();
                let kept = Kernel::identity(self.config.out_channels, groups, 3, dtype)?;
                sum = sum.plus(&kept.then_affine(identity.scale_and_shift(None, 1.0)?)?)?;
            }
            sum.into_conv(stride, groups)
        })
    }
}

impl Layer for RepVgg {
    fn visit(&self, v: &mut dyn Visitor) {
        if let Some(identity) = &self.identity {
            v.child("identity", identity);
        }
        v.child("conv_kxk", &self.large);
        v.child("conv_1x1", &self.small);
    }
}

impl Module for RepVgg {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            // Each sum is part of a branch's last step.
            let small = match &self.identity {
                Some(identity) => {
                    let kept = identity.forward(x)?;
                    self.small.forward_onto(&kept, Activation::Identity, x)?
                }
                None => self.small.forward(x)?,
            };
            self.large.forward_onto(&small, self.config.act, x)
        })
    }
}

/// How other implementations name the same weights.
pub mod repvgg_key_maps {
    use crate::KeyMap;

    /// The released code: `rbr_dense`, `rbr_1x1` and `rbr_identity`.
    #[must_use]
    pub fn official() -> KeyMap {
        KeyMap::new()
            .rename("rbr_dense", "conv_kxk")
            .rename("rbr_1x1", "conv_1x1")
            .rename("rbr_identity", "identity")
    }
}
