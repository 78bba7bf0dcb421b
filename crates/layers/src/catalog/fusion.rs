//! Entries of modules that join maps of several sizes.

use striate_tensor::{Error, Result, Tensor};

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{
    Activation, Asff, AsffConfig, BifpnNode, BifpnNodeConfig, DeepLabV3PlusDecoder,
    DeepLabV3PlusDecoderConfig, ExtraLevels, Fpn, FpnConfig, Pan, PanConfig, VarBuilder,
    WeightedFusion, WeightedFusionConfig,
};

const DEEPLAB_V3_PLUS: &str = "Chen et al., Encoder-Decoder with Atrous Separable Convolution for Semantic Image \
                               Segmentation, ECCV 2018, arXiv:1802.02611";
const ASFF: &str =
    "Liu et al., Learning Spatial Fusion for Single-Shot Object Detection, arXiv:1911.09516";
const FPN: &str =
    "Lin et al., Feature Pyramid Networks for Object Detection, CVPR 2017, arXiv:1612.03144";
const PANET: &str =
    "Liu et al., Path Aggregation Network for Instance Segmentation, CVPR 2018, arXiv:1803.01534";
const EFFICIENTDET: &str = "Tan et al., EfficientDet: Scalable and Efficient Object Detection, CVPR 2020, arXiv:1911.09070";

impl Catalogued for DeepLabV3PlusDecoder {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        match inputs {
            [x, low_level] => Ok(vec![self.forward(x, low_level)?]),
            _ => Err(Error::msg(format!(
                "the module takes 2 inputs, got {}",
                inputs.len()
            ))),
        }
    }
}

impl Catalogued for Asff {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![self.forward(inputs)?])
    }
}

impl Catalogued for Fpn {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.forward(inputs)
    }
}

impl Catalogued for Pan {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.forward(inputs)
    }
}

impl Catalogued for WeightedFusion {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![self.forward(inputs)?])
    }
}

impl Catalogued for BifpnNode {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![self.forward(inputs)?])
    }
}

fn deeplabv3plus_decoder(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let [c, low, classes] = [
        o.count("in_channels")?,
        o.count("low_level_channels")?,
        o.count("num_classes")?,
    ];
    let dropout = o.numbers_or("dropout", &[0.5, 0.1])?;
    let dropout: [f64; 2] = dropout.as_slice().try_into().map_err(|_| {
        let n = dropout.len();
        Error::msg(format!(
            "deeplabv3plus_decoder: dropout has {n} probabilities, expected 2"
        ))
    })?;
    let config = DeepLabV3PlusDecoderConfig::new(c, low, classes)
        .channels(o.count_or("channels", 256)?)
        .reduced_channels(o.count_or("reduced_channels", 48)?)
        .align_corners(o.flag_or("align_corners", true)?)
        .dropout(dropout);
    Ok(Box::new(config.build(vb)?))
}

fn asff(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let acts = [
        ("leaky_relu", Activation::LeakyRelu(0.1)),
        ("relu6", Activation::Relu6),
    ];
    let config = AsffConfig::new(o.count("level")?)
        .channels(o.counts_or("channels", &[512, 256, 256])?)
        .weight_channels(o.count_or("weight_channels", 16)?)
        .out_channels(o.count_or("out_channels", 1024)?)
        .act(o.choice("act", &acts)?);
    Ok(Box::new(config.build(vb)?))
}

fn fpn(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let extra = [
        ("none", ExtraLevels::None),
        ("max_pool", ExtraLevels::MaxPool),
        ("p6p7", ExtraLevels::P6P7),
    ];
    let config = FpnConfig::new(o.counts_or("in_channels", &[256, 512, 1024, 2048])?)
        .out_channels(o.count_or("out_channels", 256)?)
        .extra(o.choice("extra", &extra)?);
    Ok(Box::new(config.build(vb)?))
}

fn pan(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = PanConfig::new(o.counts_or("in_channels", &[256, 512, 1024, 2048])?)
        .out_channels(o.count_or("out_channels", 256)?);
    Ok(Box::new(config.build(vb)?))
}

fn weighted_fusion(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = WeightedFusionConfig::new(o.count_or("count", 2)?).eps(o.number_or("eps", 1e-4)?);
    Ok(Box::new(config.build(vb)?))
}

