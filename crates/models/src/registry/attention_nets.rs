//! Residual attention networks.

use super::ModelInfo;
use crate::AttentionNetConfig;

/// A network for CIFAR.
macro_rules! cifar {
    ($name:literal, $origin:literal, $config:expr, $description:literal) => {
        ModelInfo {
            input: [3, 32, 32],
            classes: 10,
            normalization: None,
            ..imagenet!($name, $origin, $config, $description)
        }
    };
}

pub(super) const MODELS: &[ModelInfo] = &[
    imagenet!(
        "attention56",
        "tengshaofeng",
        AttentionNetConfig::imagenet([1, 1, 1]),
        "Attention-56"
    ),
    imagenet!(
        "attention92",
        "tengshaofeng",
        AttentionNetConfig::imagenet([1, 2, 3]),
        "Attention-92"
    ),
    imagenet!(
        "attentionnext56",
        "striate",
        AttentionNetConfig::next([1, 1, 1]),
        "Attention-56 of ResNeXt units"
    ),
    imagenet!(
        "attentionnext92",
        "striate",
        AttentionNetConfig::next([1, 2, 3]),
        "Attention-92 of ResNeXt units"
    ),
    cifar!(
        "attention92_cifar",
        "striate",
        AttentionNetConfig::cifar(2),
        "Attention-92 for CIFAR as in the paper"
    ),
    cifar!(
        "attention236_cifar",
        "striate",
        AttentionNetConfig::cifar(6),
        "Attention-236 for CIFAR as in the paper"
    ),
    cifar!(
        "attention92_cifar_wide",
        "tengshaofeng",
        AttentionNetConfig::cifar_tengshaofeng(),
        "Attention-92 for CIFAR with up to 1024 channels"
    ),
];
