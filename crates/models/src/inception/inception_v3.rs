//! Inception v3.
//!
//! Paper: Szegedy et al., *Rethinking the Inception Architecture for Computer Vision*, CVPR 2016, arXiv:1512.00567.
//! Departures: none from torchvision; the auxiliary classifier of training is left out, and images come normalised.

use striate_layers::{
    Conv2dConfig, ConvNormActConfig, Dropout, GlobalAvgPool, InceptionV3Config, InceptionV3Kind,
    Init, LinearConfig, MaxPool2d, VarBuilder,
};
use striate_tensor::{PoolOptions, Result};

use crate::{Network, NetworkBuilder};

/// How the weights start in torchvision, a normal cut off at 20 standard deviations.
const INIT: Init = Init::Normal { std: 0.1 };

/// How to build Inception v3.
#[derive(Clone, Debug)]
pub struct InceptionV3NetConfig {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes; 0 for a network that gives features.
    pub classes: usize,
    /// Dropout before the last layer.
    pub dropout: f64,
}

impl Default for InceptionV3NetConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl InceptionV3NetConfig {
    /// torchvision's.
    #[must_use]
    pub fn new() -> Self {
        Self {
            in_channels: 3,
            classes: 1000,
            dropout: 0.5,
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

    /// Builds the network under torchvision's names. Images are at least 75 pixels wide and high.
    ///
    /// # Errors
    /// The channels are 0, or the dropout is no probability.
    pub fn build(&self, vb: &VarBuilder) -> Result<Network> {
        let brick = |net: NetworkBuilder, name: &str, conv: Conv2dConfig| -> Result<_> {
            let brick = ConvNormActConfig::new(conv.init(INIT)).eps(1e-3);
            Ok(net.push(name, brick.build(&(vb / name))?))
        };
        let block = |net: NetworkBuilder, name: &str, channels, kind| -> Result<_> {
            let block = InceptionV3Config::new(channels, kind).init(INIT);
            Ok(net.push(name, block.build(&(vb / name))?))
        };
        let halve = || MaxPool2d::new(PoolOptions::new(3).stride(2));
        let conv = Conv2dConfig::new;
        let net = NetworkBuilder::new(vb);
        let net = brick(
            net,
            "Conv2d_1a_3x3",
            conv(self.in_channels, 32, 3).stride(2),
        )?;
        let net = brick(net, "Conv2d_2a_3x3", conv(32, 32, 3))?;
        let net = brick(net, "Conv2d_2b_3x3", conv(32, 64, 3).padding(1))?;
        let net = net.end_stage("Conv2d_2b_3x3", 64).push("", halve());
        let net = brick(net, "Conv2d_3b_1x1", conv(64, 80, 1))?;
        let net = brick(net, "Conv2d_4a_3x3", conv(80, 192, 3))?;
        let mut net = net.end_stage("Conv2d_4a_3x3", 192).push("", halve());
        for (name, channels, pool_features) in [
            ("Mixed_5b", 192, 32),
            ("Mixed_5c", 256, 64),
            ("Mixed_5d", 288, 64),
        ] {
            net = block(net, name, channels, InceptionV3Kind::A { pool_features })?;
        }
        net = net.end_stage("Mixed_5d", 288);
        net = block(net, "Mixed_6a", 288, InceptionV3Kind::B)?;
        for (name, width) in [
            ("Mixed_6b", 128),
            ("Mixed_6c", 160),
            ("Mixed_6d", 160),
            ("Mixed_6e", 192),
        ] {
            net = block(net, name, 768, InceptionV3Kind::C { width })?;
        }
        net = net.end_stage("Mixed_6e", 768);
        net = block(net, "Mixed_7a", 768, InceptionV3Kind::D)?;
        net = block(net, "Mixed_7b", 1280, InceptionV3Kind::E)?;
        net = block(net, "Mixed_7c", 2048, InceptionV3Kind::E)?;
        net.end_stage("Mixed_7c", 2048)
            .push("", GlobalAvgPool)
            .push("", Dropout::new(self.dropout, vb)?)
            .classify_with("fc", LinearConfig::new(2048, self.classes).init(INIT))
    }
}
