//! A ResNeXt bottleneck whose 3x3 convolution is a selective-kernel convolution.
//!
//! Paper: as [`SkConv`], table 1.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::sk::{SkConv, SkConvConfig};
use crate::channel_attention::projection;
use crate::{
    Activation, Conv2dConfig, ConvNormAct, ConvNormActConfig, Layer, Module, Pair, Sequential,
    VarBuilder, Visitor,
};

/// How to build an [`SkUnit`].
#[derive(Clone, Debug)]
pub struct SkUnitConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// The selective-kernel convolution, with its stride; in and out are the unit's width.
    pub sk: SkConvConfig,
}

impl SkUnitConfig {
    /// SK[2, 32, 16] with stride 1.
    #[must_use]
    pub fn new(in_channels: usize, width: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            sk: SkConvConfig::new(width, width),
        }
    }

    /// Sets the stride of the unit.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.sk.stride = stride.into();
        self
    }

    /// Sets `M`, `G`, `r` and `L` of the selective-kernel convolution.
    #[must_use]
    pub fn kernel(
        mut self,
        branches: usize,
        groups: usize,
        reduction: usize,
        min_dim: usize,
    ) -> Self {
        self.sk = self
            .sk
            .branches(branches)
            .groups(groups)
            .reduction(reduction)
            .min_dim(min_dim);
        self
    }

    /// Builds the unit under the names of timm's `SelectiveKernelBottleneck`.
    ///
    /// # Errors
    /// Those of [`SkConvConfig::build`].
    pub fn build(&self, vb: &VarBuilder) -> Result<SkUnit> {
        let point = |i, o, act, name: &str| {
            ConvNormActConfig::new(Conv2dConfig::new(i, o, 1))
                .act(act)
                .build(&(vb / name))
        };
        let stride = self.sk.stride;
        Ok(SkUnit {
            path: Arc::clone(vb.path()),
            conv1: point(
                self.in_channels,
                self.sk.in_channels,
                Activation::Relu,
                "conv1",
            )?,
            conv2: self.sk.build(&(vb / "conv2"))?,
            conv3: point(
                self.sk.out_channels,
                self.out_channels,
                Activation::Identity,
                "conv3",
            )?,
            downsample: projection(
                self.in_channels,
                self.out_channels,
                stride,
                &(vb / "downsample"),
            )?,
        })
    }
}

/// 1x1, selective-kernel convolution, 1x1, and a shortcut.
#[derive(Debug)]
pub struct SkUnit {
    path: Arc<str>,
    conv1: ConvNormAct,
    conv2: SkConv,
    conv3: ConvNormAct,
    downsample: Option<Sequential>,
}

impl Layer for SkUnit {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("conv1", &self.conv1);
        v.child("conv2", &self.conv2);
        v.child("conv3", &self.conv3);
        if let Some(downsample) = &self.downsample {
            v.child("downsample", downsample);
        }
    }
}

impl Module for SkUnit {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let shortcut = match &self.downsample {
                Some(projection) => projection.forward(x)?,
                None => x.clone(),
            };
            let y = self.conv2.forward(&self.conv1.forward(x)?)?;
            self.conv3.forward_onto(&shortcut, Activation::Relu, &y)
        })
    }
}
