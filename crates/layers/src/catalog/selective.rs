//! Entries of the modules that choose between branches.

use striate_tensor::Result;

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{Kernels, SkConvConfig, SkInit, SkUnitConfig, SplitAttentionConfig, VarBuilder};

const PAPER: &str = "Li et al., Selective Kernel Networks, CVPR 2019, arXiv:1903.06586";

fn sk(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let starts = [("pytorch", SkInit::PyTorch), ("prototxt", SkInit::Prototxt)];
    let kernels = [("dilated", Kernels::Dilated), ("plain", Kernels::Plain)];
    let config = SkConvConfig::new(o.count("in_channels")?, o.count("out_channels")?)
        .branches(o.count_or("branches", 2)?)
        .kernels(o.choice("kernels", &kernels)?)
        .groups(o.count_or("groups", 32)?)
        .reduction(o.count_or("reduction", 16)?)
        .min_dim(o.count_or("min_dim", 32)?)
        .stride(o.count_or("stride", 1)?)
        .fc_bn_act(o.flag_or("fc_bn", true)?, o.flag_or("fc_act", true)?)
        .fc_bias(o.flag_or("fc_bias", false)?)
        .conv_bias(o.flag_or("conv_bias", false)?)
        .split_input(o.flag_or("split_input", false)?)
        .init(o.choice("init", &starts)?);
    Ok(Box::new(config.build(vb)?))
}

fn skunit(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let [i, w, out] = [
        o.count("in_channels")?,
        o.count("width")?,
        o.count("out_channels")?,
    ];
    let config = SkUnitConfig::new(i, w, out)
        .stride(o.count_or("stride", 1)?)
        .kernel(
            o.count_or("branches", 2)?,
            o.count_or("groups", 32)?,
            o.count_or("reduction", 16)?,
            o.count_or("min_dim", 32)?,
        );
    Ok(Box::new(config.build(vb)?))
}

