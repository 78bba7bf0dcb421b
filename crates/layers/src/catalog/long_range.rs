//! Entries of modules that relate every place to every other.

use striate_tensor::Result;

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{
    Affinity, AffinityScale, CrissCrossConfig, DanetConfig, DoubleAttentionConfig, NonLocalConfig,
    PoolPosition, VarBuilder,
};

fn nonlocal(dims: usize, o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let channels = o.count("channels")?;
    let affinities = [
        ("embedded", Affinity::Embedded),
        ("gaussian", Affinity::Gaussian),
        ("dot", Affinity::Dot),
        ("concat", Affinity::Concat),
    ];
    let positions = [
        ("after", PoolPosition::After),
        ("before", PoolPosition::Before),
    ];
    let scales = [
        ("none", None),
        ("inv_sqrt_inter", Some(AffinityScale::InvSqrtInter)),
        ("inv_sqrt_in", Some(AffinityScale::InvSqrtIn)),
    ];
    let mut config = NonLocalConfig::new(dims, channels)
        .affinity(o.choice("instantiation", &affinities)?)
        .inter_channels(o.count_or("inter_channels", (channels / 2).max(1))?)
        .sub_sample(o.flag_or("sub_sample", false)?)
        .bn_layer(o.flag_or("bn_layer", true)?)
        .pool_position(o.choice("pool_position", &positions)?);
    config.scale = o.choice("scale", &scales)?;
    Ok(Box::new(config.build(vb)?))
}

