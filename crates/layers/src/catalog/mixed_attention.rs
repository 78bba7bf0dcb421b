//! Entries of the modules that weigh channels and places.

use striate_tensor::{Error, Result, Tensor};

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{
    Arrangement, BamCombine, BamConfig, CbamConfig, CbamTimmConfig, ChannelGateConfig, ChannelPool,
    CoordAttentionConfig, DcaCbam, DcaCbamConfig, MapOrder, PolarizedAttentionConfig,
    PolarizedLayout, ScSeCombine, ScSeConfig, ShuffleAttentionConfig, SimAmConfig,
    SpatialGateConfig, SpatialGroupEnhanceConfig, TripletAttentionConfig, VarBuilder,
};

const PAPER: &str =
    "Woo et al., CBAM: Convolutional Block Attention Module, ECCV 2018, arXiv:1807.06521";

fn channel(o: &Options<'_>) -> Result<ChannelGateConfig> {
    let pools = o.texts_or("pools", &["avg", "max"])?;
    let pools: Vec<ChannelPool> = pools
        .into_iter()
        .map(ChannelPool::parse)
        .collect::<Result<_>>()?;
    Ok(ChannelGateConfig::new(o.count("channels")?)
        .reduction(o.count_or("reduction", 16)?)
        .pools(pools))
}

fn spatial(o: &Options<'_>) -> Result<SpatialGateConfig> {
    let orders = [
        ("max_mean", MapOrder::MaxMean),
        ("mean_max", MapOrder::MeanMax),
    ];
    Ok(SpatialGateConfig::new()
        .kernel(o.count_or("kernel_size", 7)?)
        .order(o.choice("order", &orders)?)
        .momentum(o.number_or("bn_momentum", 0.01)?)
        .zero_bn(o.flag_or("zero_bn", false)?))
}

fn cbam(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let arrangement = if o.flag_or("no_spatial", false)? {
        Arrangement::ChannelOnly
    } else {
        o.choice(
            "arrangement",
            &[
                ("channel_spatial", Arrangement::ChannelThenSpatial),
                ("spatial_channel", Arrangement::SpatialThenChannel),
                ("parallel", Arrangement::Parallel),
                ("spatial", Arrangement::SpatialOnly),
            ],
        )?
    };
    let config = CbamConfig {
        channel: channel(o)?,
        spatial: spatial(o)?,
        arrangement,
    };
    Ok(Box::new(config.build(vb)?))
}

fn cbam_timm(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = CbamTimmConfig::new(o.count("channels")?)
        .reduction(o.count_or("reduction", 16)?)
        .kernel(o.count_or("kernel_size", 7)?)
        .mlp_bias(o.flag_or("mlp_bias", false)?);
    Ok(Box::new(config.build(vb)?))
}

fn bam(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let combines = [("product", BamCombine::Product), ("sum", BamCombine::Sum)];
    let config = BamConfig::new(o.count("channels")?)
        .reduction(o.count_or("reduction", 16)?)
        .dilation(o.count_or("dilation", 4)?)
        .combine(o.choice("combine", &combines)?);
    Ok(Box::new(config.build(vb)?))
}

fn simam(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = SimAmConfig::new().e_lambda(o.number_or("e_lambda", 1e-4)?);
    Ok(Box::new(config.build(vb)?))
}

fn coord_attention(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let channels = o.count("channels")?;
    let dialects = [
        ("official", CoordAttentionConfig::new(channels)),
        ("timm", CoordAttentionConfig::timm(channels)),
    ];
    let mut config = o.choice("dialect", &dialects)?;
    config.rd_channels = o.optional_count("rd_channels")?;
    config.bias = o.flag_or("bias", config.bias)?;
    Ok(Box::new(config.build(vb)?))
}

fn scse(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let combines = [("sum", ScSeCombine::Sum), ("max", ScSeCombine::Max)];
    let config = ScSeConfig::new(o.count("channels")?)
        .reduction(o.count_or("reduction", 2)?)
        .combine(o.choice("combine", &combines)?);
    Ok(Box::new(config.build(vb)?))
}

fn triplet(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = TripletAttentionConfig::new()
        .kernel(o.count_or("kernel_size", 7)?)
        .no_spatial(o.flag_or("no_spatial", false)?)
        .momentum(o.number_or("bn_momentum", 0.01)?);
    Ok(Box::new(config.build(vb)?))
}

fn shuffle_attention(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = ShuffleAttentionConfig::new(o.count("channels")?);
    Ok(Box::new(config.groups(o.count_or("groups", 8)?).build(vb)?))
}