fn split_attention(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let mut config = SplitAttentionConfig::new(o.count("in_channels")?, o.count("out_channels")?)
        .kernel(o.pair_or("kernel_size", [3, 3])?)
        .stride(o.pair_or("stride", [1, 1])?)
        .padding(o.pair_or("padding", [1, 1])?)
        .groups(o.count_or("groups", 1)?)
        .radix(o.count_or("radix", 2)?);
    config.rd_channels = o.optional_count("rd_channels")?;
    Ok(Box::new(config.build(vb)?))
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "sk",
        description: "convolutions of several kernel sizes, and a softmax that chooses for every channel",
        formula: "y = sum_m softmax_m(A_m z) * U_m, U_m = relu(bn(conv_m(x))), z = relu(bn(W mean_hw(sum_m U_m)))",
        paper: PAPER,
        page: "sk",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 6, "groups": 2, "min_dim": 3}"#,
                &[&[3, 4, 5, 7]],
                &[&[3, 6, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 4, "out_channels": 4, "branches": 3, "kernels": "plain", "groups": 4,
                    "min_dim": 2, "stride": 2, "fc_bn": false, "fc_act": false, "fc_bias": true, "conv_bias": true}"#,
                &[&[1, 4, 6, 5]],
                &[&[1, 4, 3, 3]],
            ),
            Example::new(
                r#"{"in_channels": 6, "out_channels": 4, "groups": 1, "reduction": 2, "min_dim": 2, "split_input": true}"#,
                &[&[2, 6, 4, 4]],
                &[&[2, 4, 4, 4]],
            ),
            Example::new(
                r#"{"in_channels": 4, "out_channels": 4, "branches": 1, "groups": 4, "min_dim": 2}"#,
                &[&[1, 4, 1, 1]],
                &[&[1, 4, 1, 1]],
            )
            .eval(),
        ],
        counts: &[
            (r#"{"in_channels": 256, "out_channels": 256}"#, 62_528),
            (
                r#"{"in_channels": 64, "out_channels": 64, "branches": 3, "kernels": "plain", "groups": 8, "reduction": 2,
                    "fc_bn": false, "fc_act": false, "fc_bias": true, "conv_bias": true}"#,
                51_488,
            ),
            (
                r#"{"in_channels": 64, "out_channels": 64, "branches": 3, "groups": 8, "reduction": 2,
                    "fc_bn": false, "fc_act": false, "fc_bias": true, "conv_bias": true}"#,
                22_816,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 32, "out_channels": 32, "branches": 0}"#,
            r#"{"in_channels": 33, "out_channels": 33, "groups": 32}"#,
            r#"{"in_channels": 32, "out_channels": 48, "groups": 32}"#,
            r#"{"in_channels": 32, "out_channels": 32, "groups": 0}"#,
            r#"{"in_channels": 32, "out_channels": 32, "reduction": 0}"#,
            r#"{"in_channels": 32, "out_channels": 32, "min_dim": 0}"#,
            r#"{"in_channels": 32, "out_channels": 32, "stride": 0}"#,
            r#"{"in_channels": 32, "out_channels": 32, "branches": 3, "groups": 1, "split_input": true}"#,
            r#"{"in_channels": 32, "out_channels": 32, "kernels": "round"}"#,
            r#"{"in_channels": 32, "out_channels": 32, "branches": 18446744073709551615}"#,
            r#"{"in_channels": 32}"#,
        ],
        make: sk,
    },
    Entry {
        name: "skunit",
        description: "bottleneck whose 3x3 convolution is a selective-kernel convolution",
        formula: "y = relu(x + bn(conv1x1(sk(relu(bn(conv1x1(x)))))))",
        paper: PAPER,
        page: "sk",
        typical: Typical {
            config: r#"{"in_channels": 256, "width": 128, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "width": 4, "out_channels": 8, "stride": 2, "groups": 2, "min_dim": 3}"#,
                &[&[2, 4, 5, 6]],
                &[&[2, 8, 3, 3]],
            ),
            Example::new(
                r#"{"in_channels": 8, "width": 4, "out_channels": 8, "groups": 4, "min_dim": 2}"#,
                &[&[1, 8, 3, 4]],
                &[&[1, 8, 3, 4]],
            )
            .eval(),
        ],
        // The first unit of SKNet-50: 8 448 + 22 080 + 33 280, and 16 896 for the shortcut.
        counts: &[(r#"{"in_channels": 64, "width": 128, "out_channels": 256}"#, 80_704)],
        invalid: &[
            r#"{"in_channels": 64, "width": 100, "out_channels": 256}"#,
            r#"{"in_channels": 0, "width": 128, "out_channels": 256}"#,
            r#"{"in_channels": 64, "width": 128, "out_channels": 0}"#,
            r#"{"in_channels": 64, "width": 128, "out_channels": 256, "stride": 0}"#,
        ],
        make: skunit,
    },
Entry { name: "split_attention", description: "convolution that makes several versions of every channel, and a softmax that chooses", formula: "y = sum_r a_r * U_r, U = relu(bn(conv(x))), a = softmax_r(W2 relu(bn(W1 mean_hw(sum_r U_r))))", paper: "Zhang et al., ResNeSt: Split-Attention Networks, CVPR 2022 workshops, arXiv:2004.08955", page: "split_attention",
 typical: Typical { config: r#"{"in_channels": 256, "out_channels": 256}"#, inputs: &[&[1, 256, 56, 56]] },
 examples: &[Example::new(r#"{"in_channels": 4, "out_channels": 6, "rd_channels": 3}"#, &[&[3, 4, 5, 4]], &[&[3, 6, 5, 4]]),Example::new(r#"{"in_channels": 8, "out_channels": 4, "groups": 2, "stride": 2, "rd_channels": 4}"#, &[&[4, 8, 6, 7]], &[&[4, 4, 3, 4]]),Example::new(r#"{"in_channels": 6, "out_channels": 6, "radix": 3, "groups": 2, "kernel_size": 1, "padding": 0, "rd_channels": 6}"#, &[&[3, 6, 3, 2]], &[&[3, 6, 3, 2]]),Example::new(r#"{"in_channels": 4, "out_channels": 8, "radix": 1}"#, &[&[1, 4, 3, 5]], &[&[1, 8, 3, 5]]).eval(),], counts: &[(r#"{"in_channels": 256, "out_channels": 256}"#, 690_048),(r#"{"in_channels": 64, "out_channels": 64}"#, 9 * 64 * 64 + 4 * 64 + 3 * 64 * 32 + 3 * 32 + 128),], invalid: &[r#"{"in_channels": 0, "out_channels": 8}"#,r#"{"in_channels": 8, "out_channels": 0}"#,r#"{"in_channels": 8, "out_channels": 8, "radix": 0}"#,r#"{"in_channels": 8, "out_channels": 8, "groups": 0}"#,r#"{"in_channels": 6, "out_channels": 8, "groups": 4}"#,r#"{"in_channels": 8, "out_channels": 8, "rd_channels": 0}"#,r#"{"in_channels": 9, "out_channels": 9, "radix": 3, "groups": 3}"#,r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 0}"#,r#"{"in_channels": 8, "out_channels": 8, "radix": 18446744073709551615}"#,], make: split_attention, },
];
