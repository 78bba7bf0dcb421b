//! Entries of convolutions that train in one form and run in another.

use striate_tensor::Result;

use super::dynamic::conv2d;
use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{
    AcBlockConfig, DiverseBranchBlockConfig, DoConv2dConfig, RepVggConfig, StdConv2dConfig,
    VarBuilder,
};

fn doconv(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let mut config = DoConv2dConfig::new(conv2d(o, true)?);
    // 0, which is none, stands for the number of taps.
    config.d_mul = Some(o.count_or("d_mul", 0)?).filter(|&d_mul| d_mul > 0);
    Ok(Box::new(config.build(vb)?))
}

fn std_conv(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let conv = conv2d(o, false)?;
    let bias = conv.bias;
    let config = StdConv2dConfig::new(conv)
        .bias(bias)
        .eps(o.number_or("eps", 1e-6)?);
    Ok(Box::new(config.build(vb)?))
}

fn repvgg(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = RepVggConfig::new(o.count("in_channels")?, o.count("out_channels")?)
        .stride(o.count_or("stride", 1)?)
        .groups(o.count_or("groups", 1)?);
    Ok(Box::new(config.build(vb)?))
}

fn acnet(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = AcBlockConfig::new(o.count("in_channels")?, o.count("out_channels")?)
        .kernel(o.count_or("kernel_size", 3)?)
        .stride(o.count_or("stride", 1)?)
        .groups(o.count_or("groups", 1)?);
    Ok(Box::new(config.build(vb)?))
}

fn dbb(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let mut config =
        DiverseBranchBlockConfig::new(o.count("in_channels")?, o.count("out_channels")?)
            .kernel(o.count_or("kernel_size", 3)?)
            .stride(o.count_or("stride", 1)?)
            .groups(o.count_or("groups", 1)?);
    // 0 stands for the default, which depends on the others.
    match o.count_or("internal_channels", 0)? {
        0 => {}
        channels => config = config.internal_channels(channels),
    }
    Ok(Box::new(config.build(vb)?))
}

