//! Entries of convolutions whose weights depend on the input.

use striate_tensor::Result;

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{
    CaConvConfig, CamConvConfig, CondConv2dConfig, Conv1dConfig, Conv2dConfig, Conv3dConfig,
    Convolution, DynamicConvConfig, InvolutionConfig, OdConv2dConfig, RfCaConvConfig,
    RfCbamConvConfig, RfaConvConfig, Temperature, VarBuilder,
};

const CONDCONV: &str = "Yang et al., CondConv: Conditionally Parameterized Convolutions for Efficient Inference, \
                        NeurIPS 2019, arXiv:1904.04971";
const DYNAMIC: &str = "Chen et al., Dynamic Convolution: Attention over Convolution Kernels, CVPR 2020, arXiv:1912.03458";
const ODCONV: &str = "Li et al., Omni-Dimensional Dynamic Convolution, ICLR 2022, arXiv:2209.07947";
const INVOLUTION: &str = "Li et al., Involution: Inverting the Inherence of Convolution for Visual Recognition, CVPR 2021, \
                          arXiv:2103.06255";
const RFACONV: &str = "Zhang et al., RFAConv: Innovating Spatial Attention and Standard Convolutional Operation, 2023, \
                       arXiv:2304.03198";

/// The arguments of the convolution that a module replaces: a 3x3 kernel and padding 1 unless told.
pub(super) fn conv2d(o: &Options<'_>, bias: bool) -> Result<Conv2dConfig> {
    let [i, out] = [o.count("in_channels")?, o.count("out_channels")?];
    Ok(Conv2dConfig::new(i, out, o.pair_or("kernel_size", [3; 2])?)
        .stride(o.pair_or("stride", [1; 2])?)
        .padding(o.pair_or("padding", [1; 2])?)
        .dilation(o.pair_or("dilation", [1; 2])?)
        .groups(o.count_or("groups", 1)?)
        .bias(o.flag_or("bias", bias)?))
}

fn temperature(o: &Options<'_>) -> Result<Temperature> {
    Temperature::new(o.number_or("temperature", 1.0)?)
}

fn condconv(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let conv = conv2d(o, false)?;
    let bias = conv.bias;
    let config = CondConv2dConfig::new(conv)
        .bias(bias)
        .experts(o.count_or("num_experts", 8)?);
    Ok(
        if o.choice("routing", &[("own", true), ("given", false)])? {
            Box::new(config.build(vb)?)
        } else {
            Box::new(config.build_experts(vb)?)
        },
    )
}

fn dynamic_conv<C: Convolution + 'static>(
    o: &Options<'_>,
    vb: &VarBuilder,
    conv: C,
) -> Result<Box<dyn Catalogued>> {
    let config = DynamicConvConfig::new(conv)
        .kernel_num(o.count_or("kernel_num", 4)?)
        .ratio(o.number_or("ratio", 0.25)?)
        .plus_one(o.flag_or("plus_one", false)?)
        .temperature(&temperature(o)?);
    Ok(Box::new(config.build(vb)?))
}

fn dynamic_conv1d(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let [i, out] = [o.count("in_channels")?, o.count("out_channels")?];
    let conv = Conv1dConfig::new(i, out, o.count_or("kernel_size", 3)?)
        .stride(o.count_or("stride", 1)?)
        .padding(o.count_or("padding", 1)?)
        .dilation(o.count_or("dilation", 1)?)
        .groups(o.count_or("groups", 1)?)
        .bias(o.flag_or("bias", true)?);
    dynamic_conv(o, vb, conv)
}

fn dynamic_conv2d(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    dynamic_conv(o, vb, conv2d(o, true)?)
}

