//! Networks for dense prediction.

use super::{ModelInfo, Task};
use crate::{DeepLabV3Config, DeepLabV3PlusConfig, ResNetConfig};

/// A network that scores every pixel.
macro_rules! segmentation {
    ($name:literal, $origin:literal, $side:literal, $config:expr, $description:literal) => {
        ModelInfo {
            name: $name,
            description: $description,
            origin: $origin,
            task: Task::Segmentation,
            input: [3, $side, $side],
            smallest: 1,
            multiple_of: 1,
            classes: 21,
            takes_attention: false,
            normalization: None,
            build: |options, info, vb| {
                let [channels, classes] = options.sizes(info);
                let config = $config.in_channels(channels).classes(classes);
                Ok(Box::new(config.build(vb)?))
            },
        }
    };
}

pub(super) const MODELS: &[ModelInfo] = &[
    segmentation!(
        "deeplabv3_resnet50",
        "torchvision",
        520,
        DeepLabV3Config::new(ResNetConfig::resnet50()),
        "DeepLab v3 on ResNet-50, output stride 8"
    ),
    segmentation!(
        "deeplabv3_resnet101",
        "torchvision",
        520,
        DeepLabV3Config::new(ResNetConfig::resnet101()),
        "DeepLab v3 on ResNet-101, output stride 8"
    ),
    segmentation!(
        "deeplabv3plus_resnet50",
        "striate",
        513,
        DeepLabV3PlusConfig::new(ResNetConfig::resnet50()),
        "DeepLab v3+ on ResNet-50, output stride 16"
    ),
];
