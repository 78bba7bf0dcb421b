//! Entries of the modules that weigh channels.

use striate_tensor::Result;

use super::{Catalogued, Entry, Example, Make, Options, Typical};
use crate::{
    Gate, Rounding, SeBottleneckConfig, SePosition, Squeeze, SqueezeExciteConfig, VarBuilder,
};

const PAPER: &str = "Hu et al., Squeeze-and-Excitation Networks, CVPR 2018, arXiv:1709.01507";

fn config(o: &Options<'_>) -> Result<SqueezeExciteConfig> {
    let divisor = o.count_or("divisor", 1)?;
    let rounding = [
        ("floor", Rounding::Floor),
        ("divisible", Rounding::DivisibleBy(divisor)),
    ];
    let config = SqueezeExciteConfig::new(o.count("channels")?)
        .reduction(o.count_or("reduction", 16)?)
        .rounding(o.choice("rounding", &rounding)?)
        .gate(Gate::parse(o.text_or("gate", "sigmoid")?)?)
        .bias(o.flag_or("bias", true)?)
        .norm(o.flag_or("norm", false)?);
    let squeezes = [
        ("avg", None),
        ("max", Some(Squeeze::Max)),
        ("avg_max_half", Some(Squeeze::AvgMaxHalf)),
    ];
    Ok(match o.choice("squeeze", &squeezes)? {
        Some(squeeze) => config.squeeze(squeeze),
        None => config,
    })
}

fn se(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = config(o)?;
    if o.flag_or("no_squeeze", false)? {
        return Ok(Box::new(config.build_no_squeeze(vb)?));
    }
    Ok(Box::new(config.build(vb)?))
}

fn se_nosqueeze(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    Ok(Box::new(config(o)?.build_no_squeeze(vb)?))
}

fn bottleneck(
    position: SePosition,
    o: &Options<'_>,
    vb: &VarBuilder,
) -> Result<Box<dyn Catalogued>> {
    let [i, w, out] = [
        o.count("in_channels")?,
        o.count("width")?,
        o.count("out_channels")?,
    ];
    let config = SeBottleneckConfig::new(position, i, w, out)
        .stride(o.count_or("stride", 1)?)
        .reduction(o.count_or("reduction", 16)?)
        .bias(o.flag_or("bias", true)?);
    Ok(Box::new(config.build(vb)?))
}

/// The examples that all positions share; no reduced width is 0.
const BOTTLENECKS: &[Example] = &[
    Example::new(
        r#"{"in_channels": 6, "width": 4, "out_channels": 8, "stride": 2, "reduction": 2}"#,
        &[&[2, 6, 5, 7]],
        &[&[2, 8, 3, 4]],
    ),
    Example::new(
        r#"{"in_channels": 8, "width": 4, "out_channels": 8, "reduction": 4, "bias": false}"#,
        &[&[1, 8, 4, 3]],
        &[&[1, 8, 4, 3]],
    ),
];

const INVALID_BOTTLENECKS: &[&str] = &[
    r#"{"in_channels": 8, "width": 8, "out_channels": 8, "reduction": 16}"#,
    r#"{"in_channels": 8, "width": 8, "out_channels": 8, "reduction": 0}"#,
    r#"{"in_channels": 0, "width": 8, "out_channels": 8, "reduction": 2}"#,
    r#"{"in_channels": 8, "width": 0, "out_channels": 8, "reduction": 2}"#,
    r#"{"in_channels": 8, "width": 8, "out_channels": 0, "reduction": 2}"#,
    r#"{"in_channels": 8, "width": 8, "out_channels": 8, "reduction": 2, "stride": 0}"#,
];

