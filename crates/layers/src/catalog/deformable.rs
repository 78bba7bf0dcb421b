//! Entries of the modules that sample at learned offsets or pool regions.

use striate_tensor::{DeformBorder, Error, Result, RoiOptions, Tensor};

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{
    DeformConv2dConfig, DeformPsRoiPool, DeformPsRoiPoolConfig, DeformRoiPool, DeformRoiPoolConfig,
    OffsetHead, Pair, PsRoiAlign, PsRoiPool, RoiAlign, RoiPool, VarBuilder,
};

const DCN: &str = "Dai et al., Deformable Convolutional Networks, ICCV 2017, arXiv:1703.06211";
const DCN_V2: &str = "Zhu et al., Deformable ConvNets v2: More Deformable, Better Results, CVPR 2019, arXiv:1811.11168";

/// Pooling of a map and regions, without parameters.
macro_rules! catalogued_regions {
    ($($name:ident)*) => { $(
        impl Catalogued for $name {
            fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
                match inputs {
                    [x, rois] => Ok(vec![self.forward(x, rois)?]),
                    _ => Err(miscounted("a map and regions", inputs)),
                }
            }
        }
    )* };
}

catalogued_regions! { RoiAlign RoiPool PsRoiAlign PsRoiPool }

/// Pooling of a map and regions, moved by a third input or not.
macro_rules! catalogued_moved_regions {
    ($($name:ident)*) => { $(
        impl Catalogued for $name {
            fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
                match inputs {
                    [x, rois] => Ok(vec![self.forward(x, rois, None)?]),
                    [x, rois, offset] => Ok(vec![self.forward(x, rois, Some(offset))?]),
                    _ => Err(miscounted("a map, regions and perhaps offsets", inputs)),
                }
            }
        }
    )* };
}

catalogued_moved_regions! { DeformRoiPool DeformPsRoiPool }

fn miscounted(expected: &str, inputs: &[Tensor]) -> Error {
    Error::msg(format!(
        "the module takes {expected}, got {} inputs",
        inputs.len()
    ))
}

fn conv(
    config: DeformConv2dConfig,
    o: &Options<'_>,
    vb: &VarBuilder,
) -> Result<Box<dyn Catalogued>> {
    let border = match o.flag_or("legacy_border", false)? {
        true => DeformBorder::Legacy,
        false => DeformBorder::Zeros,
    };
    let config = config
        .border(border)
        .stride(Pair(o.pair_or("stride", [1, 1])?))
        .padding(Pair(o.pair_or("padding", [1, 1])?))
        .dilation(Pair(o.pair_or("dilation", [1, 1])?))
        .groups(o.count_or("groups", 1)?)
        .deform_groups(o.count_or("deform_groups", 1)?);
    Ok(Box::new(config.build(vb)?))
}

fn deform_conv(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let (from, to) = (o.count("in_channels")?, o.count("out_channels")?);
    let kernel = Pair(o.pair_or("kernel_size", [3, 3])?);
    conv(DeformConv2dConfig::new(from, to, kernel), o, vb)
}

fn modulated_deform_conv(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let (from, to) = (o.count("in_channels")?, o.count("out_channels")?);
    let kernel = Pair(o.pair_or("kernel_size", [3, 3])?);
    conv(DeformConv2dConfig::modulated(from, to, kernel), o, vb)
}

fn roi_pool(o: &Options<'_>, modulated: bool, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let width = o.count_or("fc_channels", 1024)?;
    let heads = [
        ("three_layer", OffsetHead::ThreeLayer(width)),
        ("single", OffsetHead::Single),
        ("none", OffsetHead::Given),
    ];
    let config = DeformRoiPoolConfig::new(o.count("channels")?)
        .output_size(o.count_or("output_size", 7)?)
        .spatial_scale(o.number_or("spatial_scale", 1.0)?)
        .sampling_ratio(o.count_or("sampling_ratio", 0)?)
        .gamma(o.number_or("gamma", 0.1)?)
        .offset_head(o.choice("offset_head", &heads)?)
        .mask_features(modulated.then_some(width));
    Ok(Box::new(config.build(vb)?))
}

fn deform_psroi_pool(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let bins = o.count_or("output_size", 7)?;
    let config = DeformPsRoiPoolConfig::new(o.count("output_dim")?, bins)
        .group_size(o.count_or("group_size", bins)?)
        .part_size(o.count_or("part_size", bins)?)
        .sample_per_part(o.count_or("sample_per_part", 4)?)
        .spatial_scale(o.number_or("spatial_scale", 1.0)?)
        .trans_std(o.number_or("trans_std", 0.1)?)
        .no_trans(o.flag_or("no_trans", false)?);
    Ok(Box::new(config.build(vb)?))
}

