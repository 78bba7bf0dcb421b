//! Residual networks for small images: three stages of basic blocks, as for CIFAR.
//!
//! Paper: He, Zhang, Ren, Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016,
//! arXiv:1512.03385, section 4.2. Departures: where the shape changes the shortcut is a 1x1
//! convolution with a batch norm, and the first convolution may have a stride.

use std::sync::Arc;

use striate_layers::{
    Activation, BatchNorm2d, BatchNormConfig, Checkpointed, Conv2d, Layer, Linear, LinearConfig,
    Module, Sequential, VarBuilder, Visitor, conv_norm_act, util,
};
use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::Attention;
use crate::basic_block::{BasicBlockConfig, conv3x3};

/// How to build a [`ResNetSmall`].
#[derive(Clone, Debug)]
pub struct ResNetSmallConfig {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes.
    pub classes: usize,
    /// Channels of each stage; the first convolution has those of the first.
    pub widths: [usize; 3],
    /// Residual blocks of each stage.
    pub blocks: [usize; 3],
    /// Stride of the first convolution. The second and third stage always halve.
    pub stem_stride: usize,
    /// What stands in the attention slot of every block.
    pub attention: Attention,
}

impl ResNetSmallConfig {
    /// A network that learns small images quickly: widths 32, 64, 128, one block a stage, a first
    /// convolution of stride 2, no attention.
    #[must_use]
    pub fn new(in_channels: usize, classes: usize) -> Self {
        Self {
            in_channels,
            classes,
            widths: [32, 64, 128],
            blocks: [1; 3],
            stem_stride: 2,
            attention: Attention::None,
        }
    }

    /// The paper's networks of `6n + 2` layers: 20 for `n = 3`, 56 for `n = 9`.
    #[must_use]
    pub fn cifar(in_channels: usize, classes: usize, n: usize) -> Self {
        Self {
            widths: [16, 32, 64],
            blocks: [n; 3],
            stem_stride: 1,
            ..Self::new(in_channels, classes)
        }
    }

    /// Sets the channels of each stage.
    #[must_use]
    pub fn widths(mut self, widths: [usize; 3]) -> Self {
        self.widths = widths;
        self
    }

    /// Sets the residual blocks of each stage.
    #[must_use]
    pub fn blocks(mut self, blocks: [usize; 3]) -> Self {
        self.blocks = blocks;
        self
    }

    /// Sets the stride of the first convolution.
    #[must_use]
    pub fn stem_stride(mut self, stride: usize) -> Self {
        self.stem_stride = stride;
        self
    }

    /// Sets what stands in the attention slot of every block.
    #[must_use]
    pub fn attention(mut self, attention: Attention) -> Self {
        self.attention = attention;
        self
    }

    /// Builds the network: `conv1`, `bn1`, `layer1` to `layer3`, `fc`.
    ///
    /// # Errors
    /// A size is 0, or the attention does not fit the widths.
    pub fn build(&self, vb: &VarBuilder) -> Result<ResNetSmall> {
        if self.blocks.contains(&0) {
            let rule = "every stage must have at least one";
            return Err(util::invalid("ResNetSmall", "blocks", self.blocks, rule));
        }
        let stem = conv3x3(self.in_channels, self.widths[0], self.stem_stride);
        Ok(ResNetSmall {
            path: Arc::clone(vb.path()),
            conv1: stem.build(&(vb / "conv1"))?,
            bn1: BatchNormConfig::new(self.widths[0]).build_2d(&(vb / "bn1"))?,
            stages: [self.stage(0, vb)?, self.stage(1, vb)?, self.stage(2, vb)?],
            fc: LinearConfig::new(self.widths[2], self.classes).build(&(vb / "fc"))?,
        })
    }

    fn stage(&self, k: usize, vb: &VarBuilder) -> Result<Checkpointed<Sequential>> {
        let vb = vb / format!("layer{}", k + 1);
        let mut stage = Sequential::new();
        for i in 0..self.blocks[k] {
            let first = i == 0;
            let block = BasicBlockConfig {
                in_channels: self.widths[if first { k.saturating_sub(1) } else { k }],
                out_channels: self.widths[k],
                stride: if first && k > 0 { 2 } else { 1 },
                attention: &self.attention,
            };
            stage = stage.push(block.build(&(&vb / i))?);
        }
        Ok(Checkpointed::off(stage))
    }
}

/// A residual network for small images.
#[derive(Debug)]
pub struct ResNetSmall {
    path: Arc<str>,
    conv1: Conv2d,
    bn1: BatchNorm2d,
    stages: [Checkpointed<Sequential>; 3],
    fc: Linear,
}

impl Layer for ResNetSmall {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("conv1", &self.conv1);
        v.child("bn1", &self.bn1);
        for (name, stage) in ["layer1", "layer2", "layer3"].into_iter().zip(&self.stages) {
            v.child(name, stage);
        }
        v.child("fc", &self.fc);
    }
}

impl Module for ResNetSmall {
    /// # Shapes
    /// `[N, in, H, W] -> [N, classes]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let x = conv_norm_act(&self.conv1, &self.bn1, Activation::Relu, x, None)?;
            let x = self
                .stages
                .iter()
                .try_fold(x, |x, stage| stage.forward(&x))?;
            self.fc.forward(&x.mean(&[2, 3], false)?)
        })
    }
}
