//! GhostNet.
//!
//! Paper: Han et al., *GhostNet: More Features from Cheap Operations*, CVPR 2020, arXiv:1911.11907. Departures: none.

use striate_layers::{
    Activation, AdaptiveAvgPool2d, Conv2dConfig, ConvNormActConfig, Dropout, Flatten,
    GhostBottleneckConfig, LinearConfig, Sequential, VarBuilder, make_divisible,
};
use striate_tensor::Result;

use crate::{Network, NetworkBuilder};

/// Depthwise kernel, channels inside and out, whether gated, stride.
type Row = (usize, usize, usize, bool, usize);

const STAGES: [&[Row]; 9] = [
    &[(3, 16, 16, false, 1)],
    &[(3, 48, 24, false, 2)],
    &[(3, 72, 24, false, 1)],
    &[(5, 72, 40, true, 2)],
    &[(5, 120, 40, true, 1)],
    &[(3, 240, 80, false, 2)],
    &[
        (3, 200, 80, false, 1),
        (3, 184, 80, false, 1),
        (3, 184, 80, false, 1),
        (3, 480, 112, true, 1),
        (3, 672, 112, true, 1),
    ],
    &[(5, 672, 160, true, 2)],
    &[
        (5, 960, 160, false, 1),
        (5, 960, 160, true, 1),
        (5, 960, 160, false, 1),
        (5, 960, 160, true, 1),
    ],
];

/// How to build GhostNet.
#[derive(Clone, Debug)]
pub struct GhostNetConfig {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes; 0 for a network that gives features.
    pub classes: usize,
    /// Factor of the channels, but for the 1280 features.
    pub width: f64,
    /// Dropout before the last layer.
    pub dropout: f64,
}

impl GhostNetConfig {
    /// timm's `ghostnet_100` for a width of 1.
    #[must_use]
    pub fn new(width: f64) -> Self {
        Self {
            in_channels: 3,
            classes: 1000,
            width,
            dropout: 0.2,
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

    /// Sets the dropout before the last layer.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> Self {
        self.dropout = p;
        self
    }

    /// Builds the network under timm's names.
    ///
    /// # Errors
    /// The channels are 0, or the width or the dropout is out of its range.
    pub fn build(&self, vb: &VarBuilder) -> Result<Network> {
        let scaled = |channels: usize| make_divisible(channels as f64 * self.width, 4, 0.9);
        let mut channels = scaled(16)?;
        let stem = Conv2dConfig::new(self.in_channels, channels, 3).stride(2);
        let stem = ConvNormActConfig::new(stem.same_padding()).names("conv_stem", "bn1");
        let mut net = NetworkBuilder::new(vb).push("", stem.build(vb)?);
        for (stage, rows) in STAGES.into_iter().enumerate() {
            let name = format!("blocks.{stage}");
            let mut blocks = Sequential::new();
            for (i, &(kernel, inside, out, gated, stride)) in rows.iter().enumerate() {
                let block = GhostBottleneckConfig::new(channels, scaled(inside)?, scaled(out)?)
                    .dw_kernel(kernel)
                    .stride(stride)
                    .se_ratio(if gated { 0.25 } else { 0.0 });
                blocks = blocks.push(block.build(&(vb / &name / i))?);
                channels = block.out_channels;
            }
            net = net.push(&name, blocks).end_stage(name, channels);
        }
        let (wide, features) = (scaled(960)?, 1280);
        let last =
            ConvNormActConfig::new(Conv2dConfig::new(channels, wide, 1)).names("conv", "bn1");
        let head = Conv2dConfig::new(wide, features, 1).build(&(vb / "conv_head"))?;
        net.push("blocks.9.0", last.build(&(vb / "blocks.9.0"))?)
            .push("", AdaptiveAvgPool2d::new(1))
            .push("conv_head", head)
            .push("", Activation::Relu)
            .push("", Flatten)
            .push("", Dropout::new(self.dropout, vb)?)
            .classify_with("classifier", LinearConfig::new(features, self.classes))
    }
}
