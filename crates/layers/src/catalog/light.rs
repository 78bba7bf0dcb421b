//! Entries of convolutions with less arithmetic.

use striate_tensor::Result;

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{
    Activation, DepthwiseSeparableConfig, GhostBottleneckConfig, GhostModuleConfig,
    InvertedResidualConfig, MixConvConfig, PartialConvConfig, RowColConvConfig, VarBuilder,
};

const GHOST: &str =
    "Han et al., GhostNet: More Features from Cheap Operations, CVPR 2020, arXiv:1911.11907";

/// `[in_channels, out_channels]`
fn channels(o: &Options<'_>) -> Result<[usize; 2]> {
    Ok([o.count("in_channels")?, o.count("out_channels")?])
}

fn dwsep(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let [inputs, outputs] = channels(o)?;
    let config = DepthwiseSeparableConfig::new(inputs, outputs)
        .kernel(o.count_or("kernel_size", 3)?)
        .stride(o.count_or("stride", 1)?);
    Ok(Box::new(config.build(vb)?))
}

fn invres(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let [inputs, outputs] = channels(o)?;
    let config = InvertedResidualConfig::new(inputs, outputs)
        .stride(o.count_or("stride", 1)?)
        .expand_ratio(o.count_or("expand_ratio", 6)?);
    Ok(Box::new(config.build(vb)?))
}

fn ghost_module(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let [inputs, outputs] = channels(o)?;
    let mut config = GhostModuleConfig::new(inputs, outputs)
        .kernel(o.count_or("kernel_size", 1)?)
        .ratio(o.count_or("ratio", 2)?)
        .dw_kernel(o.count_or("dw_size", 3)?)
        .stride(o.count_or("stride", 1)?);
    if !o.flag_or("relu", true)? {
        config = config.act(Activation::Identity);
    }
    Ok(Box::new(config.build(vb)?))
}

fn ghost_bottleneck(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let [inputs, outputs] = channels(o)?;
    let config = GhostBottleneckConfig::new(inputs, o.count("mid_channels")?, outputs)
        .dw_kernel(o.count_or("dw_size", 3)?)
        .stride(o.count_or("stride", 1)?)
        .se_ratio(o.number_or("se_ratio", 0.0)?);
    Ok(Box::new(config.build(vb)?))
}

fn pconv(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = PartialConvConfig::new(o.count("channels")?).n_div(o.count_or("n_div", 4)?);
    Ok(Box::new(config.build(vb)?))
}

fn mixconv(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let [inputs, outputs] = channels(o)?;
    let config = MixConvConfig::new(inputs, outputs)
        .kernels(o.counts_or("kernel_sizes", &[3, 5, 7])?)
        .stride(o.count_or("stride", 1)?)
        .depthwise(o.flag_or("depthwise", true)?);
    Ok(Box::new(config.build(vb)?))
}

