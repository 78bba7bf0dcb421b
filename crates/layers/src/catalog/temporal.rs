//! Entries of modules over sequences.

use super::{Entry, Example, Typical};
use crate::TcnConfig;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "tcn",
    description: "a residual network over a sequence that sees the past alone",
    formula: "block i: y = relu(x + F(F(x))), F(x) = dropout(relu(causal conv of dilation 2^i))",
    paper: "Bai et al., An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling, 2018, arXiv:1803.01271",
    page: "tcn",
    typical: Typical {
        config: r#"{"in_channels": 256, "channels": [256, 256, 256, 256], "kernel_size": 3}"#,
        inputs: &[&[1, 256, 1024]],
    },
    examples: &[
        Example::new(
            r#"{"in_channels": 3, "channels": [4], "kernel_size": 3, "dropout": 0}"#,
            &[&[2, 3, 7]],
            &[&[2, 4, 7]],
        ),
        Example::new(
            r#"{"in_channels": 9, "channels": [9, 8, 8], "dropout": 0}"#,
            &[&[1, 9, 5]],
            &[&[1, 8, 5]],
        ),
        Example::new(
            r#"{"in_channels": 2, "channels": [3, 3], "kernel_size": 1}"#,
            &[&[2, 2, 1]],
            &[&[2, 3, 1]],
        )
        .eval(),
    ],
    counts: &[(
        r#"{"in_channels": 1, "channels": [25, 25, 25, 25, 25, 25, 25, 25], "kernel_size": 7}"#,
        66_650,
    )],
    invalid: &[
        r#"{"in_channels": 0, "channels": [4]}"#,
        r#"{"in_channels": 4, "channels": []}"#,
        r#"{"in_channels": 4, "channels": [4, 0]}"#,
        r#"{"in_channels": 4, "channels": [4], "kernel_size": 0}"#,
        r#"{"in_channels": 4, "channels": [4], "dropout": 1.5}"#,
        r#"{"in_channels": 4, "channels": "4"}"#,
    ],
    make: |o, vb| {
        let config = TcnConfig::new(o.count("in_channels")?, o.counts_or("channels", &[])?)
            .kernel(o.count_or("kernel_size", 2)?)
            .dropout(o.number_or("dropout", 0.2)?);
        Ok(Box::new(config.build(vb)?))
    },
}];