/// The bottleneck with the gate in one of the paper's positions, over all of its channels.
const fn bottleneck_entry(name: &'static str, description: &'static str, make: Make) -> Entry {
    Entry {
        name,
        description,
        formula: "y = relu(shortcut(x) + branch(x)), with se() at one place",
        paper: PAPER,
        page: "se",
        typical: Typical {
            config: WIDE,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: BOTTLENECKS,
        counts: &[(WIDE, 70_400 + 8_464)],
        invalid: INVALID_BOTTLENECKS,
        make,
    }
}

/// The bottleneck with 256 channels and a width of 64 has 70 400 parameters without attention.
const WIDE: &str = r#"{"in_channels": 256, "width": 64, "out_channels": 256}"#;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "se",
        description: "weighs channels by a gate computed from their global means",
        formula: "y = x * sigmoid(W2 relu(W1 mean_hw(x) + b1) + b2)",
        paper: PAPER,
        page: "se",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 8, "reduction": 4}"#,
                &[&[2, 8, 4, 3]],
                &[&[2, 8, 4, 3]],
            ),
            Example::new(
                r#"{"channels": 9, "reduction": 3, "squeeze": "max", "gate": "tanh"}"#,
                &[&[1, 9, 5, 7]],
                &[&[1, 9, 5, 7]],
            ),
            Example::new(
                r#"{"channels": 6, "reduction": 2, "squeeze": "avg_max_half", "norm": true, "bias": false}"#,
                &[&[4, 6, 3, 5]],
                &[&[4, 6, 3, 5]],
            ),
            Example::new(
                r#"{"channels": 12, "rounding": "divisible", "divisor": 4, "gate": "hard_sigmoid"}"#,
                &[&[1, 12, 1, 1]],
                &[&[1, 12, 1, 1]],
            ),
        ],
        counts: &[
            (r#"{"channels": 256}"#, 8_464),
            (r#"{"channels": 256, "bias": false}"#, 8_192),
            (r#"{"channels": 64}"#, 2 * 64 * 4 + 68),
            (
                r#"{"channels": 64, "rounding": "divisible", "divisor": 8}"#,
                2 * 64 * 8 + 72,
            ),
        ],
        invalid: &[
            r#"{"channels": 8}"#,
            r#"{"channels": 0}"#,
            r#"{"channels": 16, "reduction": 0}"#,
            r#"{"channels": 16, "gate": "softmax"}"#,
            r#"{"channels": 16, "squeeze": "median"}"#,
            r#"{"channels": 16, "squeeze": "max", "no_squeeze": true}"#,
            r#"{"channels": 16, "rounding": "divisible", "divisor": 0}"#,
            r#"{"channels": 16, "chanels": 16}"#,
            r#"{"reduction": 2}"#,
            r#"{"channels": -16}"#,
            r#"{"channels": 16.5}"#,
        ],
        make: se,
    },
    Entry {
        name: "se_nosqueeze",
        description: "squeeze-and-excitation without the squeeze: a gate for every pixel",
        formula: "y = x * sigmoid(W2 relu(W1 x + b1) + b2) at every place",
        paper: PAPER,
        page: "se",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 8, "reduction": 4}"#,
                &[&[2, 8, 4, 3]],
                &[&[2, 8, 4, 3]],
            ),
            Example::new(
                r#"{"channels": 6, "reduction": 2, "gate": "tanh", "norm": true}"#,
                &[&[1, 6, 5, 3]],
                &[&[1, 6, 5, 3]],
            ),
        ],
        counts: &[(r#"{"channels": 256}"#, 8_464)],
        invalid: &[
            r#"{"channels": 16, "squeeze": "max"}"#,
            r#"{"channels": 8}"#,
        ],
        make: se_nosqueeze,
    },
    bottleneck_entry(
        "se_standard",
        "bottleneck with squeeze-and-excitation at the end of its branch",
        |o, vb| bottleneck(SePosition::Standard, o, vb),
    ),
    bottleneck_entry(
        "se_pre",
        "bottleneck with squeeze-and-excitation before its branch",
        |o, vb| bottleneck(SePosition::Pre, o, vb),
    ),
    bottleneck_entry(
        "se_post",
        "bottleneck with squeeze-and-excitation after the sum",
        |o, vb| bottleneck(SePosition::Post, o, vb),
    ),
    bottleneck_entry(
        "se_identity",
        "bottleneck with squeeze-and-excitation on its shortcut",
        |o, vb| bottleneck(SePosition::Identity, o, vb),
    ),
    Entry {
        counts: &[(WIDE, 70_400 + 2 * 64 * 4 + 68)],
        ..bottleneck_entry(
            "se_conv3x3",
            "bottleneck with squeeze-and-excitation after its 3x3 convolution",
            |o, vb| bottleneck(SePosition::Conv3x3, o, vb),
        )
    },
];
