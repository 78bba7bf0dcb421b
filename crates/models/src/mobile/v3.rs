//! MobileNet v3.
//!
//! Paper: Howard et al., *Searching for MobileNetV3*, ICCV 2019, arXiv:1905.02244. Departures: none from torchvision.

use striate_layers::{
    Activation, Conv2dConfig, Dropout, GlobalAvgPool, Init, LinearConfig, Place, Sequential,
    VarBuilder, make_divisible,
};
use striate_tensor::Result;

use super::block::{Block, Dialect, Style, scaled};
use crate::{Network, NetworkBuilder, Plugin};

/// Kernel, channels inside and out, whether gated, whether hard swish, stride.
type Row = (usize, usize, usize, bool, bool, usize);

const LARGE: &[Row] = &[
    (3, 16, 16, false, false, 1),
    (3, 64, 24, false, false, 2),
    (3, 72, 24, false, false, 1),
    (5, 72, 40, true, false, 2),
    (5, 120, 40, true, false, 1),
    (5, 120, 40, true, false, 1),
    (3, 240, 80, false, true, 2),
    (3, 200, 80, false, true, 1),
    (3, 184, 80, false, true, 1),
    (3, 184, 80, false, true, 1),
    (3, 480, 112, true, true, 1),
    (3, 672, 112, true, true, 1),
    (5, 672, 160, true, true, 2),
    (5, 960, 160, true, true, 1),
    (5, 960, 160, true, true, 1),
];

const SMALL: &[Row] = &[
    (3, 16, 16, true, false, 2),
    (3, 72, 24, false, false, 2),
    (3, 88, 24, false, false, 1),
    (5, 96, 40, true, true, 2),
    (5, 240, 40, true, true, 1),
    (5, 240, 40, true, true, 1),
    (5, 120, 48, true, true, 1),
    (5, 144, 48, true, true, 1),
    (5, 288, 96, true, true, 2),
    (5, 576, 96, true, true, 1),
    (5, 576, 96, true, true, 1),
];

/// How to build MobileNet v3.
#[derive(Clone, Debug)]
pub struct MobileNetV3Config {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes; 0 for a network that gives features.
    pub classes: usize,
    /// Factor of all channels.
    pub width: f64,
    /// Whether it is the large one.
    pub large: bool,
    /// Dropout before the last layer.
    pub dropout: f64,
    /// What stands in the slots of the blocks; [`Place::Conv3x3`] is behind the gate.
    pub plugins: Vec<(Place, Plugin)>,
}

impl MobileNetV3Config {
    fn new(large: bool) -> Self {
        Self {
            in_channels: 3,
            classes: 1000,
            width: 1.0,
            large,
            dropout: 0.2,
            plugins: Vec::new(),
        }
    }

    /// torchvision's `mobilenet_v3_large`.
    #[must_use]
    pub fn large() -> Self {
        Self::new(true)
    }

    /// torchvision's `mobilenet_v3_small`.
    #[must_use]
    pub fn small() -> Self {
        Self::new(false)
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
        let mut style = Style::new(Dialect::V3).plugged(None, &self.plugins);
        style.norm = [1e-3, 0.01];
        let brick = |conv, at: usize| {
            let names = [0, 1].map(|i| format!("features.{at}.{i}"));
            style.push(Sequential::new(), conv, names, Activation::Hardswish, vb)
        };
        let mut channels = scaled(16, self.width)?;
        let stem = Conv2dConfig::new(self.in_channels, channels, 3).stride(2);
        let mut net = NetworkBuilder::new(vb).push("", brick(stem, 0)?);
        let (rows, hidden) = if self.large {
            (LARGE, 1280)
        } else {
            (SMALL, 1024)
        };
        let mut at = 0;
        for &(kernel, inside, out, gated, hard_swish, stride) in rows {
            let inside = scaled(inside, self.width)?;
            let gate = gated.then(|| make_divisible((inside / 4) as f64, 8, 0.9));
            let block = Block {
                kernel,
                stride,
                act: if hard_swish {
                    Activation::Hardswish
                } else {
                    Activation::Relu
                },
                gate: gate.transpose()?,
                ..Block::new(channels, inside, scaled(out, self.width)?)
            };
            if stride > 1 {
                net = net.end_stage(format!("features.{at}"), channels);
            }
            at += 1;
            let name = format!("features.{at}");
            net = net.push(&name, block.build(&style, &(vb / &name))?);
            channels = block.out_channels;
        }
        net = net.end_stage(format!("features.{at}"), channels);
        let features = 6 * channels;
        let hidden = scaled(hidden, self.width)?;
        let linear = |from, to| {
            LinearConfig::new(from, to)
                .init(Init::Normal { std: 0.01 })
                .bias_init(Init::ZEROS)
        };
        let first = linear(features, hidden).build(&(vb / "classifier.0"))?;
        net.push("", brick(Conv2dConfig::new(channels, features, 1), at + 1)?)
            .push("", GlobalAvgPool)
            .push("classifier.0", first)
            .push("", Activation::Hardswish)
            .push("", Dropout::new(self.dropout, vb)?)
            .classify_with("classifier.3", linear(hidden, self.classes))
    }
}
