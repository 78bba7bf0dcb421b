//! VGG: stacks of 3x3 convolutions between poolings, and three linear layers.
//!
//! Paper: Simonyan, Zisserman, *Very Deep Convolutional Networks for Large-Scale Image Recognition*, ICLR 2015,
//! arXiv:1409.1556. Departures, as in torchvision: batch norms in the `_bn` networks, and an adaptive pooling to 7x7
//! before the linear layers, so that other sizes work.

use striate_layers::{
    Activation, AdaptiveAvgPool2d, BatchNormConfig, Conv2dConfig, Dropout, Flatten, Init,
    LinearConfig, MaxPool2d, VarBuilder, util,
};
use striate_tensor::{PoolOptions, Result};

use crate::{Network, NetworkBuilder, Plugin};

/// Channels of the five stages.
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];

/// How to build a VGG network.
#[derive(Clone, Debug)]
pub struct VggConfig {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes; 0 for a network that gives features.
    pub classes: usize,
    /// Convolutions of each stage.
    pub depths: [usize; 5],
    /// Whether a batch norm follows every convolution.
    pub batch_norm: bool,
    /// Dropout behind the first two linear layers.
    pub dropout: f64,
    /// What stands behind the ReLU of every convolution.
    pub attention: Option<Plugin>,
}

impl VggConfig {
    /// A network without batch norms whose stages have so many convolutions.
    #[must_use]
    pub fn new(depths: [usize; 5]) -> Self {
        Self {
            in_channels: 3,
            classes: 1000,
            depths,
            batch_norm: false,
            dropout: 0.5,
            attention: None,
        }
    }

    /// Configuration A: 11 layers with weights.
    #[must_use]
    pub fn vgg11() -> Self {
        Self::new([1, 1, 2, 2, 2])
    }

    /// Configuration B.
    #[must_use]
    pub fn vgg13() -> Self {
        Self::new([2, 2, 2, 2, 2])
    }

    /// Configuration D.
    #[must_use]
    pub fn vgg16() -> Self {
        Self::new([2, 2, 3, 3, 3])
    }

    /// Configuration E.
    #[must_use]
    pub fn vgg19() -> Self {
        Self::new([2, 2, 4, 4, 4])
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

    /// Adds or leaves out batch norms.
    #[must_use]
    pub fn batch_norm(mut self, yes: bool) -> Self {
        self.batch_norm = yes;
        self
    }

    /// Sets the dropout behind the first two linear layers.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> Self {
        self.dropout = p;
        self
    }

    /// Puts attention behind the ReLU of every convolution; its parts are named as children of that: `features.0.se`.
    #[must_use]
    pub fn attention(mut self, plugin: Plugin) -> Self {
        self.attention = Some(plugin);
        self
    }

    /// Builds the network under torchvision's names; its stages end before the poolings.
    ///
    /// # Errors
    /// A size is 0, the dropout is no probability, or the attention does not fit.
    pub fn build(&self, vb: &VarBuilder) -> Result<Network> {
        if self.depths.contains(&0) {
            let rule = "every stage must have at least one convolution";
            return Err(util::invalid("Vgg", "depths", self.depths, rule));
        }
        let mut net = NetworkBuilder::new(vb);
        let (mut channels, mut at) = (self.in_channels, 0);
        for (stage, (&depth, width)) in self.depths.iter().zip(WIDTHS).enumerate() {
            if stage > 0 {
                net = net.push("", halve());
                at += 1;
            }
            for _ in 0..depth {
                let name = format!("features.{at}");
                let conv = Conv2dConfig::new(channels, width, 3)
                    .padding(1)
                    .init(Init::KaimingNormal)
                    .bias_init(Init::ZEROS);
                net = net.push(&name, conv.build(&(vb / &name))?);
                at += 1;
                if self.batch_norm {
                    let name = format!("features.{at}");
                    let norm = BatchNormConfig::new(width).build_2d(&(vb / &name))?;
                    net = net.push(name, norm);
                    at += 1;
                }
                net = net.push("", Activation::Relu);
                at += 1;
                if let Some(plugin) = &self.attention {
                    let module = plugin.build(width, &(vb / &name))?;
                    net = net.push(format!("{name}.{}", plugin.name()), module);
                }
                channels = width;
            }
            net = net.end_stage(format!("stage{}", stage + 1), width);
        }
        let linear = |from, to| {
            LinearConfig::new(from, to)
                .init(Init::Normal { std: 0.01 })
                .bias_init(Init::ZEROS)
        };
        net = net
            .push("", halve())
            .push("", AdaptiveAvgPool2d::new(7))
            .push("", Flatten);
        for (name, from) in [("classifier.0", 49 * channels), ("classifier.3", 4096)] {
            net = net
                .push(name, linear(from, 4096).build(&(vb / name))?)
                .push("", Activation::Relu)
                .push("", Dropout::new(self.dropout, vb)?);
        }
        net.classify_with("classifier.6", linear(4096, self.classes))
    }
}

fn halve() -> MaxPool2d {
    MaxPool2d::new(PoolOptions::new(2).stride(2))
}
