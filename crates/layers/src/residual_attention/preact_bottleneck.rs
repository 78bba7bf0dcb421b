//! A bottleneck block whose norms and activations stand before its convolutions.
//!
//! `y = s + conv3(relu(bn3(conv2(relu(bn2(conv1(a)))))))`, `a = relu(bn1(x))`; the shortcut `s` is `x`, or `conv4(a)`
//! where the shape changes.
//!
//! Paper: He et al., *Identity Mappings in Deep Residual Networks*, ECCV 2016, arXiv:1603.05027; the block of
//! [`AttentionModule`](super::AttentionModule), which sets the width to a quarter of the output.
//! Parameters: `I*W + 9*W*W + W*O + 2*I + 4*W`, `W = O / 4`, and `I*O` for a projection.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::util::{at_least_one, invalid, pair_at_least_one};
use crate::{
    Activation, BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Layer, Module, Pair,
    VarBuilder, Visitor, conv_norm_act, norm_act,
};

/// How to build a [`PreActBottleneck`].
#[derive(Clone, Debug)]
pub struct PreActBottleneckConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output, a multiple of 4.
    pub out_channels: usize,
    /// Stride of the 3x3 convolution and of the projection.
    pub stride: Pair,
}

impl PreActBottleneckConfig {
    /// Stride 1.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            stride: 1.into(),
        }
    }

    /// Sets the stride of the block.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = stride.into();
        self
    }

    fn check(&self) -> Result<()> {
        const LAYER: &str = "PreActBottleneck";
        at_least_one(LAYER, "in_channels", self.in_channels)?;
        at_least_one(LAYER, "out_channels", self.out_channels)?;
        pair_at_least_one(LAYER, "stride", self.stride.0)?;
        if !self.out_channels.is_multiple_of(4) {
            let rule = "it must be a multiple of 4, the width being a quarter of it";
            return Err(invalid(LAYER, "out_channels", self.out_channels, rule));
        }
        Ok(())
    }

    /// Builds the block: `bn1`, `conv1` to `bn3`, `conv3` and, if the shape changes, `conv4`, none with a bias.
    ///
    /// # Errors
    /// A number is 0, or the output's channels are no multiple of 4.
    pub fn build(&self, vb: &VarBuilder) -> Result<PreActBottleneck> {
        self.check().map_err(|e| e.at(vb.path()))?;
        let (from, to, width) = (self.in_channels, self.out_channels, self.out_channels / 4);
        let norm = |channels, name: &str| BatchNormConfig::new(channels).build_2d(&(vb / name));
        let point = |i, o, name: &str| Conv2dConfig::new(i, o, 1).bias(false).build(&(vb / name));
        let middle = Conv2dConfig::new(width, width, 3)
            .stride(self.stride)
            .padding(1);
        let projection = Conv2dConfig::new(from, to, 1).stride(self.stride);
        let projects = from != to || self.stride.0 != [1, 1];
        Ok(PreActBottleneck {
            path: Arc::clone(vb.path()),
            bn1: norm(from, "bn1")?,
            conv1: point(from, width, "conv1")?,
            bn2: norm(width, "bn2")?,
            conv2: middle.bias(false).build(&(vb / "conv2"))?,
            bn3: norm(width, "bn3")?,
            conv3: point(width, to, "conv3")?,
            conv4: projects
                .then(|| projection.bias(false).build(&(vb / "conv4")))
                .transpose()?,
        })
    }
}

/// The block.
#[derive(Debug)]
pub struct PreActBottleneck {
    path: Arc<str>,
    bn1: BatchNorm2d,
    conv1: Conv2d,
    bn2: BatchNorm2d,
    conv2: Conv2d,
    bn3: BatchNorm2d,
    conv3: Conv2d,
    conv4: Option<Conv2d>,
}

impl Layer for PreActBottleneck {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("bn1", &self.bn1);
        v.child("conv1", &self.conv1);
        v.child("bn2", &self.bn2);
        v.child("conv2", &self.conv2);
        v.child("bn3", &self.bn3);
        v.child("conv3", &self.conv3);
        if let Some(conv) = &self.conv4 {
            v.child("conv4", conv);
        }
    }
}

impl Module for PreActBottleneck {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let act = Activation::Relu;
            let a = norm_act(&self.bn1, act, x)?;
            let y = conv_norm_act(&self.conv1, &self.bn2, act, &a, None)?;
            let y = conv_norm_act(&self.conv2, &self.bn3, act, &y, None)?;
            let shortcut = match &self.conv4 {
                Some(projection) => projection.forward(&a)?,
                None => x.clone(),
            };
            self.conv3.forward_onto(&shortcut, Activation::Identity, &y)
        })
    }
}
