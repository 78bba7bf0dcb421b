//! A bottleneck block with squeeze-and-excitation at one of the places of the paper's ablation.
//!
//! Paper: as [`SqueezeExcite`], section 6.5 and appendix (tables 14 and 15).

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::{
    Activation, BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Layer, Module, Pair,
    Sequential, SqueezeExcite, SqueezeExciteConfig, VarBuilder, Visitor, conv_norm_act,
};

/// Where squeeze-and-excitation stands in a residual block `y = relu(id + F(x))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SePosition {
    /// `relu(id + se(F(x)))`
    Standard,
    /// `relu(id + F(se(x)))`; as wide as the block's input.
    Pre,
    /// `se(relu(id + F(x)))`
    Post,
    /// `relu(se(id) + F(x))`, behind the projection if there is one.
    Identity,
    /// Inside `F`, behind the 3x3 convolution with its norm and activation; as wide as that.
    Conv3x3,
}

/// How to build a [`SeBottleneck`].
#[derive(Clone, Debug)]
pub struct SeBottleneckConfig {
    /// Where the attention stands.
    pub position: SePosition,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the 3x3 convolution.
    pub width: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Stride of the 3x3 convolution.
    pub stride: Pair,
    /// Reduction of the attention.
    pub reduction: usize,
    /// Whether the attention has biases.
    pub bias: bool,
}

impl SeBottleneckConfig {
    /// Stride 1, reduction 16, biases.
    #[must_use]
    pub fn new(
        position: SePosition,
        in_channels: usize,
        width: usize,
        out_channels: usize,
    ) -> Self {
        Self {
            position,
            in_channels,
            width,
            out_channels,
            stride: 1.into(),
            reduction: 16,
            bias: true,
        }
    }

    /// Sets the stride of the 3x3 convolution.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = stride.into();
        self
    }

    /// Sets the reduction of the attention.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Adds or leaves out the biases of the attention.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Builds the block under torchvision's names, with the attention as `se`.
    ///
    /// # Errors
    /// A size is 0, or the reduced width would be.
    pub fn build(&self, vb: &VarBuilder) -> Result<SeBottleneck> {
        let conv = |config: Conv2dConfig, name: &str| config.bias(false).build(&(vb / name));
        let norm = |channels, name: &str| BatchNormConfig::new(channels).build_2d(&(vb / name));
        let (i, w, o) = (self.in_channels, self.width, self.out_channels);
        let channels = match self.position {
            SePosition::Pre => i,
            SePosition::Conv3x3 => w,
            SePosition::Standard | SePosition::Post | SePosition::Identity => o,
        };
        let se = SqueezeExciteConfig::new(channels)
            .reduction(self.reduction)
            .bias(self.bias);
        Ok(SeBottleneck {
            path: Arc::clone(vb.path()),
            position: self.position,
            conv1: conv(Conv2dConfig::new(i, w, 1), "conv1")?,
            bn1: norm(w, "bn1")?,
            conv2: conv(
                Conv2dConfig::new(w, w, 3).stride(self.stride).padding(1),
                "conv2",
            )?,
            bn2: norm(w, "bn2")?,
            conv3: conv(Conv2dConfig::new(w, o, 1), "conv3")?,
            bn3: norm(o, "bn3")?,
            se: se.build(&(vb / "se"))?,
            downsample: projection(i, o, self.stride, &(vb / "downsample"))?,
        })
    }
}

/// The shortcut of a residual block, `0` a 1x1 convolution and `1` a batch norm; `None` where it is
/// the identity.
pub(crate) fn projection(
    in_channels: usize,
    out_channels: usize,
    stride: Pair,
    vb: &VarBuilder,
) -> Result<Option<Sequential>> {
    if in_channels == out_channels && stride == Pair([1; 2]) {
        return Ok(None);
    }
    let conv = Conv2dConfig::new(in_channels, out_channels, 1)
        .stride(stride)
        .bias(false);
    let norm = BatchNormConfig::new(out_channels);
    Ok(Some(
        Sequential::new()
            .push(conv.build(&(vb / 0))?)
            .push(norm.build_2d(&(vb / 1))?),
    ))
}

/// 1x1, 3x3 with the stride, 1x1, each with a batch norm, a shortcut, and the attention.
#[derive(Debug)]
pub struct SeBottleneck {
    path: Arc<str>,
    position: SePosition,
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
    bn3: BatchNorm2d,
    se: SqueezeExcite,
    downsample: Option<Sequential>,
}

impl SeBottleneck {
    /// The attention, if this is its place.
    fn attend(&self, place: SePosition, x: Tensor) -> Result<Tensor> {
        if self.position == place {
            self.se.forward(&x)
        } else {
            Ok(x)
        }
    }
}

impl Layer for SeBottleneck {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("conv1", &self.conv1);
        v.child("bn1", &self.bn1);
        v.child("conv2", &self.conv2);
        v.child("bn2", &self.bn2);
        v.child("conv3", &self.conv3);
        v.child("bn3", &self.bn3);
        v.child("se", &self.se);
        if let Some(downsample) = &self.downsample {
            v.child("downsample", downsample);
        }
    }
}

impl Module for SeBottleneck {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let shortcut = match &self.downsample {
                Some(projection) => projection.forward(x)?,
                None => x.clone(),
            };
            let shortcut = self.attend(SePosition::Identity, shortcut)?;
            let y = self.attend(SePosition::Pre, x.clone())?;
            let relu = Activation::Relu;
            let y = conv_norm_act(&self.conv1, &self.bn1, relu, &y, None)?;
            let y = conv_norm_act(&self.conv2, &self.bn2, relu, &y, None)?;
            let y = self.attend(SePosition::Conv3x3, y)?;
            let last = |act, residual| conv_norm_act(&self.conv3, &self.bn3, act, &y, residual);
            let y = if self.position == SePosition::Standard {
                let y = self.se.forward(&last(Activation::Identity, None)?)?;
                shortcut.add(&y)?.relu()?
            } else {
                last(relu, Some(&shortcut))?
            };
            self.attend(SePosition::Post, y)
        })
    }
}
