//! GoogLeNet, Inception v1.
//!
//! Paper: Szegedy et al., *Going Deeper with Convolutions*, CVPR 2015, arXiv:1409.4842. Departures, as in torchvision:
//! batch norms, a 3x3 for the 5x5, no local response norm; the auxiliary classifiers of training are left out.

use striate_layers::{
    Conv2dConfig, ConvNormActConfig, Dropout, GlobalAvgPool, InceptionV1Config, Init, LinearConfig,
    MaxPool2d, VarBuilder,
};
use striate_tensor::{PoolOptions, Result};

use crate::{Network, NetworkBuilder};

/// A module: its name, the channels that come in, those of its branches.
type Row = (&'static str, usize, usize, [usize; 2], [usize; 2], usize);

/// The modules of each resolution.
const MODULES: [&[Row]; 3] = [
    &[
        ("inception3a", 192, 64, [96, 128], [16, 32], 32),
        ("inception3b", 256, 128, [128, 192], [32, 96], 64),
    ],
    &[
        ("inception4a", 480, 192, [96, 208], [16, 48], 64),
        ("inception4b", 512, 160, [112, 224], [24, 64], 64),
        ("inception4c", 512, 128, [128, 256], [24, 64], 64),
        ("inception4d", 512, 112, [144, 288], [32, 64], 64),
        ("inception4e", 528, 256, [160, 320], [32, 128], 128),
    ],
    &[
        ("inception5a", 832, 256, [160, 320], [32, 128], 128),
        ("inception5b", 832, 384, [192, 384], [48, 128], 128),
    ],
];

/// How the weights start in torchvision.
const INIT: Init = Init::Normal { std: 0.01 };

/// How to build GoogLeNet.
#[derive(Clone, Debug)]
pub struct GoogLeNetConfig {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes; 0 for a network that gives features.
    pub classes: usize,
    /// Dropout before the last layer.
    pub dropout: f64,
}

impl Default for GoogLeNetConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl GoogLeNetConfig {
    /// torchvision's.
    #[must_use]
    pub fn new() -> Self {
        Self {
            in_channels: 3,
            classes: 1000,
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

    /// Builds the network under torchvision's names.
    ///
    /// # Errors
    /// The channels are 0, or the dropout is no probability.
    pub fn build(&self, vb: &VarBuilder) -> Result<Network> {
        let brick = |name: &str, conv: Conv2dConfig| {
            ConvNormActConfig::new(conv.same_padding().init(INIT))
                .eps(1e-3)
                .build(&(vb / name))
        };
        let stem = Conv2dConfig::new(self.in_channels, 64, 7).stride(2);
        let mut net = NetworkBuilder::new(vb)
            .push("conv1", brick("conv1", stem)?)
            .end_stage("conv1", 64)
            .push("", halve(3))
            .push("conv2", brick("conv2", Conv2dConfig::new(64, 64, 1))?)
            .push("conv3", brick("conv3", Conv2dConfig::new(64, 192, 3))?)
            .end_stage("conv3", 192);
        let windows = [3, 3, 2];
        for (i, (modules, window)) in MODULES.iter().zip(windows).enumerate() {
            net = net.push("", halve(window));
            let mut channels = 0;
            for &(name, from, ch1x1, ch3x3, ch5x5, pool_proj) in *modules {
                let module = InceptionV1Config::new(from, ch1x1, ch3x3, ch5x5, pool_proj);
                net = net.push(name, module.init(INIT).build(&(vb / name))?);
                channels = ch1x1 + ch3x3[1] + ch5x5[1] + pool_proj;
            }
            net = net.end_stage(format!("inception{}", i + 3), channels);
        }
        net.push("", GlobalAvgPool)
            .push("", Dropout::new(self.dropout, vb)?)
            .classify_with("fc", LinearConfig::new(1024, self.classes).init(INIT))
    }
}

/// A maximum with stride 2 whose last windows may end outside the map.
fn halve(window: usize) -> MaxPool2d {
    MaxPool2d::new(PoolOptions::new(window).stride(2).ceil_mode(true))
}
