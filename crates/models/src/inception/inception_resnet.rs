//! Inception-ResNet v2.
//!
//! Paper: Szegedy, Ioffe, Vanhoucke, Alemi, *Inception-v4, Inception-ResNet and the Impact of Residual Connections on
//! Learning*, AAAI 2017, arXiv:1602.07261. Departures: none from timm, whose weights are TensorFlow's.

use striate_layers::{
    AvgPool2d, Conv2dConfig, ConvNormActConfig, Dropout, GlobalAvgPool, InceptionResNetConfig,
    InceptionResNetKind, LinearConfig, MaxPool2d, Parallel, Sequential, VarBuilder,
};
use striate_tensor::{Divisor, PoolOptions, Result};

use crate::{Network, NetworkBuilder, Plugin};

/// How to build Inception-ResNet v2.
#[derive(Clone, Debug)]
pub struct InceptionResNetV2Config {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes; 0 for a network that gives features.
    pub classes: usize,
    /// Dropout before the last layer.
    pub dropout: f64,
    /// What stands on the correction of every residual block, before its factor.
    pub attention: Option<Plugin>,
}

impl Default for InceptionResNetV2Config {
    fn default() -> Self {
        Self::new()
    }
}

impl InceptionResNetV2Config {
    /// timm's.
    #[must_use]
    pub fn new() -> Self {
        Self {
            in_channels: 3,
            classes: 1000,
            dropout: 0.0,
            attention: None,
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

    /// Puts attention on the correction of every residual block, before its factor.
    #[must_use]
    pub fn attention(mut self, plugin: Plugin) -> Self {
        self.attention = Some(plugin);
        self
    }

    /// Builds the network under timm's names. Images are at least 75 pixels wide and high.
    ///
    /// # Errors
    /// The channels are 0, the dropout is no probability, or the attention does not fit.
    pub fn build(&self, vb: &VarBuilder) -> Result<Network> {
        let brick = |net: NetworkBuilder, name: &str, conv: Conv2dConfig| -> Result<_> {
            let brick = ConvNormActConfig::new(conv).eps(1e-3);
            Ok(net.push(name, brick.build(&(vb / name))?))
        };
        let halve = || MaxPool2d::new(PoolOptions::new(3).stride(2));
        let conv = Conv2dConfig::new;
        let net = NetworkBuilder::new(vb);
        let net = brick(net, "conv2d_1a", conv(self.in_channels, 32, 3).stride(2))?;
        let net = brick(net, "conv2d_2a", conv(32, 32, 3))?;
        let net = brick(net, "conv2d_2b", conv(32, 64, 3).padding(1))?;
        let net = net.end_stage("conv2d_2b", 64).push("", halve());
        let net = brick(net, "conv2d_3b", conv(64, 80, 1))?;
        let net = brick(net, "conv2d_4a", conv(80, 192, 3))?;
        let net = net.end_stage("conv2d_4a", 192).push("", halve());
        let net = net.push("mixed_5b", mixed_5b(&(vb / "mixed_5b"))?);
        let net = self.repeat(net, "repeat", 10, 320, InceptionResNetKind::Block35, vb)?;
        let net = net.end_stage("repeat", 320);
        let net = net.push("mixed_6a", mixed_6a(&(vb / "mixed_6a"))?);
        let net = self.repeat(net, "repeat_1", 20, 1088, InceptionResNetKind::Block17, vb)?;
        let net = net.end_stage("repeat_1", 1088);
        let net = net.push("mixed_7a", mixed_7a(&(vb / "mixed_7a"))?);
        let net = self.repeat(net, "repeat_2", 9, 2080, InceptionResNetKind::Block8, vb)?;
        let last = InceptionResNetConfig::new(2080, InceptionResNetKind::Block8)
            .scale(1.0)
            .relu(false);
        let net = net.push("block8", self.block(&last, &(vb / "block8"))?);
        let net = brick(net, "conv2d_7b", conv(2080, 1536, 1))?.end_stage("conv2d_7b", 1536);
        net.push("", GlobalAvgPool)
            .push("", Dropout::new(self.dropout, vb)?)
            .classify_with("classif", LinearConfig::new(1536, self.classes))
    }

    /// So many blocks of a kind.
    fn repeat(
        &self,
        net: NetworkBuilder,
        name: &str,
        count: usize,
        channels: usize,
        kind: InceptionResNetKind,
        vb: &VarBuilder,
    ) -> Result<NetworkBuilder> {
        let config = InceptionResNetConfig::new(channels, kind);
        let mut blocks = Sequential::new();
        for i in 0..count {
            blocks = blocks.push(self.block(&config, &(vb / name / i))?);
        }
        Ok(net.push(name, blocks))
    }

    fn block(
        &self,
        config: &InceptionResNetConfig,
        vb: &VarBuilder,
    ) -> Result<striate_layers::InceptionResNetBlock> {
        let block = config.build(vb)?;
        if let Some(plugin) = &self.attention {
            let module = plugin.build(config.channels, vb)?;
            block.slot().fill(plugin.name(), module)?;
        }
        Ok(block)
    }
}

/// A chain of convolutions, each with batch norm and ReLU: `name.0`, `name.1`, ... behind `before`.
fn chain(
    before: Sequential,
    name: &str,
    convs: &[Conv2dConfig],
    vb: &VarBuilder,
) -> Result<Sequential> {
    convs.iter().try_fold(before, |chain, conv| {
        let i = chain.len();
        let brick = ConvNormActConfig::new(conv.clone()).eps(1e-3);
        Ok(chain.push(brick.build(&(vb / name / i))?))
    })
}

/// A branch of one convolution, which has the branch's name.
fn single(
    name: &str,
    conv: Conv2dConfig,
    vb: &VarBuilder,
) -> Result<impl striate_layers::Module + use<>> {
    ConvNormActConfig::new(conv).eps(1e-3).build(&(vb / name))
}

fn mixed_5b(vb: &VarBuilder) -> Result<Parallel> {
    let conv = Conv2dConfig::new;
    let means = AvgPool2d::new(PoolOptions::new(3).stride(1).padding(1));
    let pooled = Sequential::new().push(means.divisor(Divisor::ExcludePad));
    let middle = [conv(192, 48, 1), conv(48, 64, 5).padding(2)];
    let double = [
        conv(192, 64, 1),
        conv(64, 96, 3).padding(1),
        conv(96, 96, 3).padding(1),
    ];
    Ok(Parallel::new()
        .push("branch0", single("branch0", conv(192, 96, 1), vb)?)
        .push("branch1", chain(Sequential::new(), "branch1", &middle, vb)?)
        .push("branch2", chain(Sequential::new(), "branch2", &double, vb)?)
        .push(
            "branch3",
            chain(pooled, "branch3", &[conv(192, 64, 1)], vb)?,
        ))
}

fn mixed_6a(vb: &VarBuilder) -> Result<Parallel> {
    let conv = Conv2dConfig::new;
    let double = [
        conv(320, 256, 1),
        conv(256, 256, 3).padding(1),
        conv(256, 384, 3).stride(2),
    ];
    Ok(Parallel::new()
        .push(
            "branch0",
            single("branch0", conv(320, 384, 3).stride(2), vb)?,
        )
        .push("branch1", chain(Sequential::new(), "branch1", &double, vb)?)
        .push("branch2", MaxPool2d::new(PoolOptions::new(3).stride(2))))
}

fn mixed_7a(vb: &VarBuilder) -> Result<Parallel> {
    let conv = Conv2dConfig::new;
    let branches: [&[Conv2dConfig]; 3] = [
        &[conv(1088, 256, 1), conv(256, 384, 3).stride(2)],
        &[conv(1088, 256, 1), conv(256, 288, 3).stride(2)],
        &[
            conv(1088, 256, 1),
            conv(256, 288, 3).padding(1),
            conv(288, 320, 3).stride(2),
        ],
    ];
    let mut all = Parallel::new();
    for (i, convs) in branches.into_iter().enumerate() {
        let name = format!("branch{i}");
        let branch = chain(Sequential::new(), &name, convs, vb)?;
        all = all.push(name, branch);
    }
    Ok(all.push("branch3", MaxPool2d::new(PoolOptions::new(3).stride(2))))
}
