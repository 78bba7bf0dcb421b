//! MobileNet v2.
//!
//! Paper: Sandler et al., *MobileNetV2: Inverted Residuals and Linear Bottlenecks*, CVPR 2018, arXiv:1801.04381.
//! Departures: none.

use striate_layers::{
    Activation, Conv2dConfig, Dropout, GlobalAvgPool, Init, LinearConfig, Place, Sequential,
    VarBuilder,
};
use striate_tensor::Result;

use super::block::{Block, Dialect, Style, scaled};
use crate::{ConvPlugin, Network, NetworkBuilder, Plugin};

/// The paper's table: how many times wider inside, channels, blocks, stride of the first.
const STAGES: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
];

/// How to build MobileNet v2.
#[derive(Clone, Debug)]
pub struct MobileNetV2Config {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes; 0 for a network that gives features.
    pub classes: usize,
    /// Factor of all channels; the last convolution has 1280 at least.
    pub width: f64,
    /// Dropout before the last layer.
    pub dropout: f64,
    /// What stands in for the convolutions of the blocks and for the last: for the depthwise alone if it has its own
    /// norm.
    pub conv: Option<ConvPlugin>,
    /// What stands in the slots of the blocks; [`Place::Conv3x3`] is behind the depthwise convolution.
    pub plugins: Vec<(Place, Plugin)>,
}

impl Default for MobileNetV2Config {
    fn default() -> Self {
        Self::new()
    }
}

impl MobileNetV2Config {
    /// torchvision's.
    #[must_use]
    pub fn new() -> Self {
        Self {
            in_channels: 3,
            classes: 1000,
            width: 1.0,
            dropout: 0.2,
            conv: None,
            plugins: Vec::new(),
        }
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

    /// Lets another convolution stand in for those of the blocks and for the last.
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

    /// Builds the network under torchvision's names; its stages end where the next block strides.
    ///
    /// # Errors
    /// The channels are 0, the width or the dropout is out of its range, or a plug-in does not fit.
    pub fn build(&self, vb: &VarBuilder) -> Result<Network> {
        let plain = Style::new(Dialect::V2);
        let style = plain.plugged(self.conv.as_ref(), &self.plugins);
        let mut channels = scaled(32, self.width)?;
        let brick = |style: &Style<'_>, conv, at: usize| {
            let names = [0, 1].map(|i| format!("features.{at}.{i}"));
            style.push(Sequential::new(), conv, names, Activation::Relu6, vb)
        };
        let stem = Conv2dConfig::new(self.in_channels, channels, 3).stride(2);
        let mut net = NetworkBuilder::new(vb).push("", brick(&plain, stem, 0)?);
        let mut at = 0;
        for [ratio, planes, depth, stride] in STAGES {
            let planes = scaled(planes, self.width)?;
            for i in 0..depth {
                let block = Block {
                    stride: if i == 0 { stride } else { 1 },
                    ..Block::new(channels, channels * ratio, planes)
                };
                if block.stride > 1 {
                    net = net.end_stage(format!("features.{at}"), channels);
                }
                at += 1;
                let name = format!("features.{at}");
                net = net.push(&name, block.build(&style, &(vb / &name))?);
                channels = planes;
            }
        }
        net = net.end_stage(format!("features.{at}"), channels);
        let features = scaled(1280, self.width.max(1.0))?;
        let last = Conv2dConfig::new(channels, features, 1);
        let last = brick(&style, last, at + 1)?;
        let classifier = LinearConfig::new(features, self.classes)
            .init(Init::Normal { std: 0.01 })
            .bias_init(Init::ZEROS);
        net.push("", last)
            .push("", GlobalAvgPool)
            .push("", Dropout::new(self.dropout, vb)?)
            .classify_with("classifier.1", classifier)
    }
}