const NONLOCAL: Entry = Entry {
    name: "nonlocal2d",
    description: "every place of an image gathers from every other",
    formula: "z_i = W sum_j f(x_i, x_j) g(x_j) / c_i + x_i",
    paper: "Wang et al., Non-local Neural Networks, CVPR 2018, arXiv:1711.07971",
    page: "nonlocal",
    typical: Typical {
        config: r#"{"channels": 256}"#,
        inputs: &[&[1, 256, 56, 56]],
    },
    examples: &[
        Example::new(r#"{"channels": 6}"#, &[&[2, 6, 3, 5]], &[&[2, 6, 3, 5]]),
        Example::new(
            r#"{"channels": 9, "sub_sample": true, "scale": "inv_sqrt_inter", "bn_layer": false}"#,
            &[&[1, 9, 5, 4]],
            &[&[1, 9, 5, 4]],
        ),
        Example::new(
            r#"{"channels": 4, "instantiation": "gaussian", "sub_sample": true, "bn_layer": false}"#,
            &[&[2, 4, 4, 3]],
            &[&[2, 4, 4, 3]],
        ),
        Example::new(
            r#"{"channels": 5, "instantiation": "dot", "inter_channels": 3, "scale": "inv_sqrt_in", "bn_layer": false}"#,
            &[&[2, 5, 2, 3]],
            &[&[2, 5, 2, 3]],
        ),
        Example::new(
            r#"{"channels": 16, "instantiation": "dot", "inter_channels": 12, "bn_layer": false}"#,
            &[&[1, 16, 2, 3]],
            &[&[1, 16, 2, 3]],
        ),
        Example::new(
            r#"{"channels": 6, "instantiation": "concat", "sub_sample": true, "pool_position": "before", "bn_layer": false}"#,
            &[&[2, 6, 4, 5]],
            &[&[2, 6, 4, 5]],
        ),
        Example::new(
            r#"{"channels": 1, "bn_layer": false}"#,
            &[&[1, 1, 1, 1]],
            &[&[1, 1, 1, 1]],
        ),
    ],
    counts: &[
        (r#"{"channels": 64}"#, 8_480),
        (r#"{"channels": 64, "instantiation": "dot"}"#, 8_480),
        (r#"{"channels": 64, "instantiation": "gaussian"}"#, 4_320),
        (r#"{"channels": 64, "instantiation": "concat"}"#, 8_544),
        (r#"{"channels": 512}"#, 526_592),
        (r#"{"channels": 1024}"#, 2_101_760),
    ],
    invalid: &[
        r#"{"channels": 0}"#,
        r#"{"channels": 8, "inter_channels": 0}"#,
        r#"{"channels": 8, "instantiation": "cosine"}"#,
        r#"{"channels": 8, "instantiation": "gaussian", "scale": "inv_sqrt_in"}"#,
        r#"{"channels": 8, "instantiation": "concat", "scale": "inv_sqrt_inter"}"#,
        r#"{"channels": 8, "pool_position": "during"}"#,
        r#"{"channels": 8, "scale": "sqrt"}"#,
    ],
    make: |o, vb| nonlocal(2, o, vb),
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "nonlocal1d",
        description: "every place of a sequence gathers from every other",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 3136]],
        },
        examples: &[
            Example::new(r#"{"channels": 6}"#, &[&[2, 6, 7]], &[&[2, 6, 7]]),
            Example::new(
                r#"{"channels": 9, "instantiation": "gaussian", "sub_sample": true}"#,
                &[&[2, 9, 5]],
                &[&[2, 9, 5]],
            ),
            Example::new(
                r#"{"channels": 4, "instantiation": "concat", "bn_layer": false}"#,
                &[&[1, 4, 9]],
                &[&[1, 4, 9]],
            ),
            Example::new(
                r#"{"channels": 3, "instantiation": "dot"}"#,
                &[&[2, 3, 8]],
                &[&[2, 3, 8]],
            ),
        ],
        make: |o, vb| nonlocal(1, o, vb),
        ..NONLOCAL
    },
    NONLOCAL,
    Entry {
        name: "nonlocal3d",
        description: "every place of a video gathers from every other",
        typical: Typical {
            config: r#"{"channels": 256, "sub_sample": true}"#,
            inputs: &[&[1, 256, 4, 28, 28]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 6}"#,
                &[&[2, 6, 2, 3, 3]],
                &[&[2, 6, 2, 3, 3]],
            ),
            Example::new(
                r#"{"channels": 9, "instantiation": "gaussian", "sub_sample": true}"#,
                &[&[1, 9, 2, 3, 4]],
                &[&[1, 9, 2, 3, 4]],
            )
            .eval(),
            Example::new(
                r#"{"channels": 4, "instantiation": "concat", "sub_sample": true}"#,
                &[&[2, 4, 1, 2, 5]],
                &[&[2, 4, 1, 2, 5]],
            )
            .eval(),
            Example::new(
                r#"{"channels": 8, "instantiation": "dot", "bn_layer": false}"#,
                &[&[1, 8, 3, 2, 2]],
                &[&[1, 8, 3, 2, 2]],
            ),
        ],
        make: |o, vb| nonlocal(3, o, vb),
        ..NONLOCAL
    },
    Entry {
        name: "danet",
        description: "places gather from those that look alike, channels from those that do not",
        formula: "y = gp sum_j softmax_j(q_i . k_j) v_j + gc sum_b softmax_b(-x_a . x_b) x_b + 2 x",
        paper: "Fu et al., Dual Attention Network for Scene Segmentation, CVPR 2019, arXiv:1809.02983",
        page: "danet",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 9, "reduction": 4}"#,
                &[&[2, 9, 3, 4]],
                &[&[2, 9, 3, 4]],
            ),
            Example::new(
                r#"{"channels": 4, "reduction": 2}"#,
                &[&[1, 4, 5, 2]],
                &[&[1, 4, 5, 2]],
            ),
        ],
        counts: &[(r#"{"channels": 256}"#, 82_242)],
        invalid: &[
            r#"{"channels": 4}"#,
            r#"{"channels": 0}"#,
            r#"{"channels": 16, "reduction": 0}"#,
        ],
        make: |o, vb| {
            let config = DanetConfig::new(o.count("channels")?);
            let config = config.reduction(o.count_or("reduction", 8)?);
            Ok(Box::new(config.build(vb)?))
        },
    },
    Entry {
        name: "ccnet",
        description: "every place gathers from its row and column, twice",
        formula: "x <- gamma sum over a in the cross of i of softmax_a(q_i . k_a) v_a + x",
        paper: "Huang et al., CCNet: Criss-Cross Attention for Semantic Segmentation, ICCV 2019, arXiv:1811.11721",
        page: "ccnet",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 9, "reduction": 4}"#,
                &[&[2, 9, 3, 4]],
                &[&[2, 9, 3, 4]],
            ),
            Example::new(
                r#"{"channels": 4, "reduction": 2, "recurrence": 1}"#,
                &[&[1, 4, 5, 2]],
                &[&[1, 4, 5, 2]],
            ),
            Example::new(
                r#"{"channels": 3, "reduction": 1, "recurrence": 3}"#,
                &[&[2, 3, 1, 4]],
                &[&[2, 3, 1, 4]],
            ),
        ],
        counts: &[(r#"{"channels": 256}"#, 82_241)],
        invalid: &[
            r#"{"channels": 4}"#,
            r#"{"channels": 0}"#,
            r#"{"channels": 16, "reduction": 0}"#,
            r#"{"channels": 16, "recurrence": 0}"#,
        ],
        make: |o, vb| {
            let config = CrissCrossConfig::new(o.count("channels")?)
                .reduction(o.count_or("reduction", 8)?)
                .recurrence(o.count_or("recurrence", 2)?);
            Ok(Box::new(config.build(vb)?))
        },
    },
    Entry {
        name: "double_attention",
        description: "gathers a few features from all places, and gives each place its mixture",
        formula: "y = W (A softmax_places(B)^T) softmax_features(V)",
        paper: "Chen et al., A^2-Nets: Double Attention Networks, NeurIPS 2018, arXiv:1810.11579",
        page: "double_attention",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 9, "c_m": 4, "c_n": 3}"#,
                &[&[2, 9, 3, 4]],
                &[&[2, 9, 3, 4]],
            ),
            Example::new(
                r#"{"channels": 3, "c_m": 8, "c_n": 9}"#,
                &[&[1, 3, 5, 2]],
                &[&[1, 3, 5, 2]],
            ),
        ],
        counts: &[(r#"{"channels": 256}"#, 131_712)],
        invalid: &[
            r#"{"channels": 0}"#,
            r#"{"channels": 8, "c_m": 0}"#,
            r#"{"channels": 8, "c_n": 0}"#,
        ],
        make: |o, vb| {
            let config = DoubleAttentionConfig::new(o.count("channels")?)
                .c_m(o.count_or("c_m", 128)?)
                .c_n(o.count_or("c_n", 128)?);
            Ok(Box::new(config.build(vb)?))
        },
    },
];