const TYPICAL: Typical = Typical {
    config: r#"{"in_channels": 256, "out_channels": 256}"#,
    inputs: &[&[1, 256, 56, 56]],
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "doconv",
        description: "convolution whose kernel is a product of two weights in training and folds into one",
        formula: "y = conv(x, K), K[o, i, m] = sum_s (D[i, m, s] + D0[i, m, s]) W[o, i, s]",
        paper: "Cao et al., DO-Conv: Depthwise Over-parameterized Convolutional Layer, IEEE TIP 2022, arXiv:2006.12030",
        page: "doconv",
        typical: TYPICAL,
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 6}"#,
                &[&[2, 4, 5, 7]],
                &[&[2, 6, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 6, "out_channels": 4, "groups": 2, "d_mul": 20, "dilation": 2, "padding": 2, "bias": false}"#,
                &[&[1, 6, 4, 5]],
                &[&[1, 4, 4, 5]],
            ),
            Example::new(
                r#"{"in_channels": 9, "out_channels": 9, "groups": 9, "kernel_size": [1, 3], "padding": [0, 1], "stride": 2}"#,
                &[&[2, 9, 3, 6]],
                &[&[2, 9, 2, 3]],
            ),
            Example::new(
                r#"{"in_channels": 4, "out_channels": 3, "kernel_size": 1, "padding": 0, "d_mul": 5}"#,
                &[&[1, 4, 3, 2]],
                &[&[1, 3, 3, 2]],
            ),
        ],
        counts: &[
            (
                r#"{"in_channels": 64, "out_channels": 64, "bias": false}"#,
                42_048,
            ),
            (r#"{"in_channels": 64, "out_channels": 64}"#, 42_112),
            (
                r#"{"in_channels": 64, "out_channels": 64, "kernel_size": 1, "padding": 0}"#,
                4_160,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 8, "d_mul": 8}"#,
            r#"{"in_channels": 8, "out_channels": 8, "groups": 3}"#,
            r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 0}"#,
            r#"{"in_channels": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "out_channels": 8, "d_mul": 18446744073709551615}"#,
        ],
        make: doconv,
    },
    Entry {
        name: "std_conv",
        description: "convolution whose filters are normalised before they are used",
        formula: "y = conv(x, (W - mean(W)) / sqrt(var(W) + eps)), for each filter",
        paper: "Qiao et al., Micro-Batch Training with Batch-Channel Normalization and Weight Standardization, 2019, \
                arXiv:1903.10520",
        page: "std_conv",
        typical: TYPICAL,
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 6}"#,
                &[&[2, 4, 5, 7]],
                &[&[2, 6, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 8, "out_channels": 4, "kernel_size": 5, "padding": 2, "stride": 2, "groups": 2, "bias": true,
                    "eps": 1e-5}"#,
                &[&[1, 8, 6, 5]],
                &[&[1, 4, 3, 3]],
            ),
        ],
        counts: &[(r#"{"in_channels": 256, "out_channels": 256}"#, 589_824)],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 8, "eps": -1}"#,
            r#"{"in_channels": 8, "out_channels": 8, "groups": 3}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
            r#"{"in_channels": 8}"#,
        ],
        make: std_conv,
    },
    Entry {
        name: "repvgg",
        description: "trains as a 3x3, a 1x1 and an identity with batch norms, folds into one 3x3",
        formula: "y = relu(bn(conv3x3(x)) + bn(conv1x1(x)) + bn(x))",
        paper: "Ding et al., RepVGG: Making VGG-style ConvNets Great Again, CVPR 2021, arXiv:2101.03697",
        page: "repvgg",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 4, "groups": 2}"#,
                &[&[2, 4, 5, 7]],
                &[&[2, 4, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 3, "out_channels": 5, "stride": 2}"#,
                &[&[1, 3, 6, 5]],
                &[&[1, 5, 3, 3]],
            ),
            Example::new(
                r#"{"in_channels": 2, "out_channels": 2}"#,
                &[&[1, 2, 1, 1]],
                &[&[1, 2, 1, 1]],
            )
            .eval(),
        ],
        counts: &[
            (r#"{"in_channels": 64, "out_channels": 64}"#, 41_344),
            (r#"{"in_channels": 64, "out_channels": 128, "stride": 2}"#, 82_432),
            (r#"{"in_channels": 64, "out_channels": 64, "groups": 4}"#, 10_624),
        ],
        invalid: &[
            r#"{"in_channels": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "out_channels": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "groups": 3}"#,
            r#"{"in_channels": 8, "out_channels": 8, "groups": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
        ],
        make: repvgg,
    },
    Entry {
        name: "acnet",
        description: "a square kernel strengthened by a column and a row, folds into one square",
        formula: "y = bn(conv_kxk(x)) + bn(conv_kx1(x)) + bn(conv_1xk(x))",
        paper: "Ding et al., ACNet: Strengthening the Kernel Skeletons, ICCV 2019, arXiv:1908.03930",
        page: "acnet",
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
                r#"{"in_channels": 4, "out_channels": 6, "kernel_size": 5, "stride": 2, "groups": 2}"#,
                &[&[1, 4, 6, 5]],
                &[&[1, 6, 3, 3]],
            ),
            Example::new(
                r#"{"in_channels": 2, "out_channels": 3, "kernel_size": 1}"#,
                &[&[1, 2, 1, 1]],
                &[&[1, 3, 1, 1]],
            )
            .eval(),
        ],
        counts: &[
            (r#"{"in_channels": 64, "out_channels": 64}"#, 61_824),
            (
                r#"{"in_channels": 64, "out_channels": 128, "kernel_size": 5, "stride": 2, "groups": 2}"#,
                144_128,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "out_channels": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 4}"#,
            r#"{"in_channels": 8, "out_channels": 8, "groups": 3}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
        ],
        make: acnet,
    },
    Entry {
        name: "dbb",
        description: "a convolution that trains with a 1x1, a 1x1 before a second one, and a 1x1 before a mean, folds into one",
        formula: "y = bn(conv(x)) + bn(conv1x1(x)) + bn(conv(bnpad(conv1x1(x)))) + bn(mean(bnpad(conv1x1(x))))",
        paper: "Ding et al., Diverse Branch Block: Building a Convolution as an Inception-like Unit, CVPR 2021, arXiv:2103.13425",
        page: "dbb",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        // In training the border depends on running statistics, so a second pass sees another.
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 6, "groups": 2}"#,
                &[&[2, 4, 5, 7]],
                &[&[2, 6, 5, 7]],
            )
            .eval(),
            Example::new(
                r#"{"in_channels": 3, "out_channels": 3, "groups": 3, "kernel_size": 5, "stride": 2}"#,
                &[&[1, 3, 6, 5]],
                &[&[1, 3, 3, 3]],
            )
            .eval(),
            Example::new(
                r#"{"in_channels": 3, "out_channels": 2, "internal_channels": 4, "kernel_size": 1}"#,
                &[&[2, 3, 3, 4]],
                &[&[2, 2, 3, 4]],
            ),
        ],
        counts: &[
            // 9*C*C + 2*C, C*C + 2*C, C*C + 2*C + 2*C, C*C + 2*C + 9*C*C + 2*C
            (r#"{"in_channels": 64, "out_channels": 64}"#, 86_784),
            // Depthwise, 2*C inside: 9*C + 2*C, 2*C, 2*C + 4*C + 18*C + 2*C
            (
                r#"{"in_channels": 64, "out_channels": 64, "groups": 64}"#,
                2_496,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "out_channels": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 2}"#,
            r#"{"in_channels": 8, "out_channels": 8, "groups": 3}"#,
            r#"{"in_channels": 8, "out_channels": 16, "groups": 16}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
            r#"{"in_channels": 8, "out_channels": 6, "groups": 2, "internal_channels": 3}"#,
        ],
        make: dbb,
    },
];
