//! EfficientNet, and with conditionally parameterised convolutions in its last stages.
//!
//! Papers: Tan, Le, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks*, ICML 2019,
//! arXiv:1905.11946; Yang, Bender, Le, Ngiam, *CondConv*, NeurIPS 2019, arXiv:1904.04971. Departures: none from timm;
//! stochastic depth is left out.

use striate_layers::{
    Activation, Conv2dConfig, Dropout, GlobalAvgPool, Place, Sequential, VarBuilder, util,
};
use striate_tensor::Result;

use super::block::{Block, Dialect, Style, scaled};
use super::cond_block::CondBlock;
use super::v1::classifier;
use crate::{Network, NetworkBuilder, Plugin};

/// Blocks, kernel, stride of the first, how many times wider inside, channels.
const STAGES: [[usize; 5]; 7] = [
    [1, 3, 1, 1, 16],
    [2, 3, 2, 6, 24],
    [2, 5, 2, 6, 40],
    [3, 3, 2, 6, 80],
    [3, 5, 1, 6, 112],
    [4, 5, 2, 6, 192],
    [1, 3, 1, 6, 320],
];

/// The first stage whose convolutions have experts.
const FIRST_MIXED: usize = 4;

/// Where strided convolutions pad, and the batch norms that go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EfficientNetPadding {
    /// On all sides alike, `eps` 1e-5: networks trained in PyTorch.
    Symmetric,
    /// More at the end, `eps` 1e-3: TensorFlow's weights, timm's `tf_` networks.
    TensorFlow,
}

/// How to build an EfficientNet.
#[derive(Clone, Debug)]
pub struct EfficientNetConfig {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes; 0 for a network that gives features.
    pub classes: usize,
    /// Factor of all channels.
    pub width: f64,
    /// Factor of the blocks of a stage, rounded up.
    pub depth: f64,
    /// Experts of the convolutions in the last three stages, if they have any.
    pub experts: Option<usize>,
    /// Where strided convolutions pad.
    pub padding: EfficientNetPadding,
    /// Dropout before the last layer.
    pub dropout: f64,
    /// What stands in the slots of the blocks without experts; [`Place::Conv3x3`] is behind the gate.
    pub plugins: Vec<(Place, Plugin)>,
}

impl EfficientNetConfig {
    /// timm's `efficientnet_b0`.
    #[must_use]
    pub fn b0() -> Self {
        Self {
            in_channels: 3,
            classes: 1000,
            width: 1.0,
            depth: 1.0,
            experts: None,
            padding: EfficientNetPadding::Symmetric,
            dropout: 0.2,
            plugins: Vec::new(),
        }
    }

    /// TensorFlow's B0 with so many experts, timm's `tf_efficientnet_cc_b0_4e`.
    #[must_use]
    pub fn cond_conv(experts: usize) -> Self {
        let mut config = Self::b0().padding(EfficientNetPadding::TensorFlow);
        config.experts = Some(experts);
        config
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

    /// Sets the factors of the channels and of the blocks: 1.0 and 1.1 for B1, 1.1 and 1.2 for B2.
    #[must_use]
    pub fn scale(mut self, width: f64, depth: f64) -> Self {
        (self.width, self.depth) = (width, depth);
        self
    }

    /// Sets where strided convolutions pad.
    #[must_use]
    pub fn padding(mut self, padding: EfficientNetPadding) -> Self {
        self.padding = padding;
        self
    }

    /// Sets the dropout before the last layer.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> Self {
        self.dropout = p;
        self
    }

    /// Puts a plug-in at a place of every block without experts.
    #[must_use]
    pub fn plugin(mut self, place: Place, plugin: Plugin) -> Self {
        self.plugins.push((place, plugin));
        self
    }

    /// Blocks of a stage.
    fn blocks(&self, depth: usize) -> Result<usize> {
        let blocks = (depth as f64 * self.depth).ceil();
        if !(1.0..=1e4).contains(&blocks) {
            let rule = "it must give every stage at least one block, and not too many";
            return Err(util::invalid("EfficientNet", "depth", self.depth, rule));
        }
        Ok(blocks as usize)
    }

    /// Builds the network under timm's names.
    ///
    /// # Errors
    /// The channels or the experts are 0, a factor or the dropout is out of its range, or a plug-in does not fit.
    pub fn build(&self, vb: &VarBuilder) -> Result<Network> {
        let mut style = Style::new(Dialect::Timm).plugged(None, &self.plugins);
        if self.padding == EfficientNetPadding::TensorFlow {
            (style.tensorflow, style.norm) = (true, [1e-3, 0.1]);
        }
        let brick = |conv, names: [&str; 2]| {
            let names = names.map(str::to_owned);
            style.push(Sequential::new(), conv, names, Activation::Silu, vb)
        };
        let mut channels = scaled(32, self.width)?;
        let stem = Conv2dConfig::new(self.in_channels, channels, 3).stride(2);
        let mut net = NetworkBuilder::new(vb).push("", brick(stem, ["conv_stem", "bn1"])?);
        for (stage, [depth, kernel, stride, ratio, planes]) in STAGES.into_iter().enumerate() {
            let name = format!("blocks.{stage}");
            let mut blocks = Sequential::new();
            for i in 0..self.blocks(depth)? {
                let block = Block {
                    kernel,
                    stride: if i == 0 { stride } else { 1 },
                    act: Activation::Silu,
                    gate: Some((channels / 4).max(1)),
                    ..Block::new(channels, channels * ratio, scaled(planes, self.width)?)
                };
                let vb = vb / &name / i;
                blocks = match self.experts {
                    Some(experts) if stage >= FIRST_MIXED => {
                        blocks.push(CondBlock::build(&block, experts, &style, &vb)?)
                    }
                    _ => blocks.push(block.build(&style, &vb)?),
                };
                channels = block.out_channels;
            }
            net = net.push(&name, blocks).end_stage(name, channels);
        }
        let features = scaled(1280, self.width)?;
        let head = Conv2dConfig::new(channels, features, 1);
        net.push("", brick(head, ["conv_head", "bn2"])?)
            .push("", GlobalAvgPool)
            .push("", Dropout::new(self.dropout, vb)?)
            .classify_with("classifier", classifier(features, self.classes))
    }
}
