//! Entries of modules that know or move positions.

use striate_tensor::Result;

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{Conv2dConfig, CoordConvConfig, VarBuilder};

fn coordconv(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let [inputs, outputs] = [o.count("in_channels")?, o.count("out_channels")?];
    let conv = Conv2dConfig::new(inputs, outputs, o.count_or("kernel_size", 3)?)
        .stride(o.count_or("stride", 1)?)
        .padding(o.count_or("padding", 1)?)
        .dilation(o.count_or("dilation", 1)?)
        .groups(o.count_or("groups", 1)?)
        .bias(o.flag_or("bias", true)?);
    let config = CoordConvConfig::new(conv)
        .radius(o.flag_or("with_r", false)?)
        .radius_centre(o.number_or("radius_centre", 0.0)?);
    Ok(Box::new(config.build(vb)?))
}

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "coordconv",
    description: "convolution that also sees the coordinates of each pixel",
    formula: "y = conv([x, X, Y]), X[h,w] = 2w/(W-1) - 1, Y[h,w] = 2h/(H-1) - 1",
    paper: "Liu et al., An Intriguing Failing of Convolutional Neural Networks and the CoordConv Solution, NeurIPS 2018, arXiv:1807.03247",
    page: "coordconv",
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
            r#"{"in_channels": 3, "out_channels": 4, "kernel_size": 5, "padding": 0, "stride": 2, "groups": 2, "with_r": true,
                "radius_centre": 0.5, "bias": false}"#,
            &[&[1, 3, 8, 6]],
            &[&[1, 4, 2, 1]],
        ),
        Example::new(
            r#"{"in_channels": 2, "out_channels": 3, "padding": 2, "dilation": 2}"#,
            &[&[1, 2, 1, 4]],
            &[&[1, 3, 1, 4]],
        ),
    ],
    counts: &[
        (r#"{"in_channels": 64, "out_channels": 64}"#, 38_080),
        (
            r#"{"in_channels": 64, "out_channels": 64, "with_r": true}"#,
            38_656,
        ),
    ],
    invalid: &[
        r#"{"in_channels": 0, "out_channels": 8}"#,
        r#"{"in_channels": 8, "out_channels": 0}"#,
        r#"{"in_channels": 8, "out_channels": 8, "kernel_size": 0}"#,
        r#"{"in_channels": 8, "out_channels": 8, "stride": 0}"#,
        r#"{"in_channels": 8, "out_channels": 8, "groups": 0}"#,
        r#"{"in_channels": 8, "out_channels": 8, "groups": 4}"#,
    ],
    make: coordconv,
}];
