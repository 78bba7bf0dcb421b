//! Networks by name.

use striate_layers::{Module, VarBuilder, nearest};
use striate_tensor::{Error, Result};

use crate::{Attention, Block, Network, ResNetConfig, ResNetSmallConfig, SkNetCifarConfig, Stem};

/// The network that `striate train` takes unless told otherwise.
pub const DEFAULT: &str = "seresnet_small";

/// A network in the registry.
#[derive(Clone, Copy, Debug)]
pub struct ModelInfo {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub description: &'static str,
    /// Whose names its weights have.
    pub origin: &'static str,
    /// Channels, height and width of the images it is meant for. Other sizes work as long as no
    /// map vanishes.
    pub input: [usize; 3],
    /// Classes it has unless told otherwise.
    pub classes: usize,
    /// Whether [`Options::attention`] applies.
    pub takes_attention: bool,
    build: fn(&Options, &ModelInfo, &VarBuilder) -> Result<Box<dyn Module>>,
}

/// What a network is built for. Fields that are not set keep the network's own choice.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Number of classes.
    pub classes: Option<usize>,
    /// Channels of the images.
    pub in_channels: Option<usize>,
    /// What stands in the attention slots.
    pub attention: Option<Attention>,
}

impl Options {
    /// Sets the number of classes.
    #[must_use]
    pub fn classes(mut self, classes: usize) -> Self {
        self.classes = Some(classes);
        self
    }

    /// Sets the channels of the images.
    #[must_use]
    pub fn in_channels(mut self, channels: usize) -> Self {
        self.in_channels = Some(channels);
        self
    }

    /// Sets what stands in the attention slots.
    #[must_use]
    pub fn attention(mut self, attention: Attention) -> Self {
        self.attention = Some(attention);
        self
    }

    /// Channels of the images and number of classes.
    fn sizes(&self, info: &ModelInfo) -> [usize; 2] {
        [
            self.in_channels.unwrap_or(info.input[0]),
            self.classes.unwrap_or(info.classes),
        ]
    }
}

/// A residual network for small images.
macro_rules! small {
    ($name:literal, $attention:literal, $channels:literal, $config:expr, $description:literal) => {
        ModelInfo {
            name: $name,
            description: $description,
            origin: "striate",
            input: [$channels, 32, 32],
            classes: 10,
            takes_attention: true,
            build: |options, info, vb| {
                let config: fn(usize, usize) -> ResNetSmallConfig = $config;
                let [channels, classes] = options.sizes(info);
                let attention = match &options.attention {
                    Some(attention) => attention.clone(),
                    None => Attention::parse($attention)?,
                };
                Ok(Box::new(
                    config(channels, classes).attention(attention).build(vb)?,
                ))
            },
        }
    };
}

/// The selective-kernel network for CIFAR.
macro_rules! sknet_cifar {
    ($name:literal, $dilated:literal, $description:literal) => {
        ModelInfo {
            name: $name,
            description: $description,
            origin: "PyTorch listing",
            input: [3, 32, 32],
            classes: 10,
            takes_attention: false,
            build: |options, info, vb| {
                let [channels, classes] = options.sizes(info);
                let config = SkNetCifarConfig::new(channels, classes);
                Ok(Box::new(config.dilated($dilated).build(vb)?))
            },
        }
    };
}

/// A network for ImageNet.
macro_rules! imagenet {
    ($name:literal, $origin:literal, $config:expr, $description:literal) => {
        ModelInfo {
            name: $name,
            description: $description,
            origin: $origin,
            input: [3, 224, 224],
            classes: 1000,
            takes_attention: false,
            build: |options, info, vb| {
                let [channels, classes] = options.sizes(info);
                let config = $config.in_channels(channels).classes(classes);
                let network: Network = config.build(vb)?;
                Ok(Box::new(network))
            },
        }
    };
}

const R18: [usize; 4] = [2, 2, 2, 2];
const R50: [usize; 4] = [3, 4, 6, 3];
const R101: [usize; 4] = [3, 4, 23, 3];

