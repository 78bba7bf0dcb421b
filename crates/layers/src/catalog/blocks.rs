//! Entries of blocks of well-known networks.

use striate_tensor::Result;

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{
    BnInceptionConfig, BnPool, InceptionResNetConfig, InceptionResNetKind, InceptionV1Config,
    InceptionV3Config, InceptionV3Kind, Res2NetConfig, VarBuilder,
};

fn res2net(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let [inputs, width] = [o.count("in_channels")?, o.count("width")?];
    let scale = o.count_or("scale", 4)?;
    let config = Res2NetConfig::new(inputs, width, o.count("out_channels")?)
        .scale(scale)
        .stride(o.count_or("stride", 1)?)
        .groups(o.count_or("groups", 1)?);
    Ok(Box::new(config.build(vb)?))
}

fn inception_v1(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = InceptionV1Config::new(
        o.count("in_channels")?,
        o.count("ch1x1")?,
        [o.count("ch3x3red")?, o.count("ch3x3")?],
        [o.count("ch5x5red")?, o.count("ch5x5")?],
        o.count("pool_proj")?,
    );
    let config = config.large_kernel(o.count_or("large_kernel", 3)?);
    Ok(Box::new(config.build(vb)?))
}

fn bn_inception(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    // 0 stands for a branch or a convolution that is not there.
    let optional = |n: usize| (n > 0).then_some(n);
    let pools = [("avg", BnPool::Avg), ("max", BnPool::Max)];
    let config = BnInceptionConfig {
        in_channels: o.count("in_channels")?,
        ch1x1: optional(o.count_or("ch1x1", 0)?),
        ch3x3: [o.count("ch3x3red")?, o.count("ch3x3")?],
        double: [
            o.count("double_red")?,
            o.count("double_1")?,
            o.count("double_2")?,
        ],
        pool: o.choice("pool", &pools)?,
        pool_proj: optional(o.count_or("pool_proj", 0)?),
        stride: o.count_or("stride", 1)?,
        conv_bias: o.flag_or("conv_bias", false)?,
    };
    Ok(Box::new(config.build(vb)?))
}

fn inception_v3(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let pool_features = o.count_or("pool_features", 32)?;
    let width = o.count_or("width", 128)?;
    let kinds = [
        ("a", InceptionV3Kind::A { pool_features }),
        ("b", InceptionV3Kind::B),
        ("c", InceptionV3Kind::C { width }),
        ("d", InceptionV3Kind::D),
        ("e", InceptionV3Kind::E),
    ];
    let config = InceptionV3Config::new(o.count("in_channels")?, o.choice("kind", &kinds)?);
    Ok(Box::new(config.narrow(o.count_or("narrow", 1)?).build(vb)?))
}

