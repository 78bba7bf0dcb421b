//! Entries of the modules that attend by a branch with an hourglass.

use striate_tensor::Result;

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{
    AttentionLearning, AttentionMask, AttentionModuleConfig, AttentionPool, AttentionSkips,
    PreActBottleneckConfig, VarBuilder,
};

fn preact(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = PreActBottleneckConfig::new(o.count("in_channels")?, o.count("out_channels")?)
        .stride(o.count_or("stride", 1)?);
    Ok(Box::new(config.build(vb)?))
}

fn attention(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let masks = [
        ("mixed", AttentionMask::Mixed),
        ("channel", AttentionMask::Channel),
        ("spatial", AttentionMask::Spatial),
    ];
    let skips = [
        ("official", AttentionSkips::Official),
        ("extra_skips", AttentionSkips::Extra),
    ];
    let pools = [
        ("torch_pad1", AttentionPool::TorchPad1),
        ("caffe_ceil", AttentionPool::CaffeCeil),
    ];
    let learnings = [
        ("residual", AttentionLearning::Residual),
        ("naive", AttentionLearning::Naive),
    ];
    let (p, t, r) = (
        o.count_or("p", 1)?,
        o.count_or("t", 2)?,
        o.count_or("r", 1)?,
    );
    let config = AttentionModuleConfig::new(o.count("channels")?, o.count("depth")?)
        .blocks(p, t, r)
        .skips(o.choice("dialect", &skips)?)
        .pool(o.choice("pool", &pools)?)
        .mask(o.choice("mask", &masks)?)
        .learning(o.choice("learning", &learnings)?);
    Ok(Box::new(config.build(vb)?))
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "preact_bottleneck",
        description: "a bottleneck block whose norms stand before its convolutions",
        formula: "y = s + conv1x1(f(conv3x3(f(conv1x1(f(x)))))), f = relu(bn(.)), s = x or conv1x1(f(x))",
        paper: "He et al., Identity Mappings in Deep Residual Networks, ECCV 2016, arXiv:1603.05027",
        page: "preact_bottleneck",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 8, "out_channels": 8}"#,
                &[&[2, 8, 5, 4]],
                &[&[2, 8, 5, 4]],
            ),
            Example::new(
                r#"{"in_channels": 6, "out_channels": 8, "stride": 2}"#,
                &[&[1, 6, 7, 6]],
                &[&[1, 8, 4, 3]],
            ),
            Example::new(
                r#"{"in_channels": 4, "out_channels": 8}"#,
                &[&[1, 4, 1, 3]],
                &[&[1, 8, 1, 3]],
            )
            .eval(),
        ],
        counts: &[
            (r#"{"in_channels": 256, "out_channels": 256}"#, 70_400),
            (r#"{"in_channels": 64, "out_channels": 256}"#, 74_112),
            (r#"{"in_channels": 512, "out_channels": 512}"#, 280_064),
        ],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 6}"#,
            r#"{"in_channels": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "out_channels": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
        ],
        make: preact,
    },
    Entry {
        name: "attention_module",
        description: "a trunk weighed by the mask of an hourglass beside it",
        formula: "y = last((1 + M(z)) * T(z)), z = first(x), M = sigmoid(head(hourglass(z)))",
        paper: "Wang et al., Residual Attention Network for Image Classification, CVPR 2017, arXiv:1704.06904",
        page: "attention_module",
        typical: Typical {
            config: r#"{"channels": 256, "depth": 3}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 4, "depth": 1}"#,
                &[&[2, 4, 6, 5]],
                &[&[2, 4, 6, 5]],
            ),
            Example::new(
                r#"{"channels": 8, "depth": 2, "dialect": "extra_skips", "pool": "caffe_ceil", "mask": "spatial", "learning": "naive"}"#,
                &[&[2, 8, 9, 7]],
                &[&[2, 8, 9, 7]],
            ),
            Example::new(
                r#"{"channels": 4, "depth": 0, "p": 0, "t": 1, "mask": "channel"}"#,
                &[&[1, 4, 3, 5]],
                &[&[1, 4, 3, 5]],
            ),
            Example::new(
                r#"{"channels": 4, "depth": 3, "p": 2, "r": 2}"#,
                &[&[1, 4, 9, 10]],
                &[&[1, 4, 9, 10]],
            )
            .eval(),
        ],
        counts: &[
            (r#"{"channels": 256, "depth": 3}"#, 976_896),
            (r#"{"channels": 512, "depth": 2}"#, 3_046_912),
            (r#"{"channels": 1024, "depth": 1}"#, 8_804_352),
        ],
        invalid: &[
            r#"{"channels": 6, "depth": 1}"#,
            r#"{"channels": 0, "depth": 1}"#,
            r#"{"channels": 8, "depth": 1, "t": 0}"#,
            r#"{"channels": 8, "depth": 1, "r": 0}"#,
            r#"{"channels": 8}"#,
            r#"{"channels": 8, "depth": 1, "mask": "temporal"}"#,
            r#"{"channels": 8, "depth": 1, "learning": "none"}"#,
        ],
        make: attention,
    },
];