fn rowcol(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let [inputs, outputs] = channels(o)?;
    let config = RowColConvConfig::new(inputs, outputs)
        .kernel(o.count_or("kernel_size", 3)?)
        .mid_channels(o.count_or("mid_channels", outputs)?)
        .stride(o.count_or("stride", 1)?)
        .bias(o.flag_or("bias", true)?);
    Ok(Box::new(config.build(vb)?))
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "dwsep",
        description: "a filter for each channel, then a mixture of channels at each pixel",
        formula: "y = relu(bn(conv1x1(relu(bn(depthwise(x))))))",
        paper: "Howard et al., MobileNets, 2017, arXiv:1704.04861",
        page: "dwsep",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 6}"#,
                &[&[2, 4, 5, 7]],
                &[&[2, 6, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 3, "out_channels": 5, "kernel_size": 5, "stride": 2}"#,
                &[&[1, 3, 7, 4]],
                &[&[1, 5, 4, 2]],
            ),
            Example::new(
                r#"{"in_channels": 3, "out_channels": 2}"#,
                &[&[1, 3, 1, 1]],
                &[&[1, 2, 1, 1]],
            )
            .eval(),
        ],
        // 9 * 512 + 2 * 512 + 512 * 512 + 2 * 512
        counts: &[(r#"{"in_channels": 512, "out_channels": 512}"#, 268_800)],
        invalid: &[
            r#"{"in_channels": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "out_channels": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 4}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
        ],
        make: dwsep,
    },
    Entry {
        name: "invres",
        description: "widens, filters each channel, narrows without an activation, adds the input",
        formula: "y = x + bn(conv1x1(relu6(bn(depthwise(relu6(bn(conv1x1(x))))))))",
        paper: "Sandler et al., MobileNetV2, CVPR 2018, arXiv:1801.04381",
        page: "invres",
        typical: Typical {
            config: r#"{"in_channels": 32, "out_channels": 32}"#,
            inputs: &[&[1, 32, 28, 28]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 3, "out_channels": 3, "expand_ratio": 2}"#,
                &[&[2, 3, 5, 7]],
                &[&[2, 3, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 3, "out_channels": 5, "stride": 2, "expand_ratio": 2}"#,
                &[&[1, 3, 7, 6]],
                &[&[1, 5, 4, 3]],
            ),
            Example::new(
                r#"{"in_channels": 4, "out_channels": 2, "expand_ratio": 1}"#,
                &[&[2, 4, 3, 4]],
                &[&[2, 2, 3, 4]],
            ),
            Example::new(
                r#"{"in_channels": 2, "out_channels": 2}"#,
                &[&[1, 2, 1, 1]],
                &[&[1, 2, 1, 1]],
            )
            .eval(),
        ],
        // 32 * 192 + 384 + 9 * 192 + 384 + 192 * 32 + 64; and 9 * 32 + 64 + 32 * 16 + 32
        counts: &[
            (r#"{"in_channels": 32, "out_channels": 32}"#, 14_848),
            (
                r#"{"in_channels": 32, "out_channels": 16, "expand_ratio": 1}"#,
                896,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "out_channels": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 3}"#,
            r#"{"in_channels": 8, "out_channels": 8, "expand_ratio": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "expand_ratio": 18446744073709551615}"#,
        ],
        make: invres,
    },
    Entry {
        name: "ghost_module",
        description: "a convolution, half of whose channels are made from the other half by a cheap one",
        formula: "y = [p, relu(bn(depthwise(p)))], p = relu(bn(conv(x)))",
        paper: GHOST,
        page: "ghost",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 5}"#,
                &[&[2, 4, 5, 3]],
                &[&[2, 5, 5, 3]],
            ),
            Example::new(
                r#"{"in_channels": 3, "out_channels": 7, "kernel_size": 3, "ratio": 3, "dw_size": 5, "stride": 2, "relu": false}"#,
                &[&[1, 3, 6, 5]],
                &[&[1, 7, 3, 3]],
            ),
            Example::new(
                r#"{"in_channels": 2, "out_channels": 1}"#,
                &[&[1, 2, 1, 1]],
                &[&[1, 1, 1, 1]],
            )
            .eval(),
        ],
        counts: &[
            (r#"{"in_channels": 16, "out_channels": 32}"#, 464),
            // 3 full channels of 4 and 3 cheap ones: 12 + 6 + 27 + 6
            (r#"{"in_channels": 4, "out_channels": 5}"#, 51),
        ],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 8, "ratio": 1}"#,
            r#"{"in_channels": 8, "out_channels": 8, "ratio": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 2}"#,
            r#"{"in_channels": 8, "out_channels": 8, "dw_size": 4}"#,
            r#"{"in_channels": 8, "out_channels": 0}"#,
            r#"{"in_channels": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
        ],
        make: ghost_module,
    },
    Entry {
        name: "ghost_bottleneck",
        description: "two ghost modules around a strided depthwise convolution and a gate, and a shortcut",
        formula: "y = ghost2(se(bn(depthwise(ghost1(x))))) + shortcut(x)",
        paper: GHOST,
        page: "ghost",
        typical: Typical {
            config: r#"{"in_channels": 40, "mid_channels": 120, "out_channels": 40, "dw_size": 5, "se_ratio": 0.25}"#,
            inputs: &[&[1, 40, 28, 28]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "mid_channels": 6, "out_channels": 4, "se_ratio": 0.5}"#,
                &[&[2, 4, 5, 3]],
                &[&[2, 4, 5, 3]],
            ),
            Example::new(
                r#"{"in_channels": 3, "mid_channels": 5, "out_channels": 4, "dw_size": 5, "stride": 2}"#,
                &[&[1, 3, 6, 5]],
                &[&[1, 4, 3, 3]],
            ),
            Example::new(
                r#"{"in_channels": 3, "mid_channels": 4, "out_channels": 4, "se_ratio": 0.25}"#,
                &[&[1, 3, 1, 1]],
                &[&[1, 4, 1, 1]],
            )
            .eval(),
        ],
        counts: &[
            (
                r#"{"in_channels": 16, "mid_channels": 16, "out_channels": 16}"#,
                464,
            ),
            (
                r#"{"in_channels": 16, "mid_channels": 48, "out_channels": 24, "stride": 2}"#,
                2_564,
            ),
            (
                r#"{"in_channels": 40, "mid_channels": 120, "out_channels": 40, "dw_size": 5, "se_ratio": 0.25}"#,
                13_672,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 8, "mid_channels": 8, "out_channels": 8, "dw_size": 4}"#,
            r#"{"in_channels": 8, "mid_channels": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "mid_channels": 8, "out_channels": 0}"#,
            r#"{"in_channels": 8, "mid_channels": 8, "out_channels": 8, "stride": 0}"#,
            r#"{"in_channels": 8, "mid_channels": 8, "out_channels": 8, "se_ratio": -0.25}"#,
        ],
        make: ghost_bottleneck,
    },
    Entry {
        name: "pconv",
        description: "filters a part of the channels and leaves the others as they are",
        formula: "y = [conv3x3(x[:C/n]), x[C/n:]]",
        paper: "Chen et al., Run, Don't Walk: Chasing Higher FLOPS for Faster Neural Networks, CVPR 2023, arXiv:2303.03667",
        page: "pconv",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(r#"{"channels": 6}"#, &[&[2, 6, 5, 3]], &[&[2, 6, 5, 3]]),
            Example::new(
                r#"{"channels": 3, "n_div": 1}"#,
                &[&[1, 3, 4, 3]],
                &[&[1, 3, 4, 3]],
            ),
            Example::new(
                r#"{"channels": 4, "n_div": 2}"#,
                &[&[1, 4, 1, 1]],
                &[&[1, 4, 1, 1]],
            ),
        ],
        counts: &[
            (r#"{"channels": 256}"#, 36_864),
            (r#"{"channels": 10}"#, 36),
        ],
        invalid: &[
            r#"{"channels": 0}"#,
            r#"{"channels": 8, "n_div": 0}"#,
            r#"{"channels": 3, "n_div": 4}"#,
        ],
        make: pconv,
    },
    Entry {
        name: "mixconv",
        description: "splits the channels and gives each part a kernel of its own size",
        formula: "y = [conv_k1(x_1), conv_k2(x_2), ...]",
        paper: "Tan, Le, MixConv: Mixed Depthwise Convolutional Kernels, BMVC 2019, arXiv:1907.09595",
        page: "mixconv",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 5, "out_channels": 5}"#,
                &[&[2, 5, 5, 7]],
                &[&[2, 5, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 5, "out_channels": 4, "kernel_sizes": [3, 5], "stride": 2, "depthwise": false}"#,
                &[&[1, 5, 7, 6]],
                &[&[1, 4, 4, 3]],
            ),
            Example::new(
                r#"{"in_channels": 2, "out_channels": 4, "kernel_sizes": [1, 3], "stride": 3}"#,
                &[&[1, 2, 4, 4]],
                &[&[1, 4, 2, 2]],
            ),
        ],
        // 9 * 86 + 25 * 85 + 49 * 85
        counts: &[(r#"{"in_channels": 256, "out_channels": 256}"#, 7_064)],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 8, "kernel_sizes": []}"#,
            r#"{"in_channels": 8, "out_channels": 8, "kernel_sizes": [3, 4]}"#,
            r#"{"in_channels": 2, "out_channels": 8}"#,
            r#"{"in_channels": 8, "out_channels": 2, "depthwise": false}"#,
            r#"{"in_channels": 8, "out_channels": 10}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
        ],
        make: mixconv,
    },
    Entry {
        name: "rowcol",
        description: "a column of taps, then a row of taps, instead of a square",
        formula: "y = conv_1xk(conv_kx1(x)) + b",
        paper: "Szegedy et al., Rethinking the Inception Architecture, CVPR 2016, arXiv:1512.00567",
        page: "rowcol",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 3, "out_channels": 4}"#,
                &[&[2, 3, 5, 7]],
                &[&[2, 4, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 3, "out_channels": 4, "kernel_size": 5, "mid_channels": 2, "stride": 2, "bias": false}"#,
                &[&[1, 3, 7, 6]],
                &[&[1, 4, 4, 3]],
            ),
        ],
        // 2 * 3 * 256 * 256 + 256
        counts: &[(r#"{"in_channels": 256, "out_channels": 256}"#, 393_472)],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 4}"#,
            r#"{"in_channels": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "out_channels": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "mid_channels": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
        ],
        make: rowcol,
    },
];
