//! The residual block of two 3x3 convolutions, with a slot for attention.
//!
//! Paper: He, Zhang, Ren, Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016,
//! arXiv:1512.03385.

use std::sync::Arc;

use striate_layers::{
    Activation, BatchNorm2d, BatchNormConfig, Cbam, Conv2d, Conv2dConfig, Init, Layer, Module,
    SePosition, Sequential, SkConv, SqueezeExcite, VarBuilder, Visitor, conv_norm_act,
};
use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::Attention;

/// How to build a [`BasicBlock`].
#[derive(Clone, Debug)]
pub(crate) struct BasicBlockConfig<'a> {
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) stride: usize,
    pub(crate) attention: &'a Attention,
}

/// A 3x3 convolution without a bias, as every one in these networks.
pub(crate) fn conv3x3(in_channels: usize, out_channels: usize, stride: usize) -> Conv2dConfig {
    Conv2dConfig::new(in_channels, out_channels, 3)
        .stride(stride)
        .padding(1)
        .bias(false)
        .init(Init::KaimingNormal)
}

impl BasicBlockConfig<'_> {
    pub(crate) fn build(&self, vb: &VarBuilder) -> Result<BasicBlock> {
        let (i, o) = (self.in_channels, self.out_channels);
        let first = match self.attention {
            Attention::Sk(slot) => First::Selective(
                slot.config(i, o)
                    .stride(self.stride)
                    .build(&(vb / "conv1"))?,
            ),
            _ => First::Plain(
                conv3x3(i, o, self.stride).build(&(vb / "conv1"))?,
                BatchNormConfig::new(o).build_2d(&(vb / "bn1"))?,
            ),
        };
        let attend = match self.attention {
            Attention::None | Attention::Sk(_) => Attend::Nothing,
            Attention::Se(slot) => {
                let channels = if slot.position == SePosition::Pre {
                    i
                } else {
                    o
                };
                Attend::Se(slot.position, slot.config(channels).build(&(vb / "se"))?)
            }
            Attention::Cbam(slot) => Attend::Cbam(slot.config(o).build(&(vb / "cbam"))?),
        };
        Ok(BasicBlock {
            path: Arc::clone(vb.path()),
            first,
            conv2: conv3x3(o, o, 1).build(&(vb / "conv2"))?,
            bn2: BatchNormConfig::new(o).build_2d(&(vb / "bn2"))?,
            attend,
            downsample: self.projection(&(vb / "downsample"))?,
        })
    }

    fn projection(&self, vb: &VarBuilder) -> Result<Option<Sequential>> {
        if self.in_channels == self.out_channels && self.stride == 1 {
            return Ok(None);
        }
        let conv = Conv2dConfig::new(self.in_channels, self.out_channels, 1)
            .stride(self.stride)
            .bias(false)
            .init(Init::KaimingNormal)
            .build(&(vb / 0))?;
        let norm = BatchNormConfig::new(self.out_channels).build_2d(&(vb / 1))?;
        Ok(Some(Sequential::new().push(conv).push(norm)))
    }
}

/// The first 3x3 convolution with its norm and ReLU.
#[derive(Debug)]
enum First {
    Plain(Conv2d, BatchNorm2d),
    Selective(SkConv),
}

#[derive(Debug)]
enum Attend {
    Nothing,
    Se(SePosition, SqueezeExcite),
    Cbam(Cbam),
}

/// `relu(id + bn2(conv2(relu(bn1(conv1(x))))))`, with attention at its place.
#[derive(Debug)]
pub(crate) struct BasicBlock {
    path: Arc<str>,
    first: First,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    attend: Attend,
    downsample: Option<Sequential>,
}

impl BasicBlock {
    /// The attention, if this is its place.
    fn at(&self, place: SePosition, x: Tensor) -> Result<Tensor> {
        match &self.attend {
            Attend::Se(position, se) if *position == place => se.forward(&x),
            Attend::Cbam(cbam) if place == SePosition::Standard => cbam.forward(&x),
            _ => Ok(x),
        }
    }

    fn attends_before_the_sum(&self) -> bool {
        matches!(
            self.attend,
            Attend::Se(SePosition::Standard, _) | Attend::Cbam(_)
        )
    }
}

impl Layer for BasicBlock {
    fn visit(&self, v: &mut dyn Visitor) {
        match &self.first {
            First::Plain(conv, norm) => {
                v.child("conv1", conv);
                v.child("bn1", norm);
            }
            First::Selective(conv) => v.child("conv1", conv),
        }
        v.child("conv2", &self.conv2);
        v.child("bn2", &self.bn2);
        match &self.attend {
            Attend::Nothing => {}
            Attend::Se(_, se) => v.child("se", se),
            Attend::Cbam(cbam) => v.child("cbam", cbam),
        }
        if let Some(downsample) = &self.downsample {
            v.child("downsample", downsample);
        }
    }
}

impl Module for BasicBlock {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let shortcut = match &self.downsample {
                Some(projection) => projection.forward(x)?,
                None => x.clone(),
            };
            let shortcut = self.at(SePosition::Identity, shortcut)?;
            let y = self.at(SePosition::Pre, x.clone())?;
            let y = match &self.first {
                First::Plain(conv, norm) => conv_norm_act(conv, norm, Activation::Relu, &y, None)?,
                First::Selective(conv) => conv.forward(&y)?,
            };
            let y = self.at(SePosition::Conv3x3, y)?;
            let last = |act, residual| conv_norm_act(&self.conv2, &self.bn2, act, &y, residual);
            let y = if self.attends_before_the_sum() {
                let y = self.at(SePosition::Standard, last(Activation::Identity, None)?)?;
                shortcut.add(&y)?.relu()?
            } else {
                last(Activation::Relu, Some(&shortcut))?
            };
            self.at(SePosition::Post, y)
        })
    }
}
