//! Networks for small machines.

use striate_layers::Place;

use super::ModelInfo;
use crate::{
    ConvPlugin, EfficientNetConfig, GhostNetConfig, MobileNetV1Config, MobileNetV2Config,
    MobileNetV3Config, Plugin,
};

pub(super) const MODELS: &[ModelInfo] = &[
    inception!(
        "mobilenetv1_100",
        "timm",
        MobileNetV1Config::new(),
        "MobileNet v1"
    ),
    imagenet!(
        "se_mobilenet_v1",
        "timm",
        MobileNetV1Config::se(),
        "MobileNet v1 with squeeze-and-excitation"
    ),
    imagenet!(
        "condconv_mobilenet_v1",
        "striate",
        MobileNetV1Config::new().conv(ConvPlugin::cond_conv(8)),
        "MobileNet v1 with 8 experts in its blocks' convolutions"
    ),
    imagenet!(
        "od_mobilenet_v1",
        "striate",
        MobileNetV1Config::new().conv(ConvPlugin::od_conv(1)),
        "MobileNet v1 with omni-dimensional dynamic convolutions"
    ),
    imagenet!(
        "dy_mobilenet_v1",
        "striate",
        MobileNetV1Config::new().conv(ConvPlugin::dynamic_conv(4)),
        "MobileNet v1 with dynamic convolutions, 4 experts"
    ),
    imagenet!(
        "mobilenet_v2",
        "torchvision",
        MobileNetV2Config::new(),
        "MobileNet v2"
    ),
    imagenet!(
        "se_mobilenet_v2",
        "striate",
        MobileNetV2Config::new().plugin(Place::Standard, Plugin::se(4)),
        "MobileNet v2 with squeeze-and-excitation at the end of every branch"
    ),
    imagenet!(
        "condconv_mobilenet_v2",
        "striate",
        MobileNetV2Config::new().conv(ConvPlugin::cond_conv(8)),
        "MobileNet v2 with 8 experts in its blocks' convolutions"
    ),
    imagenet!(
        "od_mobilenet_v2",
        "OD-Conv",
        MobileNetV2Config::new().conv(ConvPlugin::od_conv(1)),
        "MobileNet v2 with omni-dimensional dynamic convolutions"
    ),
    imagenet!(
        "od_mobilenet_v2_4x",
        "OD-Conv",
        MobileNetV2Config::new().conv(ConvPlugin::od_conv(4)),
        "the same with 4 experts"
    ),
    imagenet!(
        "dy_mobilenet_v2",
        "kaijieshi7",
        MobileNetV2Config::new().conv(ConvPlugin::dynamic_conv(4)),
        "MobileNet v2 with dynamic convolutions, 4 experts"
    ),
    imagenet!(
        "mobilenet_v3_large",
        "torchvision",
        MobileNetV3Config::large(),
        "MobileNet v3, the large one"
    ),
    imagenet!(
        "mobilenet_v3_small",
        "torchvision",
        MobileNetV3Config::small(),
        "MobileNet v3, the small one"
    ),
    imagenet!(
        "efficientnet_b0",
        "timm",
        EfficientNetConfig::b0(),
        "EfficientNet-B0"
    ),
    inception!(
        "tf_efficientnet_cc_b0_4e",
        "timm",
        EfficientNetConfig::cond_conv(4),
        "EfficientNet-B0 with 4 experts in its last stages, TensorFlow's padding"
    ),
    inception!(
        "tf_efficientnet_cc_b0_8e",
        "timm",
        EfficientNetConfig::cond_conv(8),
        "the same with 8 experts"
    ),
    inception!(
        "tf_efficientnet_cc_b1_8e",
        "timm",
        240,
        1,
        EfficientNetConfig::cond_conv(8).scale(1.0, 1.1),
        "EfficientNet-B1 with 8 experts in its last stages, TensorFlow's padding"
    ),
    imagenet!(
        "ghostnet_050",
        "timm",
        GhostNetConfig::new(0.5),
        "GhostNet, half as wide"
    ),
    imagenet!("ghostnet_100", "timm", GhostNetConfig::new(1.0), "GhostNet"),
    imagenet!(
        "ghostnet_130",
        "timm",
        GhostNetConfig::new(1.3),
        "GhostNet, 1.3 times as wide"
    ),
];
