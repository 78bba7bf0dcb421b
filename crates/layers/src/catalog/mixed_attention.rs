//! Entries of the modules that weigh channels and places.

use striate_tensor::Result;

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{
    Arrangement, CbamConfig, CbamTimmConfig, ChannelGateConfig, ChannelPool, MapOrder,
    SpatialGateConfig, VarBuilder,
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
        .momentum(o.number_or("bn_momentum", 0.01)?))
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
];
