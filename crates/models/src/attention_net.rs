//! Residual attention networks: stages of attention modules between residual blocks.
//!
//! Paper: Wang et al., *Residual Attention Network for Image Classification*, CVPR 2017, arXiv:1704.06904.

use striate_layers::{
    Activation, AttentionModuleConfig, AttentionUnit, BatchNormConfig, Conv2dConfig, GlobalAvgPool,
    MaxPool2d, Sequential, VarBuilder, util,
};
use striate_tensor::{PoolOptions, Result};

use crate::{Network, NetworkBuilder};

/// What comes before the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionStem {
    /// 7x7 with stride 2 to 64 channels, a maximum of 3x3 with stride 2.
    Conv7,
    /// 3x3 to so many channels, for 32x32 images.
    Conv3(usize),
    /// 5x5 to so many channels, a maximum of 2x2 with stride 2.
    Conv5(usize),
}

/// A stage: residual blocks, then attention modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionStage {
    /// Channels.
    pub channels: usize,
    /// Stride of the first block.
    pub stride: usize,
    /// Residual blocks.
    pub blocks: usize,
    /// Attention modules.
    pub modules: usize,
    /// Down-samplings of their hourglasses.
    pub depth: usize,
}

/// How to build a residual attention network.
#[derive(Clone, Debug)]
pub struct AttentionNetConfig {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes; 0 for a network that gives features.
    pub classes: usize,
    /// What comes before the stages.
    pub stem: AttentionStem,
    /// The stages.
    pub stages: Vec<AttentionStage>,
    /// The modules; their channels and depths are those of the stages.
    pub module: AttentionModuleConfig,
}

impl AttentionNetConfig {
    fn new(stem: AttentionStem, stages: Vec<AttentionStage>) -> Self {
        Self {
            in_channels: 3,
            classes: 1000,
            stem,
            stages,
            module: AttentionModuleConfig::new(4, 0),
        }
    }

    /// The networks for ImageNet with so many modules in their stages: 1, 1, 1 are Attention-56, 1, 2, 3 are
    /// Attention-92.
    #[must_use]
    pub fn imagenet([a, b, c]: [usize; 3]) -> Self {
        let stages = [
            [256, 1, 1, a, 3],
            [512, 2, 1, b, 2],
            [1024, 2, 1, c, 1],
            [2048, 2, 3, 0, 0],
        ];
        Self::new(AttentionStem::Conv7, stages.map(stage).to_vec())
    }

    /// The same of ResNeXt units of 32 groups: AttentionNeXt.
    #[must_use]
    pub fn next(modules: [usize; 3]) -> Self {
        let mut config = Self::imagenet(modules);
        config.module = config.module.unit(AttentionUnit::ResNeXt { groups: 32 });
        config
    }

    /// The paper's networks for CIFAR, `36 m + 20` layers deep, as far as it describes them: stages of 64, 128 and 256
    /// channels, two blocks and `m` modules each.
    #[must_use]
    pub fn cifar(m: usize) -> Self {
        let stages = [[64, 1, 2, m, 3], [128, 2, 2, m, 2], [256, 2, 2, m, 1]];
        Self::new(AttentionStem::Conv3(16), stages.map(stage).to_vec()).classes(10)
    }

    /// tengshaofeng's Attention-92 for CIFAR, without the projections that it has and does not use.
    #[must_use]
    pub fn cifar_tengshaofeng() -> Self {
        let stages = [
            [128, 1, 1, 1, 2],
            [256, 2, 1, 2, 1],
            [512, 2, 1, 3, 0],
            [1024, 1, 3, 0, 0],
        ];
        Self::new(AttentionStem::Conv3(32), stages.map(stage).to_vec()).classes(10)
    }

    /// Sets the channels of the images.
    #[must_use]
    pub fn in_channels(mut self, channels: usize) -> Self {
        self.in_channels = channels;
        self
    }

    /// Sets the number of classes.
    #[must_use]
    pub fn classes(mut self, classes: usize) -> Self {
        self.classes = classes;
        self
    }

    /// Sets what comes before the stages.
    #[must_use]
    pub fn stem(mut self, stem: AttentionStem) -> Self {
        self.stem = stem;
        self
    }

    /// Sets the modules; their channels and depths are those of the stages.
    #[must_use]
    pub fn module(mut self, module: AttentionModuleConfig) -> Self {
        self.module = module;
        self
    }

    /// Builds the network under tengshaofeng's names: `conv1`, `residual_block1`, `attention_module1`,
    /// `attention_module2_2`, ..., `mpool2`, `fc`.
    ///
    /// # Errors
    /// A size is 0, there is no stage or one without blocks, or channels do not suit the units.
    pub fn build(&self, vb: &VarBuilder) -> Result<Network> {
        let stages = &self.stages;
        let empty = stages.is_empty() || stages.iter().any(|s| s.blocks == 0 || s.stride == 0);
        if empty {
            let rule = "there must be one, and each must have a block and a stride";
            return Err(util::invalid("AttentionNet", "stages", stages, rule));
        }
        let (mut net, mut channels) = self.push_stem(vb)?;
        let unit = self.module.unit;
        let mut block = 0;
        for (i, stage) in stages.iter().enumerate() {
            for j in 0..stage.blocks {
                block += 1;
                let name = format!("residual_block{block}");
                let stride = if j == 0 { stage.stride } else { 1 };
                let module = unit.build(channels, stage.channels, stride, &(vb / &name))?;
                net = net.push(name, module);
                channels = stage.channels;
            }
            for j in 1..=stage.modules {
                let mut name = format!("attention_module{}", i + 1);
                if j > 1 {
                    name += &format!("_{j}");
                }
                let module = AttentionModuleConfig {
                    channels,
                    depth: stage.depth,
                    ..self.module.clone()
                };
                net = net.push(&name, module.build(&(vb / &name))?);
            }
            net = net.end_stage(format!("stage{}", i + 1), channels);
        }
        if unit == AttentionUnit::PreAct {
            let norm = BatchNormConfig::new(channels).build_2d(&(vb / "mpool2.0"))?;
            net = net.push("mpool2.0", norm).push("", Activation::Relu);
        }
        net.push("", GlobalAvgPool)
            .classify("fc", channels, self.classes)
    }

    fn push_stem(&self, vb: &VarBuilder) -> Result<(NetworkBuilder, usize)> {
        let (channels, kernel, stride, pool) = match self.stem {
            AttentionStem::Conv7 => (64, 7, 2, Some(PoolOptions::new(3).stride(2).padding(1))),
            AttentionStem::Conv3(channels) => (channels, 3, 1, None),
            AttentionStem::Conv5(channels) => (channels, 5, 1, Some(PoolOptions::new(2).stride(2))),
        };
        let conv = Conv2dConfig::new(self.in_channels, channels, kernel)
            .stride(stride)
            .same_padding()
            .bias(false);
        let layers = Sequential::new()
            .push(conv.build(&(vb / "conv1.0"))?)
            .push(BatchNormConfig::new(channels).build_2d(&(vb / "conv1.1"))?)
            .push(Activation::Relu);
        let mut net = NetworkBuilder::new(vb).push("conv1", layers);
        net = net.end_stage("conv1", channels);
        if let Some(pool) = pool {
            net = net.push("", MaxPool2d::new(pool));
        }
        Ok((net, channels))
    }
}

/// Channels, stride, blocks, modules, depth.
fn stage([channels, stride, blocks, modules, depth]: [usize; 5]) -> AttentionStage {
    AttentionStage {
        channels,
        stride,
        blocks,
        modules,
        depth,
    }
}
