//! BN-Inception, and with squeeze-and-excitation on every module.
//!
//! Papers: Ioffe, Szegedy, *Batch Normalization*, ICML 2015, arXiv:1502.03167; Hu, Shen, Albanie, Sun, Wu,
//! *Squeeze-and-Excitation Networks*, CVPR 2018, arXiv:1709.01507. Departures: widths are those of the released Caffe
//! models.

use striate_layers::{
    BnInceptionConfig, Conv2dConfig, ConvNormActConfig, GlobalAvgPool, MaxPool2d, VarBuilder,
};
use striate_tensor::{PoolOptions, Result};

use crate::{Network, NetworkBuilder, Plugin};

/// The modules by place, with the channels they give; those of a row have one resolution.
const MODULES: [&[(&str, usize)]; 3] = [
    &[("3a", 256), ("3b", 320)],
    &[
        ("3c", 576),
        ("4a", 576),
        ("4b", 576),
        ("4c", 608),
        ("4d", 608),
    ],
    &[("4e", 1056), ("5a", 1024), ("5b", 1024)],
];

/// How to build BN-Inception.
#[derive(Clone, Debug)]
pub struct BnInceptionNetConfig {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes; 0 for a network that gives features.
    pub classes: usize,
    /// What stands behind every module.
    pub attention: Option<Plugin>,
}

impl Default for BnInceptionNetConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl BnInceptionNetConfig {
    /// Without attention.
    #[must_use]
    pub fn new() -> Self {
        Self {
            in_channels: 3,
            classes: 1000,
            attention: None,
        }
    }

    /// Squeeze-and-excitation with a reduction of 16 behind every module.
    #[must_use]
    pub fn se() -> Self {
        Self::new().attention(Plugin::se(16))
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

    /// Puts attention behind every module; its parts are named as children of that: `inception_3a.se`.
    #[must_use]
    pub fn attention(mut self, plugin: Plugin) -> Self {
        self.attention = Some(plugin);
        self
    }

    /// Builds the network: `conv1_7x7_s2`, `conv2_3x3_reduce`, `conv2_3x3`, `inception_3a` to `inception_5b` and
    /// `classifier`, as in the Caffe model, each convolution `conv` and `bn`.
    ///
    /// # Errors
    /// The channels are 0, or the attention does not fit.
    pub fn build(&self, vb: &VarBuilder) -> Result<Network> {
        let brick = |net: NetworkBuilder, name: &str, conv: Conv2dConfig| -> Result<_> {
            let brick = ConvNormActConfig::new(conv.same_padding());
            Ok(net.push(name, brick.build(&(vb / name))?))
        };
        let halve = || MaxPool2d::new(PoolOptions::new(3).stride(2).ceil_mode(true));
        let stem = Conv2dConfig::new(self.in_channels, 64, 7).stride(2);
        let net = brick(NetworkBuilder::new(vb), "conv1_7x7_s2", stem)?;
        let net = net.end_stage("conv1", 64).push("", halve());
        let net = brick(net, "conv2_3x3_reduce", Conv2dConfig::new(64, 64, 1))?;
        let net = brick(net, "conv2_3x3", Conv2dConfig::new(64, 192, 3))?;
        let mut net = net.end_stage("conv2", 192).push("", halve());
        for (i, modules) in MODULES.into_iter().enumerate() {
            let mut last = 0;
            for &(place, channels) in modules {
                let name = format!("inception_{place}");
                let module = BnInceptionConfig::at(place)?.build(&(vb / &name))?;
                net = net.push(&name, module);
                if let Some(plugin) = &self.attention {
                    let module = plugin.build(channels, &(vb / &name))?;
                    net = net.push(format!("{name}.{}", plugin.name()), module);
                }
                last = channels;
            }
            net = net.end_stage(format!("inception_{}", i + 3), last);
        }
        net.push("", GlobalAvgPool)
            .classify("classifier", 1024, self.classes)
    }
}
