//! Entries of the modules that weigh channels.

use striate_tensor::{Error, Result, Tensor};

use super::{Catalogued, Entry, Example, Make, Options, Typical};
use crate::{
    ContextFusion, DcaSe, DcaSeConfig, EcaConfig, EffectiveSeConfig, Gate, GatherExciteConfig,
    GlobalContextConfig, Rounding, SeBottleneckConfig, SePosition, Squeeze, SqueezeExciteConfig,
    VarBuilder,
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

fn ese(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let squeezes = [
        ("avg", Squeeze::Avg),
        ("max", Squeeze::Max),
        ("avg_max_half", Squeeze::AvgMaxHalf),
    ];
    let config = EffectiveSeConfig::new(o.count("channels")?)
        .squeeze(o.choice("squeeze", &squeezes)?)
        .gate(Gate::parse(o.text_or("gate", "hard_sigmoid")?)?);
    Ok(Box::new(config.build(vb)?))
}

fn eca(o: &Options<'_>) -> Result<EcaConfig> {
    let config = EcaConfig {
        channels: o.optional_count("channels")?,
        kernel: o.optional_count("kernel_size")?,
        ..EcaConfig::new(1)
    };
    Ok(config
        .growth(o.number_or("gamma", 2.0)?, o.number_or("beta", 1.0)?)
        .bias(o.flag_or("bias", false)?))
}

fn gc(o: &Options<'_>, new: fn(usize) -> GlobalContextConfig) -> Result<GlobalContextConfig> {
    let config = new(o.count("channels")?);
    let [add, mul, mul_add] = [
        ("add", ContextFusion::Add),
        ("mul", ContextFusion::Mul),
        ("mul_add", ContextFusion::MulAdd),
    ];
    let fusions = if config.fusion == ContextFusion::Add {
        [add, mul, mul_add]
    } else {
        [mul, add, mul_add]
    };
    let reduction = config.reduction;
    Ok(config
        .reduction(o.count_or("reduction", reduction)?)
        .fusion(o.choice("fusion", &fusions)?)
        .attention(o.flag_or("attention", true)?))
}

fn gather_excite(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let mut config = GatherExciteConfig::new(o.count("channels")?)
        .extent(o.count_or("extent", 0)?)
        .extra_params(o.flag_or("extra_params", false)?)
        .use_mlp(o.flag_or("use_mlp", false)?)
        .reduction(o.count_or("reduction", 16)?);
    config.feat_size = o.optional_pair("feat_size")?.map(Into::into);
    Ok(Box::new(config.build(vb)?))
}

fn dca_se(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = DcaSeConfig::new(o.count("in_channels")?, o.count("channels")?)
        .reduction(o.count_or("reduction", 16)?)
        .connected(o.flag_or("connected", true)?);
    Ok(Box::new(config.build(vb)?))
}

impl Catalogued for DcaSe {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let (y, attended) = match inputs {
            [x] => self.forward(x, None)?,
            [x, previous] => self.forward(x, Some(previous))?,
            _ => {
                let got = inputs.len();
                return Err(Error::msg(format!(
                    "the module takes 1 or 2 inputs, got {got}"
                )));
            }
        };
        Ok(vec![y, attended])
    }
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
    Entry {
        name: "ese",
        description: "weighs channels by one full linear map of their means and a piecewise linear gate",
        formula: "y = x * hardsigmoid(W mean_hw(x) + b)",
        paper: "Lee and Park, CenterMask, CVPR 2020, arXiv:1911.06667",
        page: "ese",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(r#"{"channels": 8}"#, &[&[2, 8, 4, 3]], &[&[2, 8, 4, 3]]),
            Example::new(
                r#"{"channels": 6, "squeeze": "avg_max_half", "gate": "sigmoid"}"#,
                &[&[1, 6, 5, 7]],
                &[&[1, 6, 5, 7]],
            ),
            Example::new(
                r#"{"channels": 5, "squeeze": "max", "gate": "tanh"}"#,
                &[&[3, 5, 1, 1]],
                &[&[3, 5, 1, 1]],
            ),
        ],
        counts: &[(r#"{"channels": 256}"#, 65_792)],
        invalid: &[
            r#"{"channels": 0}"#,
            r#"{"channels": 8, "gate": "softmax"}"#,
            r#"{"channels": 8, "squeeze": "median"}"#,
            r#"{}"#,
        ],
        make: ese,
    },
    Entry {
        name: "eca",
        description: "weighs channels by a short convolution over the channels' means",
        formula: "y = x * sigmoid(conv1d(mean_hw(x))) over the channel axis",
        paper: "Wang et al., ECA-Net: Efficient Channel Attention, CVPR 2020, arXiv:1910.03151",
        page: "eca",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(r#"{"channels": 8}"#, &[&[2, 8, 4, 3]], &[&[2, 8, 4, 3]]),
            Example::new(
                r#"{"channels": 40, "gamma": 1, "beta": 2}"#,
                &[&[1, 40, 3, 5]],
                &[&[1, 40, 3, 5]],
            ),
            Example::new(r#"{"kernel_size": 5}"#, &[&[2, 3, 5, 4]], &[&[2, 3, 5, 4]]),
            Example::new(
                r#"{"channels": 6, "kernel_size": 1, "bias": true}"#,
                &[&[1, 6, 1, 1]],
                &[&[1, 6, 1, 1]],
            ),
        ],
        counts: &[
            (r#"{"channels": 256}"#, 5),
            (r#"{"channels": 40}"#, 3),
            (r#"{"channels": 128}"#, 5),
            (r#"{"channels": 2048}"#, 7),
            (r#"{"kernel_size": 9, "bias": true}"#, 10),
        ],
        invalid: &[
            r#"{"channels": 0}"#,
            r#"{"channels": 8, "kernel_size": 4}"#,
            r#"{"kernel_size": 0}"#,
            r#"{}"#,
            r#"{"channels": 8, "gamma": 0}"#,
            r#"{"channels": 8, "gamma": 1e-300}"#,
        ],
        make: |o, vb| Ok(Box::new(eca(o)?.build(vb)?)),
    },
    Entry {
        name: "ceca",
        description: "ECA whose channel axis is a ring",
        formula: "y = x * sigmoid(conv1d(mean_hw(x))) over the ring of channels",
        paper: "Wang et al., ECA-Net: Efficient Channel Attention, CVPR 2020, arXiv:1910.03151",
        page: "eca",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(r#"{"channels": 8}"#, &[&[2, 8, 4, 3]], &[&[2, 8, 4, 3]]),
            Example::new(r#"{"kernel_size": 5}"#, &[&[1, 7, 5, 4]], &[&[1, 7, 5, 4]]),
        ],
        counts: &[(r#"{"channels": 256}"#, 5)],
        invalid: &[r#"{"channels": 0}"#, r#"{"kernel_size": 2}"#, r#"{}"#],
        make: |o, vb| Ok(Box::new(eca(o)?.build_circular(vb)?)),
    },
    Entry {
        name: "gc",
        description: "gives every pixel the transformed, attention-weighed mean of all pixels",
        formula: "y = x + W2 relu(layer_norm(W1 c)), c = sum_hw softmax_hw(w . x) x",
        paper: "Cao et al., GCNet, ICCV 2019 workshops, arXiv:1904.11492",
        page: "gc",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 8, "reduction": 2}"#,
                &[&[2, 8, 4, 3]],
                &[&[2, 8, 4, 3]],
            ),
            Example::new(
                r#"{"channels": 6, "reduction": 3, "fusion": "mul"}"#,
                &[&[1, 6, 5, 7]],
                &[&[1, 6, 5, 7]],
            ),
            Example::new(
                r#"{"channels": 6, "reduction": 2, "fusion": "mul_add", "attention": false}"#,
                &[&[2, 6, 1, 3]],
                &[&[2, 6, 1, 3]],
            ),
        ],
        counts: &[
            (r#"{"channels": 256}"#, 8_753),
            (r#"{"channels": 256, "fusion": "mul_add"}"#, 257 + 2 * 8_496),
            (r#"{"channels": 256, "attention": false}"#, 8_496),
        ],
        invalid: &[
            r#"{"channels": 8}"#,
            r#"{"channels": 0}"#,
            r#"{"channels": 16, "reduction": 0}"#,
            r#"{"channels": 16, "fusion": "cat"}"#,
        ],
        make: |o, vb| Ok(Box::new(gc(o, GlobalContextConfig::new)?.build(vb)?)),
    },
    Entry {
        name: "gc_timm",
        description: "global context under timm's names and with its defaults",
        formula: "y = x * sigmoid(W2 relu(layer_norm(W1 c))), c = sum_hw softmax_hw(w . x) x",
        paper: "Cao et al., GCNet, ICCV 2019 workshops, arXiv:1904.11492",
        page: "gc",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 8, "reduction": 2}"#,
                &[&[2, 8, 4, 3]],
                &[&[2, 8, 4, 3]],
            ),
            Example::new(
                r#"{"channels": 7, "reduction": 2, "fusion": "add"}"#,
                &[&[1, 7, 5, 3]],
                &[&[1, 7, 5, 3]],
            ),
        ],
        counts: &[(r#"{"channels": 256}"#, 16_993)],
        invalid: &[r#"{"channels": 0}"#, r#"{"channels": 16, "reduction": 0}"#],
        make: |o, vb| Ok(Box::new(gc(o, GlobalContextConfig::timm)?.build(vb)?)),
    },
    Entry {
        name: "gather_excite",
        description: "weighs every element by a summary of its neighbourhood",
        formula: "y = x * sigmoid(resize(excite(gather(x))))",
        paper: "Hu et al., Gather-Excite, NeurIPS 2018, arXiv:1810.12348",
        page: "gather_excite",
        typical: Typical {
            config: r#"{"channels": 256, "extent": 4, "extra_params": true}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(r#"{"channels": 6}"#, &[&[2, 6, 4, 3]], &[&[2, 6, 4, 3]]),
            Example::new(
                r#"{"channels": 5, "extent": 2}"#,
                &[&[1, 5, 5, 7]],
                &[&[1, 5, 5, 7]],
            ),
            Example::new(
                r#"{"channels": 4, "extent": 4, "extra_params": true}"#,
                &[&[2, 4, 9, 7]],
                &[&[2, 4, 9, 7]],
            ),
            Example::new(
                r#"{"channels": 4, "extra_params": true, "feat_size": [3, 4], "use_mlp": true, "reduction": 2}"#,
                &[&[3, 4, 3, 4]],
                &[&[3, 4, 3, 4]],
            ),
            Example::new(
                r#"{"channels": 6, "extent": 2, "extra_params": true, "use_mlp": true, "reduction": 3}"#,
                &[&[2, 6, 6, 5]],
                &[&[2, 6, 6, 5]],
            ),
            Example::new(
                r#"{"channels": 6, "extent": 6, "use_mlp": true, "reduction": 2}"#,
                &[&[1, 6, 7, 9]],
                &[&[1, 6, 7, 9]],
            ),
        ],
        counts: &[
            (r#"{"channels": 256}"#, 0),
            (
                r#"{"channels": 256, "extent": 4, "extra_params": true}"#,
                2 * 11 * 256,
            ),
            (
                r#"{"channels": 256, "extra_params": true, "feat_size": 7}"#,
                51 * 256,
            ),
            (r#"{"channels": 256, "use_mlp": true}"#, 8_464),
        ],
        invalid: &[
            r#"{"channels": 0}"#,
            r#"{"channels": 8, "extent": 3}"#,
            r#"{"channels": 8, "extent": 6, "extra_params": true}"#,
            r#"{"channels": 8, "extra_params": true}"#,
            r#"{"channels": 8, "extra_params": true, "feat_size": 0}"#,
            r#"{"channels": 8, "use_mlp": true}"#,
            r#"{"channels": 8, "use_mlp": true, "reduction": 0}"#,
        ],
        make: gather_excite,
    },
    Entry {
        name: "dca_se",
        description: "squeeze-and-excitation that also sees what the block before it attended to",
        formula: "y = x * s, s = sigmoid(W2 relu(W1 a)), a = relu(layer_norm(v [mean_hw(x), q]))",
        paper: "Ma et al., DCANet: Learning Connected Attentions, ICME 2021, arXiv:2007.05099",
        page: "dca",
        typical: Typical {
            config: r#"{"in_channels": 256, "channels": 256}"#,
            inputs: &[&[1, 256, 56, 56], &[1, 256]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 6, "channels": 8, "reduction": 2}"#,
                &[&[2, 8, 4, 3], &[2, 6]],
                &[&[2, 8, 4, 3], &[2, 8]],
            ),
            Example::new(
                r#"{"in_channels": 6, "channels": 6, "reduction": 3}"#,
                &[&[1, 6, 5, 7], &[1, 6]],
                &[&[1, 6, 5, 7], &[1, 6]],
            ),
            Example::new(
                r#"{"in_channels": 4, "channels": 6, "reduction": 2, "connected": false}"#,
                &[&[1, 6, 3, 3]],
                &[&[1, 6, 3, 3], &[1, 6]],
            ),
        ],
        counts: &[
            (r#"{"in_channels": 256, "channels": 256}"#, 8_464 + 3 + 512),
            (
                r#"{"in_channels": 256, "channels": 512, "connected": false}"#,
                33_312 + 3 + 1_024 + 256 * 512 + 3 * 512,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 0, "channels": 16}"#,
            r#"{"in_channels": 16, "channels": 8}"#,
            r#"{"in_channels": 16, "channels": 16, "reduction": 0}"#,
            r#"{"in_channels": 16, "channels": 0}"#,
        ],
        make: dca_se,
    },
];