fn inception_resnet(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let kinds = [
        ("block35", InceptionResNetKind::Block35),
        ("block17", InceptionResNetKind::Block17),
        ("block8", InceptionResNetKind::Block8),
    ];
    let config = InceptionResNetConfig::new(o.count("channels")?, o.choice("kind", &kinds)?);
    let scale = o.number_or("scale", config.scale)?;
    let config = config.scale(scale).relu(o.flag_or("relu", true)?);
    Ok(Box::new(config.narrow(o.count_or("narrow", 1)?).build(vb)?))
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "res2net",
        description: "bottleneck in which each part of the channels reads what the part before it computed",
        formula: "y_i = K_i(p_i + y_(i-1)), y = relu(bn(conv1x1([y_1 .. y_s])) + shortcut(x))",
        paper: "Gao et al., Res2Net: A New Multi-scale Backbone Architecture, TPAMI 2021, arXiv:1904.01169",
        page: "res2net",
        typical: Typical {
            config: r#"{"in_channels": 256, "width": 26, "out_channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "width": 2, "out_channels": 4}"#,
                &[&[2, 4, 5, 7]],
                &[&[2, 4, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 3, "width": 2, "scale": 3, "out_channels": 4, "stride": 2, "groups": 2}"#,
                &[&[1, 3, 6, 5]],
                &[&[1, 4, 3, 3]],
            ),
            Example::new(
                r#"{"in_channels": 3, "width": 3, "scale": 1, "out_channels": 3}"#,
                &[&[2, 3, 3, 4]],
                &[&[2, 3, 3, 4]],
            ),
            Example::new(
                r#"{"in_channels": 2, "width": 2, "scale": 2, "out_channels": 3}"#,
                &[&[1, 2, 1, 1]],
                &[&[1, 3, 1, 1]],
            )
            .eval(),
        ],
        // Blocks of Res2Net-50, 26w x 4s.
        counts: &[
            (
                r#"{"in_channels": 256, "width": 26, "out_channels": 256}"#,
                72_376,
            ),
            (
                r#"{"in_channels": 64, "width": 26, "out_channels": 256}"#,
                69_304,
            ),
            (
                r#"{"in_channels": 256, "width": 52, "out_channels": 512, "stride": 2}"#,
                366_600,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 8, "width": 0, "out_channels": 8}"#,
            r#"{"in_channels": 8, "width": 4, "out_channels": 8, "scale": 0}"#,
            r#"{"in_channels": 8, "width": 4, "out_channels": 8, "scale": 65}"#,
            r#"{"in_channels": 8, "width": 4, "out_channels": 8, "groups": 3}"#,
            r#"{"in_channels": 8, "width": 4, "out_channels": 8, "stride": 0}"#,
            r#"{"in_channels": 0, "width": 4, "out_channels": 8}"#,
            r#"{"in_channels": 8, "width": 4, "out_channels": 0}"#,
        ],
        make: res2net,
    },
    Entry {
        name: "inception_v1_block",
        description: "1x1, 3x3 and 5x5 convolutions and a pooling beside each other",
        formula: "y = [conv1(x), conv3(conv1(x)), conv5(conv1(x)), conv1(maxpool3(x))]",
        paper: "Szegedy et al., Going Deeper with Convolutions, CVPR 2015, arXiv:1409.4842",
        page: "inception",
        typical: Typical {
            config: r#"{"in_channels": 256, "ch1x1": 128, "ch3x3red": 128, "ch3x3": 192, "ch5x5red": 32, "ch5x5": 96, "pool_proj": 64}"#,
            inputs: &[&[1, 256, 28, 28]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 3, "ch1x1": 2, "ch3x3red": 2, "ch3x3": 3, "ch5x5red": 1, "ch5x5": 2, "pool_proj": 1}"#,
                &[&[2, 3, 5, 7]],
                &[&[2, 8, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 2, "ch1x1": 1, "ch3x3red": 2, "ch3x3": 1, "ch5x5red": 2, "ch5x5": 1, "pool_proj": 2, "large_kernel": 5}"#,
                &[&[1, 2, 4, 3]],
                &[&[1, 5, 4, 3]],
            ),
        ],
        // Block 3a of GoogLeNet.
        counts: &[(
            r#"{"in_channels": 192, "ch1x1": 64, "ch3x3red": 96, "ch3x3": 128, "ch5x5red": 16, "ch5x5": 32, "pool_proj": 32}"#,
            155_872,
        )],
        invalid: &[
            r#"{"in_channels": 0, "ch1x1": 2, "ch3x3red": 2, "ch3x3": 3, "ch5x5red": 1, "ch5x5": 2, "pool_proj": 1}"#,
            r#"{"in_channels": 3, "ch1x1": 0, "ch3x3red": 2, "ch3x3": 3, "ch5x5red": 1, "ch5x5": 2, "pool_proj": 1}"#,
            r#"{"in_channels": 3, "ch1x1": 2, "ch3x3red": 2, "ch3x3": 3, "ch5x5red": 1, "ch5x5": 2, "pool_proj": 0}"#,
            r#"{"in_channels": 3, "ch1x1": 2, "ch3x3red": 2, "ch3x3": 3, "ch5x5red": 1, "ch5x5": 2, "pool_proj": 1, "large_kernel": 4}"#,
        ],
        make: inception_v1,
    },
    Entry {
        name: "bn_inception_block",
        description: "GoogLeNet's block with two 3x3 convolutions for the 5x5, which may halve the map",
        formula: "y = [conv1(x), conv3(conv1(x)), conv3(conv3(conv1(x))), conv1(pool3(x))]",
        paper: "Ioffe, Szegedy, Batch Normalization, ICML 2015, arXiv:1502.03167",
        page: "inception",
        typical: Typical {
            config: r#"{"in_channels": 256, "ch1x1": 64, "ch3x3red": 64, "ch3x3": 96, "double_red": 64, "double_1": 96, "double_2": 96,
                "pool_proj": 64}"#,
            inputs: &[&[1, 256, 28, 28]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 3, "ch1x1": 2, "ch3x3red": 2, "ch3x3": 3, "double_red": 1, "double_1": 2, "double_2": 2, "pool_proj": 1}"#,
                &[&[2, 3, 5, 7]],
                &[&[2, 8, 5, 7]],
            ),
            Example::new(
                r#"{"in_channels": 3, "ch3x3red": 2, "ch3x3": 3, "double_red": 1, "double_1": 2, "double_2": 2, "pool": "max", "stride": 2}"#,
                &[&[1, 3, 6, 4]],
                &[&[1, 8, 3, 2]],
            ),
            Example::new(
                r#"{"in_channels": 2, "ch1x1": 1, "ch3x3red": 1, "ch3x3": 2, "double_red": 1, "double_1": 2, "double_2": 1, "pool": "max",
                    "pool_proj": 1, "conv_bias": true}"#,
                &[&[1, 2, 3, 4]],
                &[&[1, 5, 3, 4]],
            ),
        ],
        // Blocks 3a and 3c.
        counts: &[
            (
                r#"{"in_channels": 192, "ch1x1": 64, "ch3x3red": 64, "ch3x3": 64, "double_red": 64, "double_1": 96, "double_2": 96,
                    "pool_proj": 32}"#,
                219_072,
            ),
            (
                r#"{"in_channels": 320, "ch3x3red": 128, "ch3x3": 160, "double_red": 64, "double_1": 96, "double_2": 96, "pool": "max",
                    "stride": 2}"#,
                385_088,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 0, "ch3x3red": 2, "ch3x3": 3, "double_red": 1, "double_1": 2, "double_2": 2}"#,
            r#"{"in_channels": 3, "ch3x3red": 0, "ch3x3": 3, "double_red": 1, "double_1": 2, "double_2": 2}"#,
            r#"{"in_channels": 3, "ch3x3red": 2, "ch3x3": 3, "double_red": 1, "double_1": 2, "double_2": 0}"#,
            r#"{"in_channels": 3, "ch3x3red": 2, "ch3x3": 3, "double_red": 1, "double_1": 2, "double_2": 2, "stride": 3}"#,
            r#"{"in_channels": 3, "ch3x3red": 2, "ch3x3": 3, "double_red": 1, "double_1": 2, "double_2": 2, "pool": "min"}"#,
        ],
        make: bn_inception,
    },
    Entry {
        name: "inception_v3_block",
        description: "large kernels as stacks of small ones, or as columns and rows, beside each other",
        formula: "A: y = [conv1(x), conv5(conv1(x)), conv3(conv3(conv1(x))), conv1(avgpool3(x))]; B to E as well",
        paper: "Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016, arXiv:1512.00567",
        page: "inception",
        typical: Typical {
            config: r#"{"in_channels": 768, "kind": "c", "width": 128}"#,
            inputs: &[&[1, 768, 17, 17]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 2, "pool_features": 3, "narrow": 32}"#,
                &[&[2, 2, 5, 4]],
                &[&[2, 10, 5, 4]],
            ),
            Example::new(
                r#"{"in_channels": 2, "kind": "b", "narrow": 96}"#,
                &[&[1, 2, 7, 6]],
                &[&[1, 7, 3, 2]],
            ),
            Example::new(
                r#"{"in_channels": 3, "kind": "c", "width": 2, "narrow": 64}"#,
                &[&[1, 3, 4, 3]],
                &[&[1, 12, 4, 3]],
            ),
            Example::new(
                r#"{"in_channels": 2, "kind": "d", "narrow": 96}"#,
                &[&[2, 2, 5, 6]],
                &[&[2, 7, 2, 2]],
            ),
            Example::new(
                r#"{"in_channels": 2, "kind": "e", "narrow": 128}"#,
                &[&[1, 2, 4, 3]],
                &[&[1, 15, 4, 3]],
            ),
        ],
        counts: &[
            (r#"{"in_channels": 192, "kind": "a"}"#, 255_904),
            (r#"{"in_channels": 288, "kind": "b"}"#, 1_153_280),
            (r#"{"in_channels": 768, "kind": "c"}"#, 1_297_408),
            (r#"{"in_channels": 768, "kind": "d"}"#, 1_698_304),
            (r#"{"in_channels": 1280, "kind": "e"}"#, 5_044_608),
        ],
        invalid: &[
            r#"{"in_channels": 0}"#,
            r#"{"in_channels": 8, "pool_features": 0}"#,
            r#"{"in_channels": 8, "kind": "c", "width": 0}"#,
            r#"{"in_channels": 8, "kind": "f"}"#,
            r#"{"in_channels": 8, "narrow": 0}"#,
        ],
        make: inception_v3,
    },
    Entry {
        name: "inception_resnet_block",
        description: "Inception branches, joined into a small correction of the input",
        formula: "y = relu(x + scale * conv1([branches of x]))",
        paper: "Szegedy et al., Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning, AAAI 2017, arXiv:1602.07261",
        page: "inception",
        typical: Typical {
            config: r#"{"channels": 320}"#,
            inputs: &[&[1, 320, 35, 35]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 3, "narrow": 16}"#,
                &[&[2, 3, 5, 4]],
                &[&[2, 3, 5, 4]],
            ),
            Example::new(
                r#"{"channels": 2, "kind": "block17", "narrow": 64}"#,
                &[&[1, 2, 2, 3]],
                &[&[1, 2, 2, 3]],
            ),
            Example::new(
                r#"{"channels": 2, "kind": "block8", "scale": 1.0, "relu": false, "narrow": 64}"#,
                &[&[1, 2, 2, 3]],
                &[&[1, 2, 2, 3]],
            ),
        ],
        counts: &[
            (r#"{"channels": 320}"#, 123_168),
            (r#"{"channels": 1088, "kind": "block17"}"#, 1_126_784),
            (r#"{"channels": 2080, "kind": "block8"}"#, 2_035_424),
        ],
        invalid: &[
            r#"{"channels": 0}"#,
            r#"{"channels": 8, "kind": "block9"}"#,
            r#"{"channels": 8, "scale": "small"}"#,
            r#"{"channels": 8, "narrow": 0}"#,
        ],
        make: inception_resnet,
    },
];
