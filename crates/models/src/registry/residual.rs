//! Residual networks for ImageNet.

use super::ModelInfo;
use crate::{AntiAlias, Block, Plugin, ResNetConfig, Stages, Stem};

const R18: [usize; 4] = [2, 2, 2, 2];
const R50: [usize; 4] = [3, 4, 6, 3];
const R101: [usize; 4] = [3, 4, 23, 3];

fn resnext(depths: [usize; 4], groups: usize, base_width: usize) -> ResNetConfig {
    ResNetConfig::new(Block::Bottleneck, depths).cardinality(groups, base_width)
}

pub(super) const MODELS: &[ModelInfo] = &[
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
        224,
        17,
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
        224,
        17,
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
        224,
        17,
        ResNetConfig::resnet50()
            .d()
            .attention(Stages::ALL, Plugin::eca()),
        "ResNet-50-D with efficient channel attention"
    ),
    imagenet!(
        "resnest14d",
        "timm",
        224,
        17,
        ResNetConfig::resnest([1; 4], Stem::Deep([32, 32, 64])),
        "ResNeSt-14"
    ),
    imagenet!(
        "resnest50d",
        "timm",
        224,
        17,
        ResNetConfig::resnest(R50, Stem::Deep([32, 32, 64])),
        "ResNeSt-50"
    ),
    imagenet!(
        "resnest101e",
        "timm",
        224,
        17,
        ResNetConfig::resnest(R101, Stem::Deep([64, 64, 128])),
        "ResNeSt-101"
    ),
    imagenet!(
        "resnetblur18",
        "timm",
        224,
        17,
        ResNetConfig::resnet18().blur(),
        "ResNet-18 with blurs instead of strides"
    ),
    imagenet!(
        "resnetblur50",
        "timm",
        224,
        17,
        ResNetConfig::resnet50().blur(),
        "ResNet-50 with blurs instead of strides"
    ),
    imagenet!(
        "resnet18_lpf4",
        "antialiased-cnns",
        224,
        35,
        ResNetConfig::resnet18().anti_alias(AntiAlias::Adobe(4)),
        "antialiased ResNet-18, filters of 4"
    ),
    imagenet!(
        "resnet34_lpf4",
        "antialiased-cnns",
        224,
        35,
        ResNetConfig::resnet34().anti_alias(AntiAlias::Adobe(4)),
        "antialiased ResNet-34, filters of 4"
    ),
    imagenet!(
        "resnet50_lpf4",
        "antialiased-cnns",
        224,
        35,
        ResNetConfig::resnet50().anti_alias(AntiAlias::Adobe(4)),
        "antialiased ResNet-50, filters of 4"
    ),
    imagenet!(
        "resnet101_lpf4",
        "antialiased-cnns",
        224,
        35,
        ResNetConfig::resnet101().anti_alias(AntiAlias::Adobe(4)),
        "antialiased ResNet-101, filters of 4"
    ),
    imagenet!(
        "gcresnet50t",
        "timm",
        ResNetConfig::gcresnet50t(),
        "ResNet-50-T with global context blocks"
    ),
    imagenet!(
        "nonlocal_resnet50",
        "striate",
        224,
        17,
        ResNetConfig::resnet50().non_local(),
        "ResNet-50 with five non-local blocks"
    ),
    imagenet!(
        "dcn_resnet50",
        "mmdetection",
        ResNetConfig::resnet50().deformable(false),
        "ResNet-50 with deformable convolutions in stages 2 to 4"
    ),
    imagenet!(
        "dcnv2_resnet50",
        "mmdetection",
        ResNetConfig::resnet50().deformable(true),
        "ResNet-50 with modulated deformable convolutions in stages 2 to 4"
    ),
    imagenet!(
        "od_resnet18",
        "OD-Conv",
        ResNetConfig::resnet18().od_conv(1),
        "ResNet-18 with omni-dimensional dynamic convolutions"
    ),
    imagenet!(
        "od_resnet18_4x",
        "OD-Conv",
        ResNetConfig::resnet18().od_conv(4),
        "the same with 4 experts"
    ),
    imagenet!(
        "od_resnet50",
        "OD-Conv",
        ResNetConfig::resnet50().od_conv(1),
        "ResNet-50 with omni-dimensional dynamic convolutions"
    ),
    imagenet!(
        "od_resnet50_4x",
        "OD-Conv",
        ResNetConfig::resnet50().od_conv(4),
        "the same with 4 experts"
    ),
    imagenet!(
        "dy_resnet18",
        "kaijieshi7",
        ResNetConfig::resnet18().dynamic_conv(4),
        "ResNet-18 with dynamic convolutions, 4 experts"
    ),
    imagenet!(
        "dy_resnet50",
        "kaijieshi7",
        ResNetConfig::resnet50().dynamic_conv(4),
        "ResNet-50 with dynamic convolutions, 4 experts"
    ),
];
