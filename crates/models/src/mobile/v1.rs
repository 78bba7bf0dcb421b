//! MobileNet v1.
//!
//! Paper: Howard et al., *MobileNets*, 2017, arXiv:1704.04861. Departures: ReLU6 instead of ReLU, as in TensorFlow and
//! timm.

use striate_layers::{
    Activation, Conv2dConfig, Dropout, GlobalAvgPool, Init, LinearConfig, Place, Sequential,
    VarBuilder,
};
use striate_tensor::Result;

use super::block::{Block, Dialect, Style, scaled};
use crate::{ConvPlugin, Network, NetworkBuilder, Plugin};

/// Channels, blocks and stride of the first block of every stage.
const STAGES: [[usize; 3]; 5] = [
    [64, 1, 1],
    [128, 2, 2],
    [256, 2, 2],
    [512, 6, 2],
    [1024, 2, 2],
];

/// How to build MobileNet v1.
#[derive(Clone, Debug)]
pub struct MobileNetV1Config {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes; 0 for a network that gives features.
    pub classes: usize,
    /// Factor of all channels.
    pub width: f64,
    /// Dropout before the last layer.
    pub dropout: f64,
    /// What stands in for the convolutions of the blocks: for the depthwise alone if it has its own norm.
    pub conv: Option<ConvPlugin>,
    /// What stands in the slots of the blocks; [`Place::Standard`] is behind the pointwise convolution's ReLU6.
    pub plugins: Vec<(Place, Plugin)>,
}

impl Default for MobileNetV1Config {
    fn default() -> Self {
        Self::new()
    }
}

impl MobileNetV1Config {
    /// timm's `mobilenetv1_100`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            in_channels: 3,
            classes: 1000,
            width: 1.0,
            dropout: 0.0,
            conv: None,
            plugins: Vec::new(),
        }
    }

    /// Squeeze-and-excitation with a reduction of 16 behind every pointwise convolution's ReLU6.
    #[must_use]
    pub fn se() -> Self {
        Self::new().plugin(Place::Standard, Plugin::se(16))
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

    /// Sets the factor of all channels.
    #[must_use]
    pub fn width(mut self, width: f64) -> Self {
        self.width = width;
        self
    }

    /// Sets the dropout before the last layer.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> Self {
        self.dropout = p;
        self
    }

    /// Lets another convolution stand in for those of the blocks.
    #[must_use]
    pub fn conv(mut self, conv: ConvPlugin) -> Self {
        self.conv = Some(conv);
        self
    }

    /// Puts a plug-in at a place of every block.
    #[must_use]
    pub fn plugin(mut self, place: Place, plugin: Plugin) -> Self {
        self.plugins.push((place, plugin));
        self
    }

    /// Builds the network under timm's names.
    ///
    /// # Errors
    /// The channels are 0, the width or the dropout is out of its range, or a plug-in does not fit.
    pub fn build(&self, vb: &VarBuilder) -> Result<Network> {
        let plain = Style::new(Dialect::Timm);
        let style = plain.plugged(self.conv.as_ref(), &self.plugins);
        let mut channels = scaled(32, self.width)?;
        let conv = Conv2dConfig::new(self.in_channels, channels, 3).stride(2);
        let names = ["conv_stem".to_owned(), "bn1".to_owned()];
        let stem = plain.push(Sequential::new(), conv, names, Activation::Relu6, vb)?;
        let mut net = NetworkBuilder::new(vb).push("", stem);
        for (stage, [planes, depth, stride]) in STAGES.into_iter().enumerate() {
            let name = format!("blocks.{stage}");
            let mut blocks = Sequential::new();
            for i in 0..depth {
                let block = Block {
                    stride: if i == 0 { stride } else { 1 },
                    residual: false,
                    ..Block::new(channels, channels, scaled(planes, self.width)?)
                };
                blocks = blocks.push(block.build(&style, &(vb / &name / i))?);
                channels = block.out_channels;
            }
            net = net.push(&name, blocks).end_stage(name, channels);
        }
        let net = net.push("", GlobalAvgPool);
        let net = net.push("", Dropout::new(self.dropout, vb)?);
        net.classify_with("classifier", classifier(channels, self.classes))
    }
}

/// A last layer that starts as timm's.
pub(super) fn classifier(from: usize, classes: usize) -> LinearConfig {
    let bound = 1.0 / (classes.max(1) as f64).sqrt();
    LinearConfig::new(from, classes)
        .init(Init::Uniform { bound })
        .bias_init(Init::ZEROS)
}