/// The options that all poolings of regions have.
fn bins(o: &Options<'_>) -> Result<RoiOptions> {
    Ok(RoiOptions::new(o.pair_or("output_size", [7, 7])?)
        .spatial_scale(o.number_or("spatial_scale", 1.0)?))
}

fn samples(o: &Options<'_>) -> Result<RoiOptions> {
    Ok(bins(o)?.sampling_ratio(o.count_or("sampling_ratio", 0)?))
}

fn roi_align(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let options = samples(o)?.aligned(o.flag_or("aligned", false)?);
    Ok(Box::new(RoiAlign::new(options, vb)?))
}

fn plain_roi_pool(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    Ok(Box::new(RoiPool::new(bins(o)?, vb)?))
}

fn psroi_align(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    Ok(Box::new(PsRoiAlign::new(samples(o)?, vb)?))
}

fn psroi_pool(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    Ok(Box::new(PsRoiPool::new(bins(o)?, vb)?))
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "deform_conv",
        description: "a convolution whose taps are moved by learned offsets",
        formula: "y(p) = sum_k w(k) x(p + k + d(p, k)), d = conv(x)",
        paper: DCN,
        page: "deform_conv",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 5}"#,
                &[&[2, 4, 5, 6]],
                &[&[2, 5, 5, 6]],
            ),
            Example::new(
                r#"{"in_channels": 4, "out_channels": 6, "stride": 2, "padding": 2, "dilation": 2, "groups": 2, "deform_groups": 4}"#,
                &[&[1, 4, 7, 6]],
                &[&[1, 6, 4, 3]],
            ),
            Example::new(
                r#"{"in_channels": 2, "out_channels": 3, "kernel_size": [1, 3], "padding": [0, 1], "stride": [2, 1]}"#,
                &[&[1, 2, 5, 4]],
                &[&[1, 3, 3, 4]],
            ),
            Example::new(
                r#"{"in_channels": 3, "out_channels": 2, "legacy_border": true}"#,
                &[&[1, 3, 5, 4]],
                &[&[1, 2, 5, 4]],
            ),
        ],
        counts: &[
            (
                r#"{"in_channels": 256, "out_channels": 256}"#,
                589_824 + 41_490,
            ),
            (
                r#"{"in_channels": 512, "out_channels": 512, "dilation": 2, "padding": 2, "deform_groups": 4}"#,
                2_359_296 + 72 * (512 * 9 + 1),
            ),
        ],
        invalid: &[
            r#"{"in_channels": 4, "out_channels": 4, "deform_groups": 3}"#,
            r#"{"in_channels": 4, "out_channels": 4, "deform_groups": 0}"#,
            r#"{"in_channels": 4, "out_channels": 4, "groups": 3}"#,
            r#"{"in_channels": 4, "out_channels": 4, "groups": 0}"#,
            r#"{"in_channels": 4, "out_channels": 4, "kernel_size": 0}"#,
            r#"{"in_channels": 4, "out_channels": 4, "stride": 0}"#,
            r#"{"in_channels": 4, "out_channels": 4, "dilation": 0}"#,
            r#"{"in_channels": 0, "out_channels": 4}"#,
            r#"{"in_channels": 4, "out_channels": 0}"#,
        ],
        make: deform_conv,
    },
    Entry {
        name: "modulated_deform_conv",
        description: "a deformable convolution whose taps also have learned factors",
        formula: "y(p) = b + sum_k w(k) m(p, k) x(p + k + d(p, k)), d = conv(x), m = sigmoid(conv(x))",
        paper: DCN_V2,
        page: "deform_conv",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 5}"#,
                &[&[2, 4, 5, 6]],
                &[&[2, 5, 5, 6]],
            ),
            Example::new(
                r#"{"in_channels": 6, "out_channels": 4, "groups": 2, "deform_groups": 3, "stride": 2}"#,
                &[&[1, 6, 7, 4]],
                &[&[1, 4, 4, 2]],
            ),
            Example::new(
                r#"{"in_channels": 2, "out_channels": 3, "kernel_size": 1, "padding": 0}"#,
                &[&[1, 2, 3, 4]],
                &[&[1, 3, 3, 4]],
            ),
        ],
        counts: &[(
            r#"{"in_channels": 256, "out_channels": 256}"#,
            589_824 + 256 + 62_235,
        )],
        invalid: &[
            r#"{"in_channels": 4, "out_channels": 4, "deform_groups": 3}"#,
            r#"{"in_channels": 4, "out_channels": 6, "groups": 4}"#,
            r#"{"in_channels": 4, "out_channels": 4, "kernel_size": [3, 0]}"#,
            r#"{"in_channels": 0, "out_channels": 4}"#,
        ],
        make: modulated_deform_conv,
    },
    Entry {
        name: "roi_align",
        description: "regions as averages of bilinear samples",
        formula: "y[r, c, i, j] = mean of samples of x[c] in bin (i, j) of region r",
        paper: "He et al., Mask R-CNN, ICCV 2017, arXiv:1703.06870",
        page: "roi_pool",
        typical: REGIONS_OF_A_DETECTOR,
        examples: &[
            Example::new(
                r#"{"output_size": [2, 3], "spatial_scale": 0.5}"#,
                &[&[1, 3, 9, 7], &[4, 5]],
                &[&[4, 3, 2, 3]],
            ),
            Example::new(
                r#"{"output_size": 3, "spatial_scale": 0.5, "sampling_ratio": 2, "aligned": true}"#,
                &[&[2, 3, 8, 7], &[5, 5]],
                &[&[5, 3, 3, 3]],
            ),
        ],
        counts: &[("{}", 0)],
        invalid: INVALID_BINS,
        make: roi_align,
    },
    Entry {
        name: "roi_pool",
        description: "regions as the largest pixels of their bins",
        formula: "y[r, c, i, j] = max of the pixels of x[c] in bin (i, j) of region r",
        paper: "Girshick, Fast R-CNN, ICCV 2015, arXiv:1504.08083",
        page: "roi_pool",
        typical: Typical {
            config: r#"{"spatial_scale": 0.0625}"#,
            inputs: REGIONS_OF_A_DETECTOR.inputs,
        },
        examples: &[Example::new(
            r#"{"output_size": [2, 3], "spatial_scale": 0.5}"#,
            &[&[1, 3, 9, 7], &[4, 5]],
            &[&[4, 3, 2, 3]],
        )],
        counts: &[("{}", 0)],
        invalid: INVALID_BINS,
        make: plain_roi_pool,
    },
    Entry {
        name: "psroi_align",
        description: "regions as averages of bilinear samples, each bin from channels of its own",
        formula: "y[r, c, i, j] = mean of samples of x[(c P_h + i) P_w + j] in bin (i, j) of region r",
        paper: "Li et al., Light-Head R-CNN, 2017, arXiv:1711.07264",
        page: "roi_pool",
        typical: POSITIONS_OF_A_DETECTOR,
        examples: &[Example::new(
            r#"{"output_size": [2, 3], "spatial_scale": 0.5, "sampling_ratio": 2}"#,
            &[&[1, 12, 9, 7], &[4, 5]],
            &[&[4, 2, 2, 3]],
        )],
        counts: &[("{}", 0)],
        invalid: INVALID_BINS,
        make: psroi_align,
    },
    Entry {
        name: "psroi_pool",
        description: "regions as averages of pixels, each bin from channels of its own",
        formula: "y[r, c, i, j] = mean of the pixels of x[(c P_h + i) P_w + j] in bin (i, j) of region r",
        paper: "Dai et al., R-FCN: Object Detection via Region-based Fully Convolutional Networks, NIPS 2016, arXiv:1605.06409",
        page: "roi_pool",
        typical: POSITIONS_OF_A_DETECTOR,
        examples: &[Example::new(
            r#"{"output_size": [2, 3], "spatial_scale": 0.5}"#,
            &[&[1, 12, 9, 7], &[4, 5]],
            &[&[4, 2, 2, 3]],
        )],
        counts: &[("{}", 0)],
        invalid: INVALID_BINS,
        make: psroi_pool,
    },
    Entry {
        name: "deform_roi_pool",
        description: "RoIAlign whose bins are moved by learned offsets",
        formula: "y = align(x, r, d), d = fc(relu(fc(relu(fc(align(x, r, 0))))))",
        paper: DCN,
        page: "deform_roi_pool",
        typical: DEFORMED_REGIONS,
        examples: &[
            Example::new(
                r#"{"channels": 3, "output_size": 2, "spatial_scale": 0.5, "fc_channels": 5}"#,
                &[&[1, 3, 9, 7], &[4, 5]],
                &[&[4, 3, 2, 2]],
            ),
            Example::new(
                r#"{"channels": 2, "output_size": 3, "spatial_scale": 0.5, "sampling_ratio": 2, "gamma": 0.2, "offset_head": "single"}"#,
                &[&[2, 2, 8, 7], &[3, 5]],
                &[&[3, 2, 3, 3]],
            ),
            Example::new(
                r#"{"channels": 2, "output_size": 2, "spatial_scale": 0.5, "offset_head": "none"}"#,
                &[&[2, 2, 6, 7], &[3, 5], &[3, 2, 2, 2]],
                &[&[3, 2, 2, 2]],
            ),
        ],
        counts: &[
            (r#"{"channels": 256}"#, 13_996_130),
            (
                r#"{"channels": 256, "offset_head": "single"}"#,
                256 * 49 * 98 + 98,
            ),
            (r#"{"channels": 256, "offset_head": "none"}"#, 0),
        ],
        invalid: INVALID_DEFORMED,
        make: |o, vb| roi_pool(o, false, vb),
    },
    Entry {
        name: "modulated_deform_roi_pool",
        description: "deformable RoIAlign whose bins also have learned factors",
        formula: "y = align(x, r, d) * m, d = fc(..align(x, r, 0)), m = sigmoid(fc(relu(fc(align(x, r, 0)))))",
        paper: DCN_V2,
        page: "deform_roi_pool",
        typical: DEFORMED_REGIONS,
        examples: &[
            Example::new(
                r#"{"channels": 3, "output_size": 2, "spatial_scale": 0.5, "fc_channels": 5}"#,
                &[&[1, 3, 9, 7], &[4, 5]],
                &[&[4, 3, 2, 2]],
            ),
            Example::new(
                r#"{"channels": 2, "output_size": 3, "spatial_scale": 0.5, "fc_channels": 4, "offset_head": "single"}"#,
                &[&[2, 2, 8, 7], &[3, 5]],
                &[&[3, 2, 3, 3]],
            ),
        ],
        counts: &[(r#"{"channels": 256}"#, 13_996_130 + 12_896_305)],
        invalid: INVALID_DEFORMED,
        make: |o, vb| roi_pool(o, true, vb),
    },
    Entry {
        name: "deform_psroi_pool",
        description: "regions whose bins read channels of their own and are moved",
        formula: "y[r, c, i, j] = mean of samples of x[(c G + gi) G + gj] in bin (i, j) of region r, moved by std * size * t",
        paper: DCN,
        page: "deform_psroi_pool",
        typical: Typical {
            config: r#"{"output_dim": 8, "spatial_scale": 0.0625, "no_trans": true}"#,
            inputs: &[&[1, 392, 56, 56], &[128, 5]],
        },
        examples: &[
            Example::new(
                r#"{"output_dim": 2, "group_size": 2, "output_size": 4, "part_size": 2, "sample_per_part": 3, "spatial_scale": 0.5}"#,
                &[&[1, 8, 9, 7], &[4, 5], &[4, 4, 2, 2]],
                &[&[4, 2, 4, 4]],
            ),
            Example::new(
                r#"{"output_dim": 2, "output_size": 2, "spatial_scale": 0.5, "no_trans": true}"#,
                &[&[2, 8, 6, 7], &[3, 5]],
                &[&[3, 2, 2, 2]],
            ),
        ],
        counts: &[(r#"{"output_dim": 8}"#, 0)],
        invalid: &[
            r#"{"output_dim": 0}"#,
            r#"{"output_dim": 2, "output_size": 0}"#,
            r#"{"output_dim": 2, "group_size": 0}"#,
            r#"{"output_dim": 2, "output_size": 3, "group_size": 4}"#,
            r#"{"output_dim": 2, "part_size": 0}"#,
            r#"{"output_dim": 2, "sample_per_part": 0}"#,
            r#"{"output_dim": 2, "spatial_scale": 0.0}"#,
        ],
        make: deform_psroi_pool,
    },
];

const REGIONS_OF_A_DETECTOR: Typical = Typical {
    config: r#"{"spatial_scale": 0.0625, "sampling_ratio": 2}"#,
    inputs: &[&[1, 256, 56, 56], &[128, 5]],
};

const POSITIONS_OF_A_DETECTOR: Typical = Typical {
    config: r#"{"spatial_scale": 0.0625}"#,
    inputs: &[&[1, 392, 56, 56], &[128, 5]],
};

const DEFORMED_REGIONS: Typical = Typical {
    config: r#"{"channels": 256, "spatial_scale": 0.0625}"#,
    inputs: &[&[1, 256, 56, 56], &[128, 5]],
};

const INVALID_BINS: &[&str] = &[
    r#"{"output_size": 0}"#,
    r#"{"output_size": [2, 0]}"#,
    r#"{"spatial_scale": 0.0}"#,
    r#"{"spatial_scale": -1.0}"#,
    r#"{"ratio": 2}"#,
];

const INVALID_DEFORMED: &[&str] = &[
    r#"{"channels": 0}"#,
    r#"{"channels": 4, "output_size": 0}"#,
    r#"{"channels": 4, "fc_channels": 0}"#,
    r#"{"channels": 4, "spatial_scale": 0.0}"#,
    r#"{"channels": 4, "offset_head": "two_layer"}"#,
    r#"{"channels": 4, "sampling_ratio": 5000}"#,
];