fn dynamic_conv3d(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let [i, out] = [o.count("in_channels")?, o.count("out_channels")?];
    let conv = Conv3dConfig::new(i, out, o.count_or("kernel_size", 3)?)
        .stride(o.count_or("stride", 1)?)
        .padding(o.count_or("padding", 1)?)
        .dilation(o.count_or("dilation", 1)?)
        .groups(o.count_or("groups", 1)?)
        .bias(o.flag_or("bias", true)?);
    dynamic_conv(o, vb, conv)
}

fn odconv(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let [i, out] = [o.count("in_channels")?, o.count("out_channels")?];
    let conv = Conv2dConfig::new(i, out, o.pair_or("kernel_size", [3; 2])?)
        .stride(o.pair_or("stride", [1; 2])?)
        .padding(o.pair_or("padding", [1; 2])?)
        .dilation(o.pair_or("dilation", [1; 2])?)
        .groups(o.count_or("groups", 1)?);
    let config = OdConv2dConfig::new(conv)
        .kernel_num(o.count_or("kernel_num", 4)?)
        .reduction(o.number_or("reduction", 0.0625)?)
        .temperature(&temperature(o)?);
    Ok(Box::new(config.build(vb)?))
}

fn involution(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = InvolutionConfig::new(o.count("channels")?)
        .kernel(o.count_or("kernel_size", 7)?)
        .stride(o.count_or("stride", 1)?)
        .groups(o.count_or("groups", 1)?)
        .reduction(o.count_or("reduction", 4)?)
        .reduce_bias(o.flag_or("reduce_bias", true)?);
    Ok(Box::new(config.build(vb)?))
}

fn rfaconv(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = RfaConvConfig::new(o.count("in_channels")?, o.count("out_channels")?)
        .kernel(o.count_or("kernel_size", 3)?)
        .stride(o.count_or("stride", 1)?);
    Ok(Box::new(config.build(vb)?))
}

fn rfcbamconv(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = RfCbamConvConfig::new(o.count("in_channels")?, o.count("out_channels")?)
        .kernel(o.count_or("kernel_size", 3)?)
        .stride(o.count_or("stride", 1)?)
        .width(o.count_or("width", 16)?);
    Ok(Box::new(config.build(vb)?))
}

fn rfcaconv(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = RfCaConvConfig::new(o.count("in_channels")?, o.count("out_channels")?)
        .kernel(o.count_or("kernel_size", 3)?)
        .stride(o.count_or("stride", 1)?)
        .reduction(o.count_or("reduction", 32)?);
    Ok(Box::new(config.build(vb)?))
}

fn caconv(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = CaConvConfig::new(conv2d(o, true)?).reduction(o.count_or("reduction", 32)?);
    Ok(Box::new(config.build(vb)?))
}

fn camconv(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = CamConvConfig::new(conv2d(o, true)?).reduction(o.count_or("reduction", 16)?);
    Ok(Box::new(config.build(vb)?))
}

