//! Entries of modules with several receptive fields.

use striate_tensor::Result;

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{
    AsppV2Config, AsppV3Config, DeepLabV3HeadConfig, PyramidPoolingConfig, RfbAsffConfig,
    RfbConfig, RfbEConfig, RfbEVariant, RfbMobileConfig, RfbSConfig, RfbSMobileConfig, RfbSVariant,
    Spp, SppBins, Sppf, VarBuilder,
};

const DEEPLAB_V2: &str = "Chen et al., DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous \
                          Convolution, and Fully Connected CRFs, TPAMI 2018, arXiv:1606.00915";
const DEEPLAB_V3: &str =
    "Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, arXiv:1706.05587";
const PSPNET: &str = "Zhao et al., Pyramid Scene Parsing Network, CVPR 2017, arXiv:1612.01105";
const RFB: &str = "Liu et al., Receptive Field Block Net for Accurate and Fast Object Detection, ECCV 2018, \
                   arXiv:1711.07767";
const ASFF: &str =
    "Liu et al., Learning Spatial Fusion for Single-Shot Object Detection, arXiv:1911.09516";
const SPP: &str = "He et al., Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition, ECCV 2014, \
                   arXiv:1406.4729";
const YOLO_V4: &str =
    "Bochkovskiy et al., YOLOv4: Optimal Speed and Accuracy of Object Detection, arXiv:2004.10934";

fn aspp_v2(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let mut config = AsppV2Config::new(o.count("in_channels")?, o.count("num_classes")?)
        .rates(o.counts_or("rates", &[6, 12, 18, 24])?)
        .dropout(o.number_or("dropout", 0.5)?);
    let hidden = o.count_or("hidden", 0)?;
    config.hidden = (hidden > 0).then_some(hidden);
    Ok(Box::new(config.build(vb)?))
}

fn aspp_v3(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = AsppV3Config::new(o.count("in_channels")?)
        .out_channels(o.count_or("out_channels", 256)?)
        .rates(o.counts_or("rates", &[6, 12, 18])?)
        .dropout(o.number_or("dropout", 0.5)?);
    Ok(Box::new(config.build(vb)?))
}

fn deeplabv3_head(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = DeepLabV3HeadConfig::new(o.count("in_channels")?, o.count("num_classes")?)
        .channels(o.count_or("channels", 256)?)
        .rates(o.counts_or("rates", &[12, 24, 36])?)
        .dropout(o.number_or("dropout", 0.5)?);
    Ok(Box::new(config.build(vb)?))
}

fn psp(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let channels = o.count("channels")?;
    let config = PyramidPoolingConfig::new(channels)
        .bins(o.counts_or("bins", &[1, 2, 3, 6])?)
        .align_corners(o.flag_or("align_corners", true)?)
        .reduced_channels(o.count_or("reduced_channels", channels / 4)?);
    Ok(Box::new(config.build(vb)?))
}

fn rfb(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = RfbConfig::new(o.count("in_channels")?, o.count("out_channels")?)
        .stride(o.count_or("stride", 1)?)
        .scale(o.number_or("scale", 0.1)?)
        .visual(o.count_or("visual", 1)?);
    Ok(Box::new(config.build(vb)?))
}

fn rfb_s(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let variants = [("four", RfbSVariant::Four), ("seven", RfbSVariant::Seven)];
    let config = RfbSConfig::new(o.count("in_channels")?, o.count("out_channels")?)
        .scale(o.number_or("scale", 0.1)?)
        .variant(o.choice("variant", &variants)?);
    Ok(Box::new(config.build(vb)?))
}

fn rfb_e(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let variants = [("four", RfbEVariant::Four), ("c", RfbEVariant::C)];
    let config = RfbEConfig::new(o.count("in_channels")?, o.count("out_channels")?)
        .stride(o.count_or("stride", 1)?)
        .scale(o.number_or("scale", 0.1)?)
        .map_reduce(o.count_or("map_reduce", 8)?)
        .variant(o.choice("variant", &variants)?);
    Ok(Box::new(config.build(vb)?))
}

fn rfb_mobile(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = RfbMobileConfig::new(o.count("in_channels")?, o.count("out_channels")?)
        .stride(o.count_or("stride", 1)?)
        .scale(o.number_or("scale", 0.1)?);
    Ok(Box::new(config.build(vb)?))
}

