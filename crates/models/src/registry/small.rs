//! Networks for small images.

use super::{ModelInfo, Task};
use crate::{Attention, ResNetSmallConfig, SkNetCifarConfig};

/// A residual network for small images.
macro_rules! small {
    ($name:literal, $attention:literal, $channels:literal, $config:expr, $description:literal) => {
        ModelInfo {
            name: $name,
            description: $description,
            origin: "striate",
            task: Task::Classification,
            smallest: 1,
            multiple_of: 1,
            input: [$channels, 32, 32],
            classes: 10,
            takes_attention: true,
            normalization: None,
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
            task: Task::Classification,
            smallest: 1,
            multiple_of: 1,
            input: [3, 32, 32],
            classes: 10,
            takes_attention: false,
            normalization: None,
            build: |options, info, vb| {
                let [channels, classes] = options.sizes(info);
                let config = SkNetCifarConfig::new(channels, classes);
                Ok(Box::new(config.dilated($dilated).build(vb)?))
            },
        }
    };
}

pub(super) const MODELS: &[ModelInfo] = &[
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
];
