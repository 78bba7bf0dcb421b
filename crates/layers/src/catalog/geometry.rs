//! Entries of modules that know or move positions.

use striate_tensor::{Result, SampleMode, SamplePadding};

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::util::invalid;
use crate::{
    Conv2dConfig, CoordConvConfig, SpatialTransformerConfig, TpsGridConfig, TpsTransformerConfig,
    Transform, VarBuilder,
};

const STN: &str = "Jaderberg et al., Spatial Transformer Networks, NIPS 2015, arXiv:1506.02025";
const TPS: &str = "Shi et al., Robust Scene Text Recognition with Automatic Rectification, CVPR 2016, arXiv:1603.03915";

/// Two values, or none if the list is empty.
fn two<T: Copy + std::fmt::Debug>(name: &'static str, values: &[T]) -> Result<Option<[T; 2]>> {
    match *values {
        [] => Ok(None),
        [a, b] => Ok(Some([a, b])),
        _ => Err(invalid(
            "transformer",
            name,
            values,
            "it must have two elements",
        )),
    }
}

fn mode(o: &Options<'_>) -> Result<SampleMode> {
    o.choice(
        "mode",
        &[
            ("bilinear", SampleMode::Bilinear),
            ("nearest", SampleMode::Nearest),
            ("bicubic", SampleMode::Bicubic),
        ],
    )
}

fn padding(o: &Options<'_>) -> Result<SamplePadding> {
    o.choice(
        "padding",
        &[
            ("zeros", SamplePadding::Zeros),
            ("border", SamplePadding::Border),
            ("reflection", SamplePadding::Reflection),
        ],
    )
}

fn stn(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let transforms = [
        ("affine", Transform::Affine),
        ("attention", Transform::Attention),
        ("crop", Transform::Crop),
        ("projective", Transform::Projective),
    ];
    let channels = o.pair_or("loc_channels", [8, 10])?;
    let kernels = o.pair_or("loc_kernels", [7, 5])?;
    let in_size = o.pair_or("in_size", [28, 28])?;
    let config = SpatialTransformerConfig::new(o.count_or("in_channels", 1)?, in_size)
        .localization(channels, kernels, o.count_or("hidden", 32)?)
        .transform(o.choice("transform", &transforms)?)
        .out_size(two("out_size", &o.counts_or("out_size", &[])?)?)
        .mode(mode(o)?)
        .padding(padding(o)?)
        .align_corners(o.flag_or("align_corners", false)?);
    Ok(Box::new(config.build(vb)?))
}

/// The lattice of target points.
fn lattice(o: &Options<'_>) -> Result<([usize; 2], [f64; 2])> {
    let points = [o.count_or("grid_height", 3)?, o.count_or("grid_width", 3)?];
    let span = two("span", &o.numbers_or("span", &[0.9, 0.9])?)?;
    Ok((points, span.unwrap_or([0.9, 0.9])))
}

fn tps_grid(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let (points, span) = lattice(o)?;
    let size = o.pair_or("out_size", [28, 28])?;
    let config = TpsGridConfig::new(size).points(points).span(span);
    Ok(Box::new(config.build(vb)?))
}

