//! Entries of the modules that choose between branches.

use striate_tensor::Result;

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{Kernels, SkConvConfig, SkUnitConfig, VarBuilder};

const PAPER: &str = "Li et al., Selective Kernel Networks, CVPR 2019, arXiv:1903.06586";

fn sk(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
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
        .split_input(o.flag_or("split_input", false)?);
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
];
