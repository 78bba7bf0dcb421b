//! Networks without residual blocks, and Inception's with them.

use super::ModelInfo;
use crate::{
    BnInceptionNetConfig, GoogLeNetConfig, InceptionResNetV2Config, InceptionV3NetConfig, Plugin,
    VggConfig,
};

/// A network with modules that halve a map by convolutions and by a pooling, which agree on even maps only.
macro_rules! halving {
    ($name:literal, $config:expr, $description:literal) => {
        ModelInfo {
            multiple_of: 32,
            normalization: None,
            ..imagenet!($name, "Caffe", 224, 64, $config, $description)
        }
    };
}

pub(super) const MODELS: &[ModelInfo] = &[
    imagenet!(
        "vgg11",
        "torchvision",
        224,
        32,
        VggConfig::vgg11(),
        "VGG with 11 layers"
    ),
    imagenet!(
        "vgg11_bn",
        "torchvision",
        224,
        32,
        VggConfig::vgg11().batch_norm(true),
        "the same with batch norms"
    ),
    imagenet!(
        "vgg13",
        "torchvision",
        224,
        32,
        VggConfig::vgg13(),
        "VGG with 13 layers"
    ),
    imagenet!(
        "vgg13_bn",
        "torchvision",
        224,
        32,
        VggConfig::vgg13().batch_norm(true),
        "the same with batch norms"
    ),
    imagenet!(
        "vgg16",
        "torchvision",
        224,
        32,
        VggConfig::vgg16(),
        "VGG with 16 layers"
    ),
    imagenet!(
        "vgg16_bn",
        "torchvision",
        224,
        32,
        VggConfig::vgg16().batch_norm(true),
        "the same with batch norms"
    ),
    imagenet!(
        "se_vgg16_bn",
        "striate",
        224,
        32,
        VggConfig::vgg16()
            .batch_norm(true)
            .attention(Plugin::se(16)),
        "the same with squeeze-and-excitation behind every convolution's ReLU"
    ),
    imagenet!(
        "vgg19",
        "torchvision",
        224,
        32,
        VggConfig::vgg19(),
        "VGG with 19 layers"
    ),
    imagenet!(
        "vgg19_bn",
        "torchvision",
        224,
        32,
        VggConfig::vgg19().batch_norm(true),
        "the same with batch norms"
    ),
    inception!(
        "googlenet",
        "torchvision",
        224,
        31,
        GoogLeNetConfig::new(),
        "GoogLeNet with batch norms"
    ),
    halving!("bn_inception", BnInceptionNetConfig::new(), "BN-Inception"),
    halving!(
        "se_bn_inception",
        BnInceptionNetConfig::se(),
        "BN-Inception with squeeze-and-excitation on every module"
    ),
    inception!(
        "inception_v3",
        "torchvision",
        299,
        75,
        InceptionV3NetConfig::new(),
        "Inception v3"
    ),
    inception!(
        "inception_resnet_v2",
        "timm",
        299,
        75,
        InceptionResNetV2Config::new(),
        "Inception-ResNet v2"
    ),
    inception!(
        "se_inception_resnet_v2",
        "timm",
        299,
        75,
        InceptionResNetV2Config::new().attention(Plugin::se(16)),
        "Inception-ResNet v2 with squeeze-and-excitation on every block"
    ),
];