fn bifpn_node(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let channels = o.counts_or("in_channels", &[64, 64])?;
    let config = BifpnNodeConfig::new(channels, o.count_or("out_channels", 64)?)
        .target(o.count_or("target", 0)?)
        .eps(o.number_or("eps", 1e-4)?)
        .act_first(o.flag_or("act_first", false)?)
        .bias(o.flag_or("bias", false)?);
    Ok(Box::new(config.build(vb)?))
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "deeplabv3plus_decoder",
        description: "coarse context and fine detail, side by side, refined and classified",
        formula: "y = W relu(bn(conv3x3(relu(bn(conv3x3([up(x), relu(bn(conv1x1(low)))])))))) + b",
        paper: DEEPLAB_V3_PLUS,
        page: "deeplab",
        typical: Typical {
            config: r#"{"in_channels": 256, "low_level_channels": 256, "num_classes": 21}"#,
            inputs: &[&[1, 256, 14, 14], &[1, 256, 56, 56]],
        },
        examples: &[
            Example {
                config: r#"{"in_channels": 4, "low_level_channels": 3, "num_classes": 2, "channels": 5,
                    "reduced_channels": 2, "dropout": [0.0, 0.0]}"#,
                inputs: &[&[2, 4, 3, 2], &[2, 3, 9, 6]],
                outputs: &[&[2, 2, 9, 6]],
                training: true,
            },
            Example {
                config: r#"{"in_channels": 3, "low_level_channels": 4, "num_classes": 3, "channels": 8,
                    "reduced_channels": 3, "align_corners": false}"#,
                inputs: &[&[1, 3, 2, 3], &[1, 4, 5, 7]],
                outputs: &[&[1, 3, 5, 7]],
                training: false,
            },
        ],
        // 256 * 48 + 96 + 9 * 304 * 256 + 512 + 9 * 256 * 256 + 512 + 256 * 21 + 21
        counts: &[(
            r#"{"in_channels": 256, "low_level_channels": 256, "num_classes": 21}"#,
            1_309_045,
        )],
        invalid: &[
            r#"{"in_channels": 8, "low_level_channels": 6, "num_classes": 0}"#,
            r#"{"in_channels": 0, "low_level_channels": 6, "num_classes": 5}"#,
            r#"{"in_channels": 8, "low_level_channels": 0, "num_classes": 5}"#,
            r#"{"in_channels": 8, "low_level_channels": 6, "num_classes": 5, "dropout": [0.5]}"#,
            r#"{"in_channels": 8, "low_level_channels": 6, "num_classes": 5, "dropout": [0.5, 2.0]}"#,
            r#"{"in_channels": 8, "low_level_channels": 6, "num_classes": 5, "reduced_channels": 0}"#,
        ],
        make: deeplabv3plus_decoder,
    },
    Entry {
        name: "asff",
        description: "a softmax at every place chooses how much each level of a pyramid counts",
        formula: "y = act(bn(conv3x3(sum_i a_i * x_i'))), a = softmax_i(W [relu(bn(1x1(x_0'))), ...] + b)",
        paper: ASFF,
        page: "asff",
        typical: Typical {
            config: r#"{"level": 2, "out_channels": 256}"#,
            inputs: &[&[1, 512, 14, 14], &[1, 256, 28, 28], &[1, 256, 56, 56]],
        },
        examples: &[
            Example {
                config: r#"{"level": 0, "channels": [6, 4, 3], "weight_channels": 2, "out_channels": 5}"#,
                inputs: &[&[2, 6, 3, 2], &[2, 4, 6, 4], &[2, 3, 12, 8]],
                outputs: &[&[2, 5, 3, 2]],
                training: true,
            },
            Example {
                config: r#"{"level": 1, "channels": [4, 4], "weight_channels": 3, "out_channels": 8, "act": "relu6"}"#,
                inputs: &[&[1, 4, 3, 1], &[1, 4, 6, 2]],
                outputs: &[&[1, 8, 6, 2]],
                training: true,
            },
            Example {
                config: r#"{"level": 2, "channels": [4, 3, 2, 3], "weight_channels": 1, "out_channels": 2}"#,
                inputs: &[&[1, 4, 1, 2], &[1, 3, 2, 4], &[1, 2, 4, 8], &[1, 3, 8, 16]],
                outputs: &[&[1, 2, 4, 8]],
                training: false,
            },
        ],
        counts: &[
            (r#"{"level": 0}"#, 7_106_803),
            (r#"{"level": 1, "out_channels": 512}"#, 1_915_123),
            (r#"{"level": 2, "out_channels": 256}"#, 734_451),
            (r#"{"level": 0, "weight_channels": 8}"#, 7_094_395),
            (
                r#"{"level": 1, "weight_channels": 8, "out_channels": 512}"#,
                1_908_859,
            ),
            (
                r#"{"level": 2, "weight_channels": 8, "out_channels": 256}"#,
                728_187,
            ),
            (
                r#"{"level": 0, "channels": [512, 256, 128], "act": "relu6"}"#,
                6_516_979,
            ),
            (
                r#"{"level": 1, "channels": [512, 256, 128], "act": "relu6", "out_channels": 512}"#,
                1_620_211,
            ),
            (
                r#"{"level": 2, "channels": [512, 256, 128], "act": "relu6", "out_channels": 256}"#,
                400_627,
            ),
        ],
        invalid: &[
            r#"{"level": 3}"#,
            r#"{"level": 0, "channels": [16]}"#,
            r#"{"level": 0, "channels": [16, 0]}"#,
            r#"{"level": 0, "weight_channels": 0}"#,
            r#"{"level": 0, "out_channels": 0}"#,
            r#"{"level": 0, "act": "round"}"#,
            "{}",
        ],
        make: asff,
    },
    Entry {
        name: "fpn",
        description: "what a coarse map knows is added, step by step, to the finer ones",
        formula: "y_i = conv3x3(m_i), m_i = conv1x1(x_i) + up(m_i+1)",
        paper: FPN,
        page: "fpn",
        typical: Typical {
            config: r#"{"in_channels": [256, 512, 1024, 2048]}"#,
            inputs: &[
                &[1, 256, 56, 56],
                &[1, 512, 28, 28],
                &[1, 1024, 14, 14],
                &[1, 2048, 7, 7],
            ],
        },
        examples: &[
            Example {
                config: r#"{"in_channels": [3, 4, 5], "out_channels": 2}"#,
                inputs: &[&[2, 3, 9, 6], &[2, 4, 5, 3], &[2, 5, 3, 2]],
                outputs: &[&[2, 2, 9, 6], &[2, 2, 5, 3], &[2, 2, 3, 2]],
                training: true,
            },
            Example {
                config: r#"{"in_channels": [4, 8], "out_channels": 8, "extra": "p6p7"}"#,
                inputs: &[&[1, 4, 6, 10], &[1, 8, 3, 5]],
                outputs: &[&[1, 8, 6, 10], &[1, 8, 3, 5], &[1, 8, 2, 3], &[1, 8, 1, 2]],
                training: true,
            },
            Example {
                config: r#"{"in_channels": [3, 2], "out_channels": 4, "extra": "max_pool"}"#,
                inputs: &[&[1, 3, 4, 7], &[1, 2, 2, 4]],
                outputs: &[&[1, 4, 4, 7], &[1, 4, 2, 4], &[1, 4, 1, 2]],
                training: true,
            },
        ],
        counts: &[
            (r#"{"in_channels": [256, 512, 1024, 2048]}"#, 3_344_384),
            // P6 from 2048 channels: 4 718 848, P7: 590 080
            (
                r#"{"in_channels": [256, 512, 1024, 2048], "extra": "p6p7"}"#,
                8_653_312,
            ),
        ],
        invalid: &[
            r#"{"in_channels": []}"#,
            r#"{"in_channels": [4, 0]}"#,
            r#"{"in_channels": [4], "out_channels": 0}"#,
            r#"{"in_channels": [4], "extra": "p8"}"#,
        ],
        make: fpn,
    },
    Entry {
        name: "pan",
        description: "a feature pyramid and after it a way back up, for what fine maps localise",
        formula: "y_i = conv3x3(q_i), q_i+1 = p_i+1 + conv3x3_stride2(q_i), p = fpn(x)",
        paper: PANET,
        page: "fpn",
        typical: Typical {
            config: r#"{"in_channels": [256, 512, 1024, 2048]}"#,
            inputs: &[
                &[1, 256, 56, 56],
                &[1, 512, 28, 28],
                &[1, 1024, 14, 14],
                &[1, 2048, 7, 7],
            ],
        },
        examples: &[
            Example {
                config: r#"{"in_channels": [3, 4, 5], "out_channels": 2}"#,
                inputs: &[&[2, 3, 9, 6], &[2, 4, 5, 3], &[2, 5, 3, 2]],
                outputs: &[&[2, 2, 9, 6], &[2, 2, 5, 3], &[2, 2, 3, 2]],
                training: true,
            },
            Example {
                config: r#"{"in_channels": [4, 8], "out_channels": 8}"#,
                inputs: &[&[1, 4, 7, 10], &[1, 8, 4, 5]],
                outputs: &[&[1, 8, 7, 10], &[1, 8, 4, 5]],
                training: true,
            },
        ],
        // FPN's and 6 * (9 * 256 * 256 + 256)
        counts: &[(r#"{"in_channels": [256, 512, 1024, 2048]}"#, 6_884_864)],
        invalid: &[
            r#"{"in_channels": []}"#,
            r#"{"in_channels": [0]}"#,
            r#"{"in_channels": [4, 8], "out_channels": 0}"#,
        ],
        make: pan,
    },
    Entry {
        name: "weighted_fusion",
        description: "a mean of maps whose weights are learned and stay positive",
        formula: "y = sum_i w_i x_i / (eps + sum_i w_i), w = relu(weights)",
        paper: EFFICIENTDET,
        page: "bifpn",
        typical: Typical {
            config: r#"{"count": 2}"#,
            inputs: &[&[1, 256, 56, 56], &[1, 256, 56, 56]],
        },
        examples: &[
            Example {
                config: r#"{"count": 3}"#,
                inputs: &[&[2, 3, 5, 7], &[2, 3, 5, 7], &[2, 3, 5, 7]],
                outputs: &[&[2, 3, 5, 7]],
                training: true,
            },
            Example {
                config: r#"{"count": 1, "eps": 0.5}"#,
                inputs: &[&[1, 8, 4, 3]],
                outputs: &[&[1, 8, 4, 3]],
                training: true,
            },
        ],
        counts: &[(r#"{"count": 3}"#, 3)],
        invalid: &[
            r#"{"count": 0}"#,
            r#"{"eps": 0.0}"#,
            r#"{"eps": -1.0}"#,
            r#"{"count": "two"}"#,
        ],
        make: weighted_fusion,
    },
    Entry {
        name: "bifpn_node",
        description: "maps of several sizes at one size, their weighted mean, and a light convolution",
        formula: "y = swish(bn(conv1x1(dwconv3x3(sum_i w_i resize(x_i) / (eps + sum_i w_i)))))",
        paper: EFFICIENTDET,
        page: "bifpn",
        typical: Typical {
            config: r#"{"in_channels": [256, 256], "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56], &[1, 256, 28, 28]],
        },
        examples: &[
            Example {
                config: r#"{"in_channels": [3, 4, 3], "out_channels": 3, "target": 1}"#,
                inputs: &[&[2, 3, 3, 2], &[2, 4, 5, 4], &[2, 3, 9, 8]],
                outputs: &[&[2, 3, 5, 4]],
                training: true,
            },
            Example {
                config: r#"{"in_channels": [8, 8], "out_channels": 8, "act_first": true, "bias": true, "eps": 0.01}"#,
                inputs: &[&[1, 8, 4, 3], &[1, 8, 2, 2]],
                outputs: &[&[1, 8, 4, 3]],
                training: true,
            },
        ],
        counts: &[
            // 2 + 9 * 64 + 64 * 64 + 128
            (r#"{"in_channels": [64, 64], "out_channels": 64}"#, 4_802),
            // P4 of EfficientDet-D0 as released: a bias more, and 112 * 64 + 64 + 128 for its channels.
            (
                r#"{"in_channels": [112, 64], "out_channels": 64, "act_first": true, "bias": true}"#,
                12_226,
            ),
        ],
        invalid: &[
            r#"{"in_channels": [], "out_channels": 8}"#,
            r#"{"in_channels": [4, 0], "out_channels": 8}"#,
            r#"{"in_channels": [4], "out_channels": 0}"#,
            r#"{"in_channels": [4, 4], "target": 2}"#,
            r#"{"in_channels": [4, 4], "eps": 0.0}"#,
        ],
        make: bifpn_node,
    },
];