fn sge(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = SpatialGroupEnhanceConfig::new(o.count_or("groups", 8)?);
    Ok(Box::new(config.build(vb)?))
}

fn polarized_attention(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let layouts = [
        ("parallel", PolarizedLayout::Parallel),
        ("sequential", PolarizedLayout::Sequential),
    ];
    let config = PolarizedAttentionConfig::new(o.count("channels")?);
    Ok(Box::new(
        config.layout(o.choice("layout", &layouts)?).build(vb)?,
    ))
}

fn dca_cbam(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = DcaCbamConfig::new(o.count("in_channels")?, o.count("channels")?)
        .reduction(o.count_or("reduction", 16)?)
        .kernel(o.count_or("kernel_size", 7)?)
        .connected(o.flag_or("connected", true)?);
    Ok(Box::new(config.build(vb)?))
}

impl Catalogued for DcaCbam {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let (y, attended) = match inputs {
            [x] => self.forward(x, None)?,
            [x, channel, spatial] => self.forward(x, Some([channel, spatial]))?,
            _ => {
                let got = inputs.len();
                return Err(Error::msg(format!(
                    "the module takes 1 or 3 inputs, got {got}"
                )));
            }
        };
        Ok(vec![y, attended])
    }
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "channel_gate",
        description: "the channel half of CBAM",
        formula: "y = x * sigmoid(mlp(mean_hw(x)) + mlp(max_hw(x)))",
        paper: PAPER,
        page: "cbam",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 8, "reduction": 4}"#,
                &[&[2, 8, 4, 3]],
                &[&[2, 8, 4, 3]],
            ),
            Example::new(
                r#"{"channels": 6, "reduction": 2, "pools": ["lp", "lse", "avg", "max"]}"#,
                &[&[1, 6, 3, 5]],
                &[&[1, 6, 3, 5]],
            ),
        ],
        counts: &[(r#"{"channels": 256}"#, 8_464)],
        invalid: &[
            r#"{"channels": 8}"#,
            r#"{"channels": 16, "reduction": 0}"#,
            r#"{"channels": 0}"#,
            r#"{"channels": 16, "pools": []}"#,
            r#"{"channels": 16, "pools": ["avg", "avg"]}"#,
            r#"{"channels": 16, "pools": ["median"]}"#,
            r#"{"channels": 16, "pools": "avg"}"#,
        ],
        make: |o, vb| Ok(Box::new(channel(o)?.build(vb)?)),
    },
    Entry {
        name: "spatial_gate",
        description: "the spatial half of CBAM",
        formula: "y = x * sigmoid(bn(conv7x7([max_c(x), mean_c(x)])))",
        paper: PAPER,
        page: "cbam",
        typical: Typical {
            config: "{}",
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new("{}", &[&[2, 5, 7, 6]], &[&[2, 5, 7, 6]]),
            Example::new(
                r#"{"kernel_size": 3, "order": "mean_max", "bn_momentum": 0.1}"#,
                &[&[1, 3, 2, 5]],
                &[&[1, 3, 2, 5]],
            ),
        ],
        counts: &[("{}", 100), (r#"{"kernel_size": 3}"#, 20)],
        invalid: &[
            r#"{"kernel_size": 4}"#,
            r#"{"kernel_size": 0}"#,
            r#"{"order": "min_max"}"#,
            r#"{"bn_momentum": 2.0}"#,
        ],
        make: |o, vb| Ok(Box::new(spatial(o)?.build(vb)?)),
    },
    Entry {
        name: "cbam",
        description: "a channel gate, then a spatial gate",
        formula: "y = spatial_gate(channel_gate(x))",
        paper: PAPER,
        page: "cbam",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 8, "reduction": 4}"#,
                &[&[2, 8, 6, 7]],
                &[&[2, 8, 6, 7]],
            ),
            Example::new(
                r#"{"channels": 6, "reduction": 2, "arrangement": "spatial_channel", "kernel_size": 3}"#,
                &[&[1, 6, 5, 3]],
                &[&[1, 6, 5, 3]],
            ),
            Example::new(
                r#"{"channels": 6, "reduction": 3, "arrangement": "parallel", "kernel_size": 5}"#,
                &[&[2, 6, 4, 4]],
                &[&[2, 6, 4, 4]],
            ),
            Example::new(
                r#"{"channels": 6, "reduction": 3, "arrangement": "spatial", "kernel_size": 3}"#,
                &[&[2, 6, 3, 4]],
                &[&[2, 6, 3, 4]],
            ),
            Example::new(
                r#"{"channels": 4, "reduction": 2, "no_spatial": true}"#,
                &[&[1, 4, 1, 1]],
                &[&[1, 4, 1, 1]],
            ),
        ],
        counts: &[
            (r#"{"channels": 256}"#, 8_564),
            (r#"{"channels": 256, "no_spatial": true}"#, 8_464),
        ],
        invalid: &[
            r#"{"channels": 8}"#,
            r#"{"channels": 16, "kernel_size": 6}"#,
            r#"{"channels": 16, "arrangement": "diagonal"}"#,
            r#"{"channels": 16, "arrangement": "parallel", "no_spatial": true}"#,
        ],
        make: cbam,
    },
    Entry {
        name: "cbam_timm",
        description: "CBAM under timm's names and with its defaults",
        formula: "y = spatial_gate(channel_gate(x))",
        paper: PAPER,
        page: "cbam",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 8, "reduction": 4}"#,
                &[&[2, 8, 6, 7]],
                &[&[2, 8, 6, 7]],
            ),
            Example::new(
                r#"{"channels": 6, "reduction": 4, "kernel_size": 3, "mlp_bias": true}"#,
                &[&[1, 6, 5, 3]],
                &[&[1, 6, 5, 3]],
            ),
        ],
        counts: &[(r#"{"channels": 256}"#, 8_292)],
        invalid: &[
            r#"{"channels": 0}"#,
            r#"{"channels": 16, "reduction": 0}"#,
            r#"{"channels": 16, "kernel_size": 2}"#,
        ],
        make: cbam_timm,
    },
    Entry {
        name: "bam",
        description: "weighs every element by a logit of its channel and a logit of its place",
        formula: "y = x * (1 + sigmoid(c(x) * s(x)))",
        paper: "Park et al., BAM: Bottleneck Attention Module, BMVC 2018, arXiv:1807.06514",
        page: "bam",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 8, "reduction": 4}"#,
                &[&[3, 8, 4, 5]],
                &[&[3, 8, 4, 5]],
            ),
            Example::new(
                r#"{"channels": 6, "reduction": 2, "dilation": 2, "combine": "sum"}"#,
                &[&[4, 6, 5, 3]],
                &[&[4, 6, 5, 3]],
            ),
            Example::new(
                r#"{"channels": 4, "reduction": 2, "dilation": 1}"#,
                &[&[1, 4, 3, 3]],
                &[&[1, 4, 3, 3]],
            )
            .eval(),
        ],
        counts: &[(r#"{"channels": 256}"#, 17_361)],
        invalid: &[
            r#"{"channels": 8}"#,
            r#"{"channels": 0}"#,
            r#"{"channels": 16, "reduction": 0}"#,
            r#"{"channels": 16, "dilation": 0}"#,
            r#"{"channels": 16, "combine": "max"}"#,
        ],
        make: bam,
    },
    Entry {
        name: "simam",
        description: "weighs every element by how far it stands out of its map, without parameters",
        formula: "y = x * sigmoid((x - mean_hw)^2 / (4 (var_hw + lambda)) + 1/2)",
        paper: "Yang et al., SimAM, ICML 2021, https://proceedings.mlr.press/v139/yang21o.html",
        page: "simam",
        typical: Typical {
            config: r#"{}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(r#"{}"#, &[&[2, 3, 4, 5]], &[&[2, 3, 4, 5]]),
            Example::new(r#"{"e_lambda": 0.5}"#, &[&[1, 9, 5, 3]], &[&[1, 9, 5, 3]]),
            Example::new(r#"{"e_lambda": 0.01}"#, &[&[1, 2, 1, 2]], &[&[1, 2, 1, 2]]),
        ],
        counts: &[(r#"{}"#, 0)],
        invalid: &[
            r#"{"e_lambda": 0.0}"#,
            r#"{"e_lambda": -1.0}"#,
            r#"{"lambda": 1.0}"#,
        ],
        make: simam,
    },
    Entry {
        name: "coord_attention",
        description: "weighs every element by a gate of its row and a gate of its column",
        formula: "y = x * sigmoid(conv_h(f_rows)) * sigmoid(conv_w(f_columns)), f = hardswish(bn(conv1([mean_w(x), mean_h(x)])))",
        paper: "Hou et al., Coordinate Attention, CVPR 2021, arXiv:2103.02907",
        page: "coord_attention",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 6, "rd_channels": 4}"#,
                &[&[2, 6, 4, 3]],
                &[&[2, 6, 4, 3]],
            ),
            Example::new(r#"{"channels": 9}"#, &[&[1, 9, 5, 7]], &[&[1, 9, 5, 7]]),
            Example::new(
                r#"{"channels": 5, "dialect": "timm"}"#,
                &[&[1, 5, 3, 2]],
                &[&[1, 5, 3, 2]],
            ),
        ],
        counts: &[
            (r#"{"channels": 256}"#, 6_680),
            (r#"{"channels": 256, "dialect": "timm"}"#, 6_160),
            (r#"{"channels": 640, "dialect": "timm"}"#, 3 * 640 * 24 + 48),
            (r#"{"channels": 640}"#, 3 * 640 * 20 + 60 + 1_280),
        ],
        invalid: &[
            r#"{"channels": 0}"#,
            r#"{"channels": 16, "rd_channels": 0}"#,
            r#"{"channels": 16, "dialect": "paper"}"#,
        ],
        make: coord_attention,
    },
    Entry {
        name: "scse",
        description: "weighs channels and, beside that, pixels",
        formula: "y = x * sigmoid(W2 relu(W1 mean_hw(x))) + x * sigmoid(w . x)",
        paper: "Roy et al., Concurrent Spatial and Channel Squeeze and Excitation, MICCAI 2018, arXiv:1803.02579",
        page: "scse",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(r#"{"channels": 8}"#, &[&[2, 8, 4, 3]], &[&[2, 8, 4, 3]]),
            Example::new(
                r#"{"channels": 6, "reduction": 3, "combine": "max"}"#,
                &[&[1, 6, 5, 7]],
                &[&[1, 6, 5, 7]],
            ),
        ],
        counts: &[(r#"{"channels": 256}"#, 65_920 + 257)],
        invalid: &[
            r#"{"channels": 1}"#,
            r#"{"channels": 0}"#,
            r#"{"channels": 16, "reduction": 0}"#,
            r#"{"channels": 16, "combine": "product"}"#,
        ],
        make: scse,
    },
    Entry {
        name: "triplet",
        description: "three gates, each over two of the axes channel, row and column",
        formula: "y = x * (g_h(x) + g_w(x) + g_c(x)) / 3, g_d = sigmoid(bn(conv7x7([max_d, mean_d])))",
        paper: "Misra et al., Rotate to Attend, WACV 2021, arXiv:2010.03045",
        page: "triplet",
        typical: Typical {
            config: r#"{}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(r#"{}"#, &[&[2, 5, 4, 3]], &[&[2, 5, 4, 3]]),
            Example::new(
                r#"{"kernel_size": 3, "no_spatial": true}"#,
                &[&[1, 9, 5, 7]],
                &[&[1, 9, 5, 7]],
            ),
            Example::new(
                r#"{"kernel_size": 1, "bn_momentum": 0.1}"#,
                &[&[2, 3, 2, 5]],
                &[&[2, 3, 2, 5]],
            ),
        ],
        counts: &[
            (r#"{}"#, 300),
            (r#"{"no_spatial": true}"#, 200),
            (r#"{"kernel_size": 3}"#, 60),
        ],
        invalid: &[
            r#"{"kernel_size": 4}"#,
            r#"{"kernel_size": 0}"#,
            r#"{"bn_momentum": 2.0}"#,
        ],
        make: triplet,
    },
    Entry {
        name: "shuffle_attention",
        description: "weighs half of each group's channels by channel, the other half by pixel, and mixes them",
        formula: "y = shuffle(x * sigmoid(a x + b)), a and b from the mean and the variance of each map",
        paper: "Zhang and Yang, SA-Net: Shuffle Attention, ICASSP 2021, arXiv:2102.00240",
        page: "shuffle_attention",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"channels": 8, "groups": 2}"#,
                &[&[2, 8, 4, 3]],
                &[&[2, 8, 4, 3]],
            ),
            Example::new(
                r#"{"channels": 6, "groups": 3}"#,
                &[&[1, 6, 5, 7]],
                &[&[1, 6, 5, 7]],
            ),
            Example::new(
                r#"{"channels": 16, "groups": 1}"#,
                &[&[2, 16, 3, 2]],
                &[&[2, 16, 3, 2]],
            ),
        ],
        counts: &[
            (r#"{"channels": 256}"#, 96),
            (r#"{"channels": 256, "groups": 64}"#, 12),
        ],
        invalid: &[
            r#"{"channels": 0}"#,
            r#"{"channels": 16, "groups": 0}"#,
            r#"{"channels": 12, "groups": 4}"#,
            r#"{"channels": 9, "groups": 1}"#,
        ],
        make: shuffle_attention,
    },
    Entry {
        name: "sge",
        description: "keeps the pixels of a group of channels that resemble the group's mean",
        formula: "y = x * sigmoid(w norm_hw(t) + b), t = x . mean_hw(x) over a group's channels",
        paper: "Li et al., Spatial Group-wise Enhance, 2019, arXiv:1905.09646",
        page: "sge",
        typical: Typical {
            config: r#"{}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(r#"{"groups": 2}"#, &[&[2, 6, 4, 3]], &[&[2, 6, 4, 3]]),
            Example::new(r#"{"groups": 3}"#, &[&[1, 9, 5, 7]], &[&[1, 9, 5, 7]]),
            Example::new(r#"{"groups": 1}"#, &[&[2, 4, 1, 3]], &[&[2, 4, 1, 3]]),
        ],
        counts: &[(r#"{}"#, 16), (r#"{"groups": 64}"#, 128)],
        invalid: &[r#"{"groups": 0}"#],
        make: sge,
    },
    Entry {
        name: "polarized_attention",
        description: "gates channels and pixels, each at full resolution of its own axis",
        formula: "y = x * sigmoid(ln(Wz Wv (x . softmax_hw(wq x)))) + x * sigmoid(softmax_c(Vq mean_hw(x)) . Vv x)",
        paper: "Liu et al., Polarized Self-Attention, 2021, arXiv:2107.00782",
        page: "polarized_attention",
        typical: Typical {
            config: r#"{"channels": 256}"#,
            inputs: &[&[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(r#"{"channels": 6}"#, &[&[2, 6, 4, 3]], &[&[2, 6, 4, 3]]),
            Example::new(
                r#"{"channels": 8, "layout": "sequential"}"#,
                &[&[1, 8, 5, 7]],
                &[&[1, 8, 5, 7]],
            ),
            Example::new(r#"{"channels": 5}"#, &[&[1, 5, 1, 2]], &[&[1, 5, 1, 2]]),
        ],
        counts: &[(r#"{"channels": 256}"#, 132_481)],
        invalid: &[
            r#"{"channels": 0}"#,
            r#"{"channels": 1}"#,
            r#"{"channels": 8, "layout": "diagonal"}"#,
        ],
        make: polarized_attention,
    },
    Entry {
        name: "dca_cbam",
        description: "CBAM whose gates also see what the block before it attended to",
        formula: "y = spatial(channel(x, p), r), with the maps p and r of the block before",
        paper: "Ma et al., DCANet: Learning Connected Attentions, ICME 2021, arXiv:2007.05099",
        page: "dca",
        typical: Typical {
            config: r#"{"in_channels": 256, "channels": 256}"#,
            inputs: &[&[1, 256, 56, 56], &[1, 256, 56, 56], &[1, 256, 56, 56]],
        },
        examples: &[
            Example::new(
                r#"{"in_channels": 4, "channels": 6, "reduction": 2, "kernel_size": 3}"#,
                &[&[2, 6, 3, 2], &[2, 4, 6, 5], &[2, 5, 6, 5]],
                &[&[2, 6, 3, 2], &[2, 6, 3, 2]],
            ),
            Example::new(
                r#"{"in_channels": 6, "channels": 6, "reduction": 3}"#,
                &[&[1, 6, 4, 5], &[1, 6, 4, 5], &[1, 6, 4, 5]],
                &[&[1, 6, 4, 5], &[1, 6, 4, 5]],
            ),
            Example::new(
                r#"{"in_channels": 4, "channels": 6, "reduction": 2, "kernel_size": 3, "connected": false}"#,
                &[&[1, 6, 3, 4]],
                &[&[1, 6, 3, 4], &[1, 6, 3, 4]],
            ),
        ],
        counts: &[
            (r#"{"in_channels": 256, "channels": 256}"#, 8_564 + 8 + 512),
            (
                r#"{"in_channels": 64, "channels": 256, "connected": false}"#,
                8_564 + 8 + 512 + 64 * 256 + 3 * 256,
            ),
        ],
        invalid: &[
            r#"{"in_channels": 0, "channels": 16}"#,
            r#"{"in_channels": 16, "channels": 8}"#,
            r#"{"in_channels": 16, "channels": 16, "reduction": 0}"#,
            r#"{"in_channels": 16, "channels": 16, "kernel_size": 2}"#,
        ],
        make: dca_cbam,
    },
];
