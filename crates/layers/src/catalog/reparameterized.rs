//! Entries of convolutions that train in one form and run in another.

use striate_tensor::Result;

use super::dynamic::conv2d;
use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{DoConv2dConfig, StdConv2dConfig, VarBuilder};

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
];