fn resnext(depths: [usize; 4], groups: usize, base_width: usize) -> ResNetConfig {
    ResNetConfig::new(Block::Bottleneck, depths).cardinality(groups, base_width)
}

const MODELS: &[ModelInfo] = &[
    small!(
        "resnet_small",
        "none",
        1,
        ResNetSmallConfig::new,
        "residual network of three blocks for small images"
    ),
    small!(
        "seresnet_small",
        "se",
        1,
        ResNetSmallConfig::new,
        "the same with squeeze-and-excitation"
    ),
    small!(
        "skresnet_small",
        "sk",
        1,
        ResNetSmallConfig::new,
        "the same with selective-kernel convolutions"
    ),
    small!(
        "cbamresnet_small",
        "cbam",
        1,
        ResNetSmallConfig::new,
        "the same with CBAM"
    ),
    small!(
        "resnet20",
        "none",
        3,
        |c, k| ResNetSmallConfig::cifar(c, k, 3),
        "ResNet-20 for CIFAR"
    ),
    small!(
        "seresnet20",
        "se",
        3,
        |c, k| ResNetSmallConfig::cifar(c, k, 3),
        "ResNet-20 with squeeze-and-excitation"
    ),
    small!(
        "resnet56",
        "none",
        3,
        |c, k| ResNetSmallConfig::cifar(c, k, 9),
        "ResNet-56 for CIFAR"
    ),
    sknet_cifar!(
        "sknet_cifar",
        false,
        "selective-kernel network for CIFAR, kernels 3 and 5"
    ),
    sknet_cifar!(
        "sknet_cifar_dilated",
        true,
        "the same with a dilated 3x3 instead of the 5x5"
    ),
    imagenet!(
        "resnet18",
        "torchvision",
        ResNetConfig::resnet18(),
        "ResNet-18"
    ),
    imagenet!(
        "resnet34",
        "torchvision",
        ResNetConfig::resnet34(),
        "ResNet-34"
    ),
    imagenet!(
        "resnet50",
        "torchvision",
        ResNetConfig::resnet50(),
        "ResNet-50, the stride in its 3x3"
    ),
    imagenet!(
        "resnet50_caffe",
        "torchvision",
        ResNetConfig::resnet50().caffe(),
        "ResNet-50 as first published, the stride in its first 1x1"
    ),
    imagenet!(
        "resnet50d",
        "timm",
        ResNetConfig::resnet50().d(),
        "ResNet-50 with a deep stem and pooled shortcuts"
    ),
    imagenet!(
        "resnet101",
        "torchvision",
        ResNetConfig::resnet101(),
        "ResNet-101"
    ),
    imagenet!(
        "resnet152",
        "torchvision",
        ResNetConfig::resnet152(),
        "ResNet-152"
    ),
    imagenet!(
        "resnext50_32x4d",
        "torchvision",
        resnext(R50, 32, 4),
        "ResNeXt-50, 32 groups of 4"
    ),
    imagenet!(
        "resnext101_32x4d",
        "timm",
        resnext(R101, 32, 4),
        "ResNeXt-101, 32 groups of 4"
    ),
    imagenet!(
        "resnext101_32x8d",
        "torchvision",
        resnext(R101, 32, 8),
        "ResNeXt-101, 32 groups of 8"
    ),
    imagenet!(
        "resnext101_64x4d",
        "torchvision",
        resnext(R101, 64, 4),
        "ResNeXt-101, 64 groups of 4"
    ),
    imagenet!(
        "wide_resnet50_2",
        "torchvision",
        resnext(R50, 1, 128),
        "ResNet-50 with 3x3 convolutions twice as wide"
    ),
    imagenet!(
        "seresnet18",
        "timm",
        ResNetConfig::resnet18().se(),
        "SE-ResNet-18"
    ),
    imagenet!(
        "seresnet34",
        "timm",
        ResNetConfig::resnet34().se(),
        "SE-ResNet-34"
    ),
    imagenet!(
        "seresnet50",
        "timm",
        ResNetConfig::resnet50().se(),
        "SE-ResNet-50, the stride in its 3x3"
    ),
    imagenet!(
        "seresnet101",
        "timm",
        ResNetConfig::resnet101().se(),
        "SE-ResNet-101"
    ),
    imagenet!(
        "seresnet152",
        "timm",
        ResNetConfig::resnet152().se(),
        "SE-ResNet-152"
    ),
    imagenet!(
        "seresnext50_32x4d",
        "timm",
        resnext(R50, 32, 4).se(),
        "SE-ResNeXt-50, 32 groups of 4"
    ),
    imagenet!(
        "seresnext101_32x4d",
        "timm",
        resnext(R101, 32, 4).se(),
        "SE-ResNeXt-101, 32 groups of 4"
    ),
    imagenet!(
        "senet154",
        "timm",
        ResNetConfig::senet154_timm(),
        "SENet-154, the stem's pooling padded"
    ),
    imagenet!(
        "legacy_seresnet18",
        "timm",
        ResNetConfig::resnet18().legacy_se(),
        "SE-ResNet-18 under Cadene's names"
    ),
    imagenet!(
        "legacy_seresnet34",
        "timm",
        ResNetConfig::resnet34().legacy_se(),
        "SE-ResNet-34 under Cadene's names"
    ),
    imagenet!(
        "legacy_seresnet50",
        "timm",
        ResNetConfig::resnet50().caffe().legacy_se(),
        "SE-ResNet-50 as released, under Cadene's names"
    ),
    imagenet!(
        "legacy_seresnet101",
        "timm",
        ResNetConfig::resnet101().caffe().legacy_se(),
        "SE-ResNet-101 as released, under Cadene's names"
    ),
    imagenet!(
        "legacy_seresnet152",
        "timm",
        ResNetConfig::resnet152().caffe().legacy_se(),
        "SE-ResNet-152 as released, under Cadene's names"
    ),
    imagenet!(
        "legacy_seresnext26_32x4d",
        "timm",
        resnext(R18, 32, 4).legacy_se(),
        "SE-ResNeXt-26 under Cadene's names"
    ),
    imagenet!(
        "legacy_seresnext50_32x4d",
        "timm",
        resnext(R50, 32, 4).legacy_se(),
        "SE-ResNeXt-50 as released, under Cadene's names"
    ),
    imagenet!(
        "legacy_seresnext101_32x4d",
        "timm",
        resnext(R101, 32, 4).legacy_se(),
        "SE-ResNeXt-101 as released, under Cadene's names"
    ),
    imagenet!(
        "legacy_senet154",
        "timm",
        ResNetConfig::senet154(),
        "SENet-154 as released, under Cadene's names"
    ),
    imagenet!(
        "sknet26",
        "timm",
        ResNetConfig::sknet(R18),
        "SKNet-26 of the paper"
    ),
    imagenet!(
        "sknet50",
        "timm",
        ResNetConfig::sknet(R50),
        "SKNet-50 of the paper"
    ),
    imagenet!(
        "sknet101",
        "timm",
        ResNetConfig::sknet(R101),
        "SKNet-101 by the paper's rule"
    ),
    imagenet!(
        "skresnet18",
        "timm",
        ResNetConfig::resnet18().sk(),
        "ResNet-18 with selective kernels that share the input"
    ),
    imagenet!(
        "skresnet34",
        "timm",
        ResNetConfig::resnet34().sk(),
        "ResNet-34 with selective kernels that share the input"
    ),
    imagenet!(
        "skresnet50",
        "timm",
        ResNetConfig::resnet50().sk(),
        "ResNet-50 with selective kernels that share the input"
    ),
    imagenet!(
        "skresnet50d",
        "timm",
        ResNetConfig::resnet50().d().sk(),
        "the same with a deep stem and pooled shortcuts"
    ),
    imagenet!(
        "skresnext50_32x4d",
        "timm",
        ResNetConfig::skresnext(R50),
        "SKNet-50, the stem's pooling padded"
    ),
    imagenet!(
        "cbam_resnet18",
        "attention-module",
        ResNetConfig::resnet18().cbam(),
        "ResNet-18 with CBAM"
    ),
    imagenet!(
        "cbam_resnet34",
        "attention-module",
        ResNetConfig::resnet34().cbam(),
        "ResNet-34 with CBAM"
    ),
    imagenet!(
        "cbam_resnet50",
        "attention-module",
        ResNetConfig::resnet50().cbam(),
        "ResNet-50 with CBAM"
    ),
    imagenet!(
        "bam_resnet50",
        "attention-module",
        ResNetConfig::resnet50().bam(),
        "ResNet-50 with BAM behind its first three stages"
    ),
    imagenet!(
        "ecaresnet50d",
        "timm",
        ResNetConfig::resnet50()
            .d()
            .attention(crate::Stages::ALL, crate::Plugin::eca()),
        "ResNet-50-D with efficient channel attention"
    ),
    imagenet!(
        "resnest14d",
        "timm",
        ResNetConfig::resnest([1; 4], Stem::Deep([32, 32, 64])),
        "ResNeSt-14"
    ),
    imagenet!(
        "resnest50d",
        "timm",
        ResNetConfig::resnest(R50, Stem::Deep([32, 32, 64])),
        "ResNeSt-50"
    ),
    imagenet!(
        "resnest101e",
        "timm",
        ResNetConfig::resnest(R101, Stem::Deep([64, 64, 128])),
        "ResNeSt-101"
    ),
    imagenet!(
        "resnetblur18",
        "timm",
        ResNetConfig::resnet18().blur(),
        "ResNet-18 with blurs instead of strides"
    ),
    imagenet!(
        "resnetblur50",
        "timm",
        ResNetConfig::resnet50().blur(),
        "ResNet-50 with blurs instead of strides"
    ),
    imagenet!(
        "resnet18_lpf4",
        "antialiased-cnns",
        ResNetConfig::resnet18().anti_alias(crate::AntiAlias::Adobe(4)),
        "antialiased ResNet-18, filters of 4"
    ),
    imagenet!(
        "resnet34_lpf4",
        "antialiased-cnns",
        ResNetConfig::resnet34().anti_alias(crate::AntiAlias::Adobe(4)),
        "antialiased ResNet-34, filters of 4"
    ),
    imagenet!(
        "resnet50_lpf4",
        "antialiased-cnns",
        ResNetConfig::resnet50().anti_alias(crate::AntiAlias::Adobe(4)),
        "antialiased ResNet-50, filters of 4"
    ),
    imagenet!(
        "resnet101_lpf4",
        "antialiased-cnns",
        ResNetConfig::resnet101().anti_alias(crate::AntiAlias::Adobe(4)),
        "antialiased ResNet-101, filters of 4"
    ),
];

/// Every network there is.
#[must_use]
pub fn list() -> &'static [ModelInfo] {
    MODELS
}

/// The network of that name.
///
/// # Errors
/// There is none; the text names the nearest.
pub fn find(name: &str) -> Result<&'static ModelInfo> {
    MODELS.iter().find(|m| m.name == name).ok_or_else(|| {
        let near = nearest(name, MODELS.iter().map(|m| m.name));
        let near = near.map_or(String::new(), |n| format!("; nearest: {n}"));
        Error::msg(format!("no model is called {name:?}{near}"))
    })
}

/// Builds the network of that name.
///
/// # Errors
/// There is none of that name, an option does not apply to it, or a size does not fit.
pub fn build(name: &str, options: &Options, vb: &VarBuilder) -> Result<Box<dyn Module>> {
    let model = find(name)?;
    if options.attention.is_some() && !model.takes_attention {
        return Err(Error::msg(format!("{name} has no slot for attention")));
    }
    (model.build)(options, model, vb)
}