fn tps_stn(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let channels = o.pair_or("loc_channels", [8, 10])?;
    let kernels = o.pair_or("loc_kernels", [7, 5])?;
    let in_size = o.pair_or("in_size", [28, 28])?;
    let (points, span) = lattice(o)?;
    let config = TpsTransformerConfig::new(o.count_or("in_channels", 1)?, in_size)
        .localization(channels, kernels, o.count_or("hidden", 32)?)
        .out_size(two("out_size", &o.counts_or("out_size", &[])?)?.unwrap_or(in_size))
        .points(points, span)
        .bounded(o.flag_or("bounded", false)?)
        .mode(mode(o)?)
        .padding(padding(o)?)
        .align_corners(o.flag_or("align_corners", true)?);
    Ok(Box::new(config.build(vb)?))
}

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

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
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
    },
    Entry {
        name: "stn",
        description: "the input under an affine map that a network reads off it",
        formula: "y[i, j] = x at theta (u, v, 1), theta = fc_loc(localization(x))",
        paper: STN,
        page: "stn",
        typical: Typical {
            config: "{}",
            inputs: &[&[1, 1, 28, 28]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 2, "in_size": [11, 12], "loc_channels": [3, 4], "loc_kernels": [3, 3], "hidden": 5}"#,
                &[&[2, 2, 11, 12]],
                &[&[2, 2, 11, 12]],
            ),
            Example::new(
                r#"{"in_channels": 1, "in_size": [10, 13], "loc_channels": [2, 3], "loc_kernels": [3, 2], "hidden": 4, "out_size": [5, 7], "padding": "border", "align_corners": true}"#,
                &[&[1, 1, 10, 13]],
                &[&[1, 1, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 2, "in_size": [10, 11], "loc_channels": [2, 3], "loc_kernels": [3, 3], "hidden": 4, "transform": "attention", "mode": "bicubic", "padding": "reflection"}"#,
                &[&[2, 2, 10, 11]],
                &[&[2, 2, 10, 11]],
            ),
            Example::new(
                r#"{"in_channels": 2, "in_size": [10, 11], "loc_channels": [2, 3], "loc_kernels": [3, 3], "hidden": 4, "transform": "crop"}"#,
                &[&[1, 2, 10, 11]],
                &[&[1, 2, 10, 11]],
            ),
            Example::new(
                r#"{"in_channels": 2, "in_size": [10, 11], "loc_channels": [2, 3], "loc_kernels": [3, 3], "hidden": 4, "out_size": [6, 5], "transform": "projective"}"#,
                &[&[2, 2, 10, 11]],
                &[&[2, 2, 6, 5]],
            ),
        ],
        counts: &[
            ("{}", 5_520),
            (r#"{"transform": "crop"}"#, 5_421),
            (r#"{"transform": "projective"}"#, 5_586),
        ],
        invalid: &[
            r#"{"in_size": [8, 28]}"#,
            r#"{"in_channels": 0}"#,
            r#"{"hidden": 0}"#,
            r#"{"loc_channels": [8, 0]}"#,
            r#"{"loc_kernels": 0}"#,
            r#"{"out_size": [0, 4]}"#,
            r#"{"out_size": [4]}"#,
            r#"{"transform": "rigid"}"#,
            r#"{"padding": "wrap"}"#,
            r#"{"mode": "linear"}"#,
        ],
        make: stn,
    },
    Entry {
        name: "tps_grid",
        description: "the sampling grid of a thin plate spline through given points",
        formula: "grid(q) = sum_k c_k phi(|q - p_k|^2) + a + B q, phi(s) = s ln(s) / 2",
        paper: TPS,
        page: "tps_stn",
        typical: Typical {
            config: "{}",
            inputs: &[&[1, 9, 2]],
        },
        examples: &[
            Example::new(r#"{"out_size": [5, 7]}"#, &[&[1, 9, 2]], &[&[1, 5, 7, 2]]),
            Example::new(
                r#"{"out_size": [4, 3], "grid_height": 2, "grid_width": 4, "span": [0.8, 0.95]}"#,
                &[&[3, 8, 2]],
                &[&[3, 4, 3, 2]],
            ),
        ],
        counts: &[("{}", 0)],
        invalid: &[
            r#"{"out_size": [0, 4]}"#,
            r#"{"grid_height": 1}"#,
            r#"{"grid_width": 0}"#,
            r#"{"span": [0.0, 1.0]}"#,
            r#"{"span": [0.5]}"#,
        ],
        make: tps_grid,
    },
    Entry {
        name: "tps_stn",
        description: "the input warped by a thin plate spline that a network chooses",
        formula: "y[i, j] = x at grid(p)[i, j], p = fc_loc(localization(x))",
        paper: TPS,
        page: "tps_stn",
        typical: Typical {
            config: "{}",
            inputs: &[&[1, 1, 28, 28]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 2, "in_size": [11, 12], "loc_channels": [3, 4], "loc_kernels": [3, 3], "hidden": 5}"#,
                &[&[2, 2, 11, 12]],
                &[&[2, 2, 11, 12]],
            ),
            Example::new(
                r#"{"in_channels": 1, "in_size": [10, 13], "loc_channels": [2, 3], "loc_kernels": [3, 2], "hidden": 4, "out_size": [5, 7], "bounded": true, "grid_height": 2, "padding": "border", "align_corners": false}"#,
                &[&[1, 1, 10, 13]],
                &[&[1, 1, 5, 7]],
            ),
        ],
        counts: &[("{}", 5_916)],
        invalid: &[
            r#"{"in_size": [28, 9]}"#,
            r#"{"bounded": true, "span": [1.0, 0.5]}"#,
            r#"{"grid_height": 1}"#,
            r#"{"in_channels": 0}"#,
            r#"{"out_size": [4, 0]}"#,
        ],
        make: tps_stn,
    },
];
