//! Entries of normalisations.

use striate_tensor::Result;

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{
    FilterResponseNormConfig, GlobalResponseNormConfig, GroupNormConfig, InstanceNorm2dConfig,
    LayerNorm2dConfig, SwitchableNormConfig, VarBuilder,
};

fn group_norm(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = GroupNormConfig::new(o.count_or("groups", 32)?, o.count("channels")?);
    Ok(Box::new(config.eps(o.number_or("eps", 1e-5)?).build(vb)?))
}

fn layer_norm2d(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = LayerNorm2dConfig::new(o.count("channels")?);
    Ok(Box::new(config.eps(o.number_or("eps", 1e-6)?).build(vb)?))
}

fn instance_norm2d(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = InstanceNorm2dConfig::new(o.count("channels")?)
        .eps(o.number_or("eps", 1e-5)?)
        .affine(o.flag_or("affine", true)?);
    Ok(Box::new(config.build(vb)?))
}

fn frn(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = FilterResponseNormConfig::new(o.count("channels")?)
        .eps(o.number_or("eps", 1e-5)?)
        .threshold(o.flag_or("threshold", true)?);
    Ok(Box::new(config.build(vb)?))
}

fn grn(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = GlobalResponseNormConfig::new(o.count("channels")?);
    Ok(Box::new(config.eps(o.number_or("eps", 1e-6)?).build(vb)?))
}

fn switchable_norm(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = SwitchableNormConfig::new(o.count("channels")?)
        .eps(o.number_or("eps", 1e-5)?)
        .momentum(o.number_or("momentum", 0.1)?)
        .batch(o.flag_or("batch", true)?)
        .unbiased(o.flag_or("unbiased", true)?);
    Ok(Box::new(config.build(vb)?))
}

const TYPICAL: Typical = Typical {
    config: r#"{"channels": 256}"#,
    inputs: &[&[1, 256, 56, 56]],
};

/// A few channels, and as many as vectors have.
const EXAMPLES: &[Example] = &[
    Example::new(r#"{"channels": 3}"#, &[&[2, 3, 5, 7]], &[&[2, 3, 5, 7]]),
    Example::new(
        r#"{"channels": 9, "eps": 0.01}"#,
        &[&[1, 9, 4, 3]],
        &[&[1, 9, 4, 3]],
    ),
];

const WRONG: &[&str] = &[
    r#"{"channels": 0}"#,
    r#"{"channels": 8, "eps": 0}"#,
    r#"{"channels": 8, "eps": -1}"#,
    r#"{"channels": -8}"#,
];

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "group_norm",
        description: "normalises groups of channels of each image",
        formula: "y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var over a group of channels of an image",
        paper: "Wu, He, Group Normalization, ECCV 2018, arXiv:1803.08494",
        page: "group_norm",
        typical: TYPICAL,
        examples: &[
            Example::new(
                r#"{"channels": 6, "groups": 2}"#,
                &[&[2, 6, 5, 7]],
                &[&[2, 6, 5, 7]],
            ),
            Example::new(
                r#"{"channels": 9, "groups": 1, "eps": 0.01}"#,
                &[&[1, 9, 4, 3]],
                &[&[1, 9, 4, 3]],
            ),
        ],
        counts: &[(r#"{"channels": 256}"#, 512)],
        invalid: &[
            r#"{"channels": 0}"#,
            r#"{"channels": 8, "groups": 0}"#,
            r#"{"channels": 8, "groups": 3}"#,
            r#"{"channels": 8}"#,
        ],
        make: group_norm,
    },
    Entry {
        name: "layer_norm2d",
        description: "normalises the channels of each pixel",
        formula: "y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var over the channels of a pixel",
        paper: "Ba, Kiros, Hinton, Layer Normalization, 2016, arXiv:1607.06450",
        page: "layer_norm2d",
        typical: TYPICAL,
        examples: EXAMPLES,
        counts: &[(r#"{"channels": 256}"#, 512)],
        invalid: WRONG,
        make: layer_norm2d,
    },
    Entry {
        name: "instance_norm2d",
        description: "normalises each channel of each image",
        formula: "y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var over the pixels of a channel",
        paper: "Ulyanov, Vedaldi, Lempitsky, Instance Normalization, 2016, arXiv:1607.08022",
        page: "instance_norm2d",
        typical: TYPICAL,
        examples: &[
            EXAMPLES[0],
            EXAMPLES[1],
            Example::new(
                r#"{"channels": 3, "affine": false}"#,
                &[&[1, 3, 3, 1]],
                &[&[1, 3, 3, 1]],
            ),
        ],
        counts: &[
            (r#"{"channels": 256}"#, 512),
            (r#"{"channels": 256, "affine": false}"#, 0),
        ],
        invalid: WRONG,
        make: instance_norm2d,
    },
    Entry {
        name: "frn",
        description: "divides each channel by the root of its mean square, then a rectifier with a learned threshold",
        formula: "y = max(weight * x / sqrt(mean_hw(x^2) + eps) + bias, tau)",
        paper: "Singh, Krishnan, Filter Response Normalization Layer, CVPR 2020, arXiv:1911.09737",
        page: "frn",
        typical: TYPICAL,
        examples: &[
            EXAMPLES[0],
            EXAMPLES[1],
            Example::new(
                r#"{"channels": 3, "threshold": false}"#,
                &[&[1, 3, 1, 1]],
                &[&[1, 3, 1, 1]],
            ),
        ],
        counts: &[
            (r#"{"channels": 256}"#, 768),
            (r#"{"channels": 256, "threshold": false}"#, 512),
        ],
        invalid: WRONG,
        make: frn,
    },
    Entry {
        name: "grn",
        description: "strengthens the channels that respond more than the others",
        formula: "y = x + weight * x * G / (mean_c(G) + eps) + bias, G = sqrt(sum_hw(x^2))",
        paper: "Woo et al., ConvNeXt V2, CVPR 2023, arXiv:2301.00808",
        page: "grn",
        typical: TYPICAL,
        examples: EXAMPLES,
        counts: &[(r#"{"channels": 256}"#, 512)],
        invalid: WRONG,
        make: grn,
    },
    Entry {
        name: "switchable_norm",
        description: "learns how much of its statistics are those of the instance, the layer and the batch",
        formula: "y = (x - sum_k a_k mean_k) / sqrt(sum_k b_k var_k + eps) * weight + bias, a and b softmaxes",
        paper: "Luo et al., Differentiable Learning-to-Normalize via Switchable Normalization, ICLR 2019, arXiv:1806.10779",
        page: "switchable_norm",
        typical: TYPICAL,
        examples: &[
            EXAMPLES[0],
            EXAMPLES[1],
            Example::new(
                r#"{"channels": 4, "unbiased": false}"#,
                &[&[3, 4, 3, 4]],
                &[&[3, 4, 3, 4]],
            )
            .eval(),
            Example::new(
                r#"{"channels": 4, "batch": false}"#,
                &[&[1, 4, 3, 2]],
                &[&[1, 4, 3, 2]],
            ),
        ],
        counts: &[
            (r#"{"channels": 256}"#, 518),
            (r#"{"channels": 256, "batch": false}"#, 516),
        ],
        invalid: &[
            r#"{"channels": 0}"#,
            r#"{"channels": 8, "eps": 0}"#,
            r#"{"channels": 8, "momentum": 1.5}"#,
        ],
        make: switchable_norm,
    },
];