fn rfb_s_mobile(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = RfbSMobileConfig::new(o.count("channels")?).scale(o.number_or("scale", 0.1)?);
    Ok(Box::new(config.build(vb)?))
}

fn rfb_asff(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = RfbAsffConfig::new(o.count("in_channels")?);
    let config = config.residual(o.flag_or("residual", false)?);
    Ok(Box::new(config.build(vb)?))
}

fn spp(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    Ok(Box::new(Spp::new(
        o.counts_or("kernel_sizes", &[5, 9, 13])?,
        vb,
    )?))
}

fn sppf(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let (kernel, repeats) = (o.count_or("kernel_size", 5)?, o.count_or("repeats", 3)?);
    Ok(Box::new(Sppf::new(kernel, repeats, vb)?))
}

fn spp_bins(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    Ok(Box::new(SppBins::new(
        o.counts_or("bins", &[1, 2, 3, 6])?,
        vb,
    )?))
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "aspp_v2",
        description: "dilated classifiers at several rates, summed",
        formula: "y = sum_i conv3x3_i(x), dilation r_i",
        paper: DEEPLAB_V2,
        page: "aspp",
        typical: Typical {
            config: r#"{"in_channels": 256, "num_classes": 21}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 3, "num_classes": 4, "rates": [1, 2, 9]}"#,
                &[&[2, 3, 5, 7]],
                &[&[2, 4, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 3, "num_classes": 2, "rates": [2, 3], "hidden": 5, "dropout": 0.0}"#,
                &[&[1, 3, 6, 4]],
                &[&[1, 2, 6, 4]],
            ),
        ],
        counts: &[
            (r#"{"in_channels": 2048, "num_classes": 21}"#, 1_548_372),
            // A branch on VGG-16: 4 719 616 + 1 049 600 + 21 525.
            (
                r#"{"in_channels": 512, "num_classes": 21, "hidden": 1024}"#,
                23_162_964,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 8, "num_classes": 5, "rates": []}"#,
            r#"{"in_channels": 8, "num_classes": 5, "rates": [6, 0]}"#,
            r#"{"in_channels": 0, "num_classes": 5}"#,
            r#"{"in_channels": 8, "num_classes": 0}"#,
            r#"{"in_channels": 8, "num_classes": 5, "hidden": 4, "dropout": 1.5}"#,
            r#"{"in_channels": 8}"#,
        ],
        make: aspp_v2,
    },
    Entry {
        name: "aspp_v3",
        description: "a 1x1, dilated 3x3s and the mean of the image, side by side, then mixed",
        formula: "y = relu(bn(V [b_0, ..., b_n+1])), b_0 = 1x1, b_i = 3x3 with dilation r_i, b_n+1 = W mean_hw(x), each \
                  with bn and relu",
        paper: DEEPLAB_V3,
        page: "aspp",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "out_channels": 3, "rates": [1, 2, 5], "dropout": 0.0}"#,
                &[&[3, 4, 5, 7]],
                &[&[3, 3, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 5, "out_channels": 8, "rates": [2]}"#,
                &[&[1, 5, 6, 3]],
                &[&[1, 8, 6, 3]],
            )
            .eval(),
        ],
        counts: &[
            (r#"{"in_channels": 2048}"#, 15_535_104),
            // 256 * 256 * (29 + 5) + 2 * 256 * 6
            (r#"{"in_channels": 256}"#, 2_231_296),
        ],
        invalid: &[
            r#"{"in_channels": 8, "rates": []}"#,
            r#"{"in_channels": 8, "rates": [0]}"#,
            r#"{"in_channels": 0}"#,
            r#"{"in_channels": 8, "out_channels": 0}"#,
            r#"{"in_channels": 8, "dropout": -0.1}"#,
            r#"{"in_channels": 8, "rates": 6}"#,
        ],
        make: aspp_v3,
    },
    Entry {
        name: "deeplabv3_head",
        description: "pyramid pooling, a 3x3 convolution, a classifier",
        formula: "y = W relu(bn(conv3x3(aspp_v3(x)))) + b",
        paper: DEEPLAB_V3,
        page: "deeplab",
        typical: Typical {
            config: r#"{"in_channels": 2048, "num_classes": 21}"#,
            inputs: &[&[1, 2048, 28, 28]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "num_classes": 3, "channels": 5, "rates": [1, 3], "dropout": 0.0}"#,
                &[&[3, 4, 5, 6]],
                &[&[3, 3, 5, 6]],
            ),
            Example::new(
                r#"{"in_channels": 4, "num_classes": 2, "channels": 3, "rates": [2]}"#,
                &[&[1, 4, 7, 4]],
                &[&[1, 2, 7, 4]],
            )
            .eval(),
        ],
        counts: &[(r#"{"in_channels": 2048, "num_classes": 21}"#, 16_130_837)],
        invalid: &[
            r#"{"in_channels": 8, "num_classes": 0}"#,
            r#"{"in_channels": 8, "num_classes": 5, "channels": 0}"#,
            r#"{"in_channels": 8, "num_classes": 5, "rates": []}"#,
            r#"{"num_classes": 5}"#,
        ],
        make: deeplabv3_head,
    },
    Entry {
        name: "psp",
        description: "means over grids of several sizes, projected, resized and put beside the map",
        formula: "y = [x, up(p_1), up(p_2), up(p_3), up(p_6)], p_b = relu(bn(W_b mean over b x b cells))",
        paper: PSPNET,
        page: "psp",
        typical: Typical {
            config: r#"{"channels": 256, "reduced_channels": 64}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 4, "reduced_channels": 3, "bins": [1, 2, 3]}"#,
                &[&[3, 4, 5, 7]],
                &[&[3, 13, 5, 7]],
            ),
            Example::new(
                r#"{"channels": 8, "align_corners": false}"#,
                &[&[1, 8, 7, 4]],
                &[&[1, 16, 7, 4]],
            )
            .eval(),
        ],
        counts: &[
            // 4 * (2048 * 512 + 2 * 512)
            (r#"{"channels": 2048}"#, 4_198_400),
            (r#"{"channels": 256}"#, 66_048),
        ],
        invalid: &[
            r#"{"channels": 0}"#,
            r#"{"channels": 8, "bins": []}"#,
            r#"{"channels": 8, "bins": [1, 0]}"#,
            r#"{"channels": 8, "reduced_channels": 0}"#,
            r#"{"channels": 3}"#,
        ],
        make: psp,
    },
    Entry {
        name: "rfb",
        description: "branches whose kernel and dilation grow together, beside a shortcut",
        formula: "y = relu(scale * linear1x1([atrous_v(1x1), atrous_v+1(3x3(1x1)), atrous_2v+1(3x3(3x3(1x1)))]) + \
                  shortcut1x1(x))",
        paper: RFB,
        page: "rfb",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 16, "out_channels": 5}"#,
                &[&[2, 16, 5, 7]],
                &[&[2, 5, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 17, "out_channels": 6, "stride": 2, "scale": 1.0, "visual": 2}"#,
                &[&[1, 17, 7, 4]],
                &[&[1, 6, 4, 2]],
            ),
            Example::new(
                r#"{"in_channels": 16, "out_channels": 16, "scale": 0.5}"#,
                &[&[1, 16, 1, 1]],
                &[&[1, 16, 1, 1]],
            )
            .eval(),
        ],
        counts: &[
            (r#"{"in_channels": 1024, "out_channels": 1024}"#, 5_095_296),
            (
                r#"{"in_channels": 1024, "out_channels": 512, "stride": 2}"#,
                4_175_744,
            ),
            (
                r#"{"in_channels": 512, "out_channels": 256, "stride": 2}"#,
                1_045_440,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 15, "out_channels": 16}"#,
            r#"{"in_channels": 32, "out_channels": 0}"#,
            r#"{"in_channels": 32, "out_channels": 16, "stride": 3}"#,
            r#"{"in_channels": 32, "out_channels": 16, "stride": 0}"#,
            r#"{"in_channels": 32, "out_channels": 16, "visual": 0}"#,
            r#"{"in_channels": 32}"#,
        ],
        make: rfb,
    },
    Entry {
        name: "rfb_s",
        description: "the receptive field block for fine maps: kernels of one line, more branches",
        formula: "y = relu(scale * linear1x1([1x1 a1, 3x1 a3, 1x3 a3, 1x3 3x1 a5]) + shortcut1x1(x))",
        paper: RFB,
        page: "rfb",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 16, "out_channels": 5, "scale": 1.0}"#,
                &[&[2, 16, 5, 7]],
                &[&[2, 5, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 32, "out_channels": 3, "variant": "seven"}"#,
                &[&[1, 32, 6, 5]],
                &[&[1, 3, 6, 5]],
            ),
        ],
        counts: &[
            (r#"{"in_channels": 512, "out_channels": 512}"#, 1_502_016),
            (
                r#"{"in_channels": 512, "out_channels": 512, "variant": "seven"}"#,
                1_027_648,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 15, "out_channels": 16}"#,
            r#"{"in_channels": 31, "out_channels": 16, "variant": "seven"}"#,
            r#"{"in_channels": 32, "out_channels": 16, "stride": 2}"#,
            r#"{"in_channels": 32, "out_channels": 16, "variant": "eight"}"#,
            r#"{"in_channels": 32, "out_channels": 0}"#,
        ],
        make: rfb_s,
    },
    Entry {
        name: "rfb_e",
        description: "the receptive field block with a branch of kernel 7, in two lines",
        formula: "y = relu(scale * linear1x1([1x1 a1, 3x3 a3, 3x3 3x3 a5, 1x7 7x1 a7]) + shortcut1x1(x))",
        paper: RFB,
        page: "rfb",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 16, "out_channels": 5, "stride": 2}"#,
                &[&[2, 16, 5, 7]],
                &[&[2, 5, 3, 4]],
            ),
            Example::new(
                r#"{"in_channels": 17, "out_channels": 3, "variant": "c", "scale": 1.0, "map_reduce": 4}"#,
                &[&[1, 17, 6, 4]],
                &[&[1, 3, 6, 4]],
            ),
        ],
        counts: &[
            (r#"{"in_channels": 1024, "out_channels": 1024}"#, 6_596_096),
            (
                r#"{"in_channels": 1024, "out_channels": 1024, "variant": "c"}"#,
                4_947_840,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 15, "out_channels": 16}"#,
            r#"{"in_channels": 32, "out_channels": 16, "map_reduce": 0}"#,
            r#"{"in_channels": 32, "out_channels": 16, "map_reduce": 17}"#,
            r#"{"in_channels": 32, "out_channels": 16, "stride": 4}"#,
            r#"{"in_channels": 32, "out_channels": 16, "variant": "d"}"#,
        ],
        make: rfb_e,
    },
    Entry {
        name: "rfb_mobile",
        description: "the receptive field block of MobileNet, with depthwise dilated ends",
        formula: "y = relu(scale * linear1x1([1x1 1x3 3x1 dw-a3, 1x1 3x3 3x3 dw-a5]) + shortcut)",
        paper: RFB,
        page: "rfb",
        typical: Typical {
            config: r#"{"in_channels": 256, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 16, "out_channels": 16}"#,
                &[&[2, 16, 5, 7]],
                &[&[2, 16, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 32, "out_channels": 5, "stride": 2, "scale": 1.0}"#,
                &[&[1, 32, 7, 4]],
                &[&[1, 5, 4, 2]],
            ),
        ],
        counts: &[
            (r#"{"in_channels": 1024, "out_channels": 1024}"#, 1_400_960),
            (
                r#"{"in_channels": 1024, "out_channels": 512, "stride": 2}"#,
                1_728_640,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 8, "out_channels": 16}"#,
            r#"{"in_channels": 24, "out_channels": 16}"#,
            r#"{"in_channels": 32, "out_channels": 32, "stride": 2}"#,
            r#"{"in_channels": 32, "out_channels": 16, "stride": 3}"#,
            r#"{"in_channels": 32, "out_channels": 0}"#,
        ],
        make: rfb_mobile,
    },
    Entry {
        name: "rfb_s_mobile",
        description: "the same for fine maps: the input itself is the shortcut",
        formula: "y = relu(scale * linear1x1([1x1 dw-a1, 3x1 dw-a3, 1x3 dw-a3, 1x3 3x1 dw-a5]) + x)",
        paper: RFB,
        page: "rfb",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(r#"{"channels": 16}"#, &[&[2, 16, 3, 4]], &[&[2, 16, 3, 4]]),
            Example::new(
                r#"{"channels": 17, "scale": 1.0}"#,
                &[&[1, 17, 6, 4]],
                &[&[1, 17, 6, 4]],
            ),
        ],
        counts: &[(r#"{"channels": 512}"#, 653_632)],
        invalid: &[
            r#"{"channels": 15}"#,
            r#"{"channels": 0}"#,
            r#"{"channels": 16, "stride": 1}"#,
        ],
        make: rfb_s_mobile,
    },
    Entry {
        name: "rfb_asff",
        description: "four branches of plain convolutions, side by side",
        formula: "y = [1x1, 1x1 3x3, 1x1 3x3 a2, 1x1 5x5 a3] (+ x)",
        paper: ASFF,
        page: "rfb",
        typical: Typical {
            config: r#"{"in_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(r#"{"in_channels": 8}"#, &[&[2, 8, 5, 7]], &[&[2, 8, 5, 7]]),
            Example::new(
                r#"{"in_channels": 4, "residual": true}"#,
                &[&[1, 4, 6, 3]],
                &[&[1, 4, 6, 3]],
            ),
        ],
        counts: &[(r#"{"in_channels": 1024}"#, 5_048_576)],
        invalid: &[
            r#"{"in_channels": 0}"#,
            r#"{"in_channels": 18}"#,
            r#"{"in_channels": 16, "residual": 1}"#,
        ],
        make: rfb_asff,
    },
    Entry {
        name: "spp",
        description: "the greatest values over windows of several sizes, beside the map",
        formula: "y = [x, max_5(x), max_9(x), max_13(x)], stride 1",
        paper: YOLO_V4,
        page: "spp",
        typical: Typical {
            config: r#"{"kernel_sizes": [5, 9, 13]}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"kernel_sizes": [3, 5]}"#,
                &[&[2, 3, 5, 7]],
                &[&[2, 9, 5, 7]],
            ),
            Example::new(
                r#"{"kernel_sizes": [5, 3, 1]}"#,
                &[&[1, 8, 6, 4]],
                &[&[1, 32, 6, 4]],
            ),
        ],
        counts: &[("{}", 0)],
        invalid: &[
            r#"{"kernel_sizes": []}"#,
            r#"{"kernel_sizes": [5, 4]}"#,
            r#"{"kernel_sizes": [0]}"#,
        ],
        make: spp,
    },
    Entry {
        name: "sppf",
        description: "the same windows from one small window applied again and again",
        formula: "y = [x, m, max_5(m), max_5(max_5(m))], m = max_5(x)",
        paper: YOLO_V4,
        page: "spp",
        typical: Typical {
            config: r#"{"kernel_size": 5}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"kernel_size": 3, "repeats": 2}"#,
                &[&[2, 3, 5, 7]],
                &[&[2, 9, 5, 7]],
            ),
            Example::new("{}", &[&[1, 8, 6, 4]], &[&[1, 32, 6, 4]]),
        ],
        counts: &[("{}", 0)],
        invalid: &[
            r#"{"kernel_size": 4}"#,
            r#"{"kernel_size": 0}"#,
            r#"{"repeats": 0}"#,
        ],
        make: sppf,
    },
    Entry {
        name: "spp_bins",
        description: "the greatest values over grids of several sizes, as one row for any size of map",
        formula: "y = [max over b x b cells of x, for each b], flattened",
        paper: SPP,
        page: "spp",
        typical: Typical {
            config: r#"{"bins": [1, 2, 3, 6]}"#,
            inputs: &[&[1, 256, 13, 13]],
        },
        examples: &[
            Example::new(r#"{"bins": [1, 3]}"#, &[&[2, 3, 5, 7]], &[&[2, 30]]),
            Example::new("{}", &[&[1, 8, 7, 6]], &[&[1, 400]]),
        ],
        counts: &[("{}", 0)],
        invalid: &[r#"{"bins": []}"#, r#"{"bins": [2, 0]}"#, r#"{"bins": 3}"#],
        make: spp_bins,
    },
];