/// Where a 3x3 convolution with as many outputs as inputs stands in a network.
const TYPICAL: Typical = Typical {
    config: r#"{"in_channels": 256, "out_channels": 256}"#,
    inputs: &[&[1, 256, 56, 56]],
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "condconv",
        description: "convolution whose weight is a sum of experts, by sigmoids of the image's means",
        formula: "y = conv(x, sum_e a_e W_e), a = sigmoid(R mean_hw(x) + b)",
        paper: CONDCONV,
        page: "condconv",
        typical: TYPICAL,
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 6, "num_experts": 3}"#,
                &[&[3, 4, 5, 7]],
                &[&[3, 6, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 9, "out_channels": 9, "kernel_size": 5, "stride": 2, "padding": 2, "groups": 9,
                    "bias": true, "num_experts": 2}"#,
                &[&[2, 9, 6, 5]],
                &[&[2, 9, 3, 3]],
            ),
            Example::new(
                r#"{"in_channels": 8, "out_channels": 4, "kernel_size": [1, 3], "padding": [0, 2], "dilation": [1, 2],
                    "groups": 2, "bias": true, "num_experts": 3, "routing": "given"}"#,
                &[&[2, 8, 4, 5], &[2, 3]],
                &[&[2, 4, 4, 5]],
            ),
            Example::new(
                r#"{"in_channels": 3, "out_channels": 2, "kernel_size": 1, "padding": 0, "num_experts": 1}"#,
                &[&[1, 3, 1, 1]],
                &[&[1, 2, 1, 1]],
            ),
        ],
        counts: &[
            // 8 * 589 824 and 256 * 8 + 8.
            (r#"{"in_channels": 256, "out_channels": 256}"#, 4_720_648),
            (
                r#"{"in_channels": 64, "out_channels": 128, "bias": true, "num_experts": 4, "routing": "given"}"#,
                295_424,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 8, "num_experts": 0}"#,
            r#"{"in_channels": 8, "out_channels": 6, "groups": 4}"#,
            r#"{"in_channels": 6, "out_channels": 8, "groups": 4, "routing": "given"}"#,
            r#"{"in_channels": 8, "out_channels": 8, "groups": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": [1, 0]}"#,
            r#"{"in_channels": 8, "out_channels": 8, "dilation": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "routing": "shared"}"#,
            r#"{"in_channels": 8, "out_channels": 8, "num_experts": 18446744073709551615}"#,
            r#"{"in_channels": 8}"#,
        ],
        make: condconv,
    },
    Entry {
        name: "dynamic_conv2d",
        description: "convolution whose weight is a mean of experts, by a softmax that a temperature sharpens",
        formula: "y = conv(x, sum_k p_k W_k), p = softmax((W2 relu(W1 mean_hw(x)) + b2) / t)",
        paper: DYNAMIC,
        page: "dynamic_conv",
        typical: TYPICAL,
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 6}"#,
                &[&[3, 4, 5, 7]],
                &[&[3, 6, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 8, "out_channels": 4, "stride": 2, "dilation": 2, "padding": 2, "groups": 4, "bias": false,
                    "kernel_num": 3, "plus_one": true, "temperature": 4.0}"#,
                &[&[2, 8, 7, 6]],
                &[&[2, 4, 4, 3]],
            ),
            Example::new(
                r#"{"in_channels": 3, "out_channels": 5, "kernel_size": 1, "padding": 0, "kernel_num": 2}"#,
                &[&[1, 3, 4, 3]],
                &[&[1, 5, 4, 3]],
            ),
            Example::new(
                r#"{"in_channels": 6, "out_channels": 6, "ratio": 0.5, "kernel_num": 1, "temperature": 30.0}"#,
                &[&[2, 6, 3, 3]],
                &[&[2, 6, 3, 3]],
            ),
        ],
        counts: &[
            (
                r#"{"in_channels": 64, "out_channels": 128, "plus_one": true}"#,
                296_584,
            ),
            // One less wide: 64 + 4 weights less.
            (r#"{"in_channels": 64, "out_channels": 128}"#, 296_516),
        ],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 8, "kernel_num": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "temperature": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "temperature": -1}"#,
            r#"{"in_channels": 8, "out_channels": 8, "ratio": 0.1}"#,
            r#"{"in_channels": 8, "out_channels": 8, "ratio": -1}"#,
            r#"{"in_channels": 8, "out_channels": 8, "ratio": 1e300}"#,
            r#"{"in_channels": 8, "out_channels": 8, "groups": 3}"#,
            r#"{"in_channels": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "out_channels": 8, "kernel_size": [3, 0]}"#,
        ],
        make: dynamic_conv2d,
    },
    Entry {
        name: "dynamic_conv1d",
        description: "dynamic convolution of sequences",
        formula: "y = conv(x, sum_k p_k W_k), p = softmax((W2 relu(W1 mean_l(x)) + b2) / t)",
        paper: DYNAMIC,
        page: "dynamic_conv",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 512]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 6}"#,
                &[&[2, 4, 9]],
                &[&[2, 6, 9]],
            ),
            Example::new(
                r#"{"in_channels": 8, "out_channels": 4, "kernel_size": 4, "stride": 2, "dilation": 2, "padding": 3, "groups": 4,
                    "bias": false, "kernel_num": 2, "plus_one": true, "temperature": 4.0}"#,
                &[&[1, 8, 8]],
                &[&[1, 4, 4]],
            ),
        ],
        // 4 * 24 576 and 4 * 128, 64 * 16 + 16 * 4 + 4.
        counts: &[(r#"{"in_channels": 64, "out_channels": 128}"#, 99_908)],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 8, "kernel_num": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "groups": 3}"#,
            r#"{"in_channels": 8, "out_channels": 8, "temperature": 0}"#,
        ],
        make: dynamic_conv1d,
    },
    Entry {
        name: "dynamic_conv3d",
        description: "dynamic convolution of volumes",
        formula: "y = conv(x, sum_k p_k W_k), p = softmax(W2 relu(W1 mean_thw(x)) / t)",
        paper: DYNAMIC,
        page: "dynamic_conv",
        typical: Typical {
            config: r#"{"in_channels": 64, "out_channels": 64}"#,
            inputs: &[&[1, 64, 8, 28, 28]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 3, "kernel_num": 2}"#,
                &[&[2, 4, 3, 4, 5]],
                &[&[2, 3, 3, 4, 5]],
            ),
            Example::new(
                r#"{"in_channels": 4, "out_channels": 2, "kernel_size": 1, "padding": 0, "stride": 2, "groups": 2, "bias": false,
                    "kernel_num": 3, "ratio": 0.5}"#,
                &[&[1, 4, 2, 5, 3]],
                &[&[1, 2, 1, 3, 2]],
            ),
        ],
        // 4 * 221 184 and 4 * 128, 64 * 16 + 16 * 4.
        counts: &[(r#"{"in_channels": 64, "out_channels": 128}"#, 886_336)],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 8, "kernel_num": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
            r#"{"in_channels": 8, "out_channels": 6, "groups": 4}"#,
            r#"{"in_channels": 8, "out_channels": 8, "temperature": -3}"#,
        ],
        make: dynamic_conv3d,
    },
    Entry {
        name: "odconv",
        description: "dynamic convolution with attention over input channels, filters, taps and experts",
        formula: "y = af * conv(ac * x, sum_k aw_k (as * W_k)), each a from relu(bn(W mean_hw(x)))",
        paper: ODCONV,
        page: "odconv",
        typical: TYPICAL,
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 6, "kernel_num": 3}"#,
                &[&[4, 4, 5, 7]],
                &[&[4, 6, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 6, "out_channels": 4, "kernel_num": 1, "stride": 2, "temperature": 30.0, "reduction": 3.0}"#,
                &[&[3, 6, 6, 5]],
                &[&[3, 4, 3, 3]],
            ),
            Example::new(
                r#"{"in_channels": 6, "out_channels": 8, "kernel_size": 1, "padding": 0, "kernel_num": 1, "groups": 2}"#,
                &[&[3, 6, 3, 4]],
                &[&[3, 8, 3, 4]],
            ),
            Example::new(
                r#"{"in_channels": 9, "out_channels": 9, "groups": 9, "kernel_num": 2}"#,
                &[&[1, 9, 4, 5]],
                &[&[1, 9, 4, 5]],
            )
            .eval(),
        ],
        counts: &[
            (
                r#"{"in_channels": 64, "out_channels": 128, "kernel_num": 1}"#,
                78_201,
            ),
            (r#"{"in_channels": 64, "out_channels": 128}"#, 299_453),
        ],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 8, "kernel_num": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "groups": 3}"#,
            r#"{"in_channels": 8, "out_channels": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "reduction": -1}"#,
            r#"{"in_channels": 8, "out_channels": 8, "reduction": 1e300}"#,
            r#"{"in_channels": 8, "out_channels": 8, "temperature": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
        ],
        make: odconv,
    },
    Entry {
        name: "involution",
        description: "a kernel for every pixel, made from the pixel and shared by the channels of a group",
        formula: "y(p) = sum_t w(p, t) x(s p + t), w = conv2(relu(bn(conv1(avg_pool_s(x)))))",
        paper: INVOLUTION,
        page: "involution",
        typical: Typical {
            config: r#"{"channels": 256, "groups": 16}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 8, "groups": 2, "kernel_size": 3}"#,
                &[&[2, 8, 5, 4]],
                &[&[2, 8, 5, 4]],
            ),
            Example::new(
                r#"{"channels": 6, "groups": 3, "kernel_size": 5, "stride": 2, "reduction": 2, "reduce_bias": false}"#,
                &[&[3, 6, 4, 6]],
                &[&[3, 6, 2, 3]],
            ),
            Example::new(
                r#"{"channels": 4, "groups": 1, "kernel_size": 7}"#,
                &[&[1, 4, 3, 2]],
                &[&[1, 4, 3, 2]],
            )
            .eval(),
        ],
        counts: &[(r#"{"channels": 256, "groups": 16}"#, 67_536)],
        invalid: &[
            r#"{"channels": 8, "groups": 3}"#,
            r#"{"channels": 8, "groups": 0}"#,
            r#"{"channels": 8, "kernel_size": 4}"#,
            r#"{"channels": 8, "kernel_size": 0}"#,
            r#"{"channels": 8, "stride": 0}"#,
            r#"{"channels": 8, "reduction": 16}"#,
            r#"{"channels": 0}"#,
            r#"{"channels": 8, "kernel_size": 9223372036854775807}"#,
        ],
        make: involution,
    },
    Entry {
        name: "rfaconv",
        description: "convolution whose windows weigh their pixels by a softmax",
        formula: "y = conv(softmax_kk(conv1x1(avg_pool(x))) * relu(bn(conv_kxk(x)))), the k*k features of a window side by side",
        paper: RFACONV,
        page: "rfaconv",
        typical: TYPICAL,
        examples: &[
            Example::new(
                r#"{"in_channels": 3, "out_channels": 5}"#,
                &[&[2, 3, 5, 4]],
                &[&[2, 5, 5, 4]],
            ),
            Example::new(
                r#"{"in_channels": 2, "out_channels": 3, "kernel_size": 5, "stride": 2}"#,
                &[&[2, 2, 6, 5]],
                &[&[2, 3, 3, 3]],
            ),
            Example::new(
                r#"{"in_channels": 4, "out_channels": 4, "kernel_size": 1}"#,
                &[&[1, 4, 3, 3]],
                &[&[1, 4, 3, 3]],
            )
            .eval(),
        ],
        counts: &[(r#"{"in_channels": 64, "out_channels": 64}"#, 43_840)],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 2}"#,
            r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 0}"#,
            r#"{"in_channels": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "out_channels": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
            r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 9223372036854775807}"#,
        ],
        make: rfaconv,
    },
    Entry {
        name: "rfcbamconv",
        description: "convolution with CBAM's attention on the pixels of its windows",
        formula: "y = conv(c * s * F), F = relu(bn(conv_kxk(x))), c = sigmoid(W2 relu(W1 mean_hw(x))), s = \
                  sigmoid(conv3x3([max_c(F), mean_c(F)]))",
        paper: RFACONV,
        page: "rfaconv",
        typical: TYPICAL,
        examples: &[
            Example::new(
                r#"{"in_channels": 3, "out_channels": 5, "width": 4}"#,
                &[&[2, 3, 5, 4]],
                &[&[2, 5, 5, 4]],
            ),
            Example::new(
                r#"{"in_channels": 4, "out_channels": 2, "stride": 2}"#,
                &[&[1, 4, 5, 6]],
                &[&[1, 2, 3, 3]],
            )
            .eval(),
        ],
        counts: &[(r#"{"in_channels": 64, "out_channels": 64}"#, 45_330)],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 4}"#,
            r#"{"in_channels": 8, "out_channels": 8, "width": 0}"#,
            r#"{"in_channels": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
        ],
        make: rfcbamconv,
    },
    Entry {
        name: "rfcaconv",
        description: "convolution with coordinate attention on the rows and columns of its windows",
        formula: "y = conv(F * sigmoid(conv_h(f)) * sigmoid(conv_w(f))), F = relu(bn(conv_kxk(x))), f = \
                  hardswish(bn(conv1([mean_w(F), mean_h(F)])))",
        paper: RFACONV,
        page: "rfaconv",
        typical: TYPICAL,
        examples: &[
            Example::new(
                r#"{"in_channels": 3, "out_channels": 5}"#,
                &[&[2, 3, 5, 4]],
                &[&[2, 5, 5, 4]],
            ),
            Example::new(
                r#"{"in_channels": 4, "out_channels": 2, "stride": 2, "kernel_size": 5, "reduction": 1}"#,
                &[&[1, 4, 5, 6]],
                &[&[1, 2, 3, 3]],
            )
            .eval(),
        ],
        counts: &[(r#"{"in_channels": 64, "out_channels": 64}"#, 44_952)],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 4}"#,
            r#"{"in_channels": 8, "out_channels": 8, "reduction": 0}"#,
            r#"{"in_channels": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
        ],
        make: rfcaconv,
    },
    Entry {
        name: "caconv",
        description: "coordinate attention in front of a convolution",
        formula: "y = conv(x * sigmoid(conv_h(f)) * sigmoid(conv_w(f))), f = hardswish(bn(conv1([mean_w(x), mean_h(x)])))",
        paper: RFACONV,
        page: "rfaconv",
        typical: TYPICAL,
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 6}"#,
                &[&[2, 4, 5, 3]],
                &[&[2, 6, 5, 3]],
            ),
            Example::new(
                r#"{"in_channels": 6, "out_channels": 9, "reduction": 1, "stride": 2, "groups": 3, "bias": false}"#,
                &[&[1, 6, 3, 6]],
                &[&[1, 9, 2, 3]],
            )
            .eval(),
        ],
        counts: &[(r#"{"in_channels": 64, "out_channels": 64}"#, 38_616)],
        invalid: &[
            r#"{"in_channels": 16, "out_channels": 8, "reduction": 0}"#,
            r#"{"in_channels": 16, "out_channels": 6, "groups": 4}"#,
            r#"{"in_channels": 16, "out_channels": 8, "stride": 0}"#,
            r#"{"in_channels": 0, "out_channels": 8}"#,
        ],
        make: caconv,
    },
    Entry {
        name: "camconv",
        description: "CBAM's channel attention in front of a convolution",
        formula: "y = conv(x * sigmoid(mlp(max_hw(x)) + mlp(mean_hw(x))))",
        paper: RFACONV,
        page: "rfaconv",
        typical: TYPICAL,
        examples: &[
            Example::new(
                r#"{"in_channels": 8, "out_channels": 4, "reduction": 4}"#,
                &[&[2, 8, 5, 4]],
                &[&[2, 4, 5, 4]],
            ),
            Example::new(
                r#"{"in_channels": 6, "out_channels": 9, "reduction": 3, "stride": 2, "groups": 3, "bias": false}"#,
                &[&[1, 6, 3, 6]],
                &[&[1, 9, 2, 3]],
            ),
        ],
        counts: &[(r#"{"in_channels": 64, "out_channels": 64}"#, 37_440)],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 8}"#,
            r#"{"in_channels": 16, "out_channels": 8, "reduction": 0}"#,
            r#"{"in_channels": 16, "out_channels": 6, "groups": 4}"#,
            r#"{"in_channels": 16, "out_channels": 8, "stride": 0}"#,
        ],
        make: camconv,
    },
];
