//! Entries of modules that drop parts of a map in training.

use striate_tensor::Result;

use super::{Catalogued, Entry, Example, Options, Typical};
use crate::{DropBlockConfig, DropScope, StochasticDepth, VarBuilder};

const DROP_BLOCK: &str = "Ghiasi et al., DropBlock: A Regularization Method for Convolutional Networks, NeurIPS 2018, arXiv:1810.12890";

fn drop_block(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let config = DropBlockConfig::new(o.number_or("drop_prob", 0.1)?, o.count_or("block_size", 7)?)
        .couple_channels(o.flag_or("couple_channels", true)?)
        .scale(o.flag_or("scale_by_keep", true)?)
        .noise(o.flag_or("with_noise", false)?);
    Ok(Box::new(config.build(vb)?))
}

fn drop_block_inside(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let (p, block) = (o.number_or("p", 0.1)?, o.count_or("block_size", 7)?);
    Ok(Box::new(DropBlockConfig::torchvision(p, block).build(vb)?))
}

fn stochastic_depth(o: &Options<'_>, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
    let scopes = [("row", DropScope::Image), ("batch", DropScope::Batch)];
    let layer = StochasticDepth::new(o.number_or("p", 0.1)?, o.choice("mode", &scopes)?, vb)?;
    Ok(Box::new(layer))
}

const TYPICAL: Typical = Typical {
    config: "{}",
    inputs: &[&[1, 256, 56, 56]],
};

/// What is drawn at random differs from run to run: in evaluation it is nothing.
const EXAMPLES: &[Example] = &[
    Example::new("{}", &[&[2, 3, 5, 7]], &[&[2, 3, 5, 7]]).eval(),
    Example::new("{}", &[&[1, 2, 8, 8]], &[&[1, 2, 8, 8]]).eval(),
];

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "drop_block",
        description: "sets squares of the map to 0 in training, anywhere, the same in all channels",
        formula: "y = x * M * numel(M) / sum(M), M = 0 in the squares around places drawn with chance gamma",
        paper: DROP_BLOCK,
        page: "drop_block",
        typical: TYPICAL,
        examples: EXAMPLES,
        counts: &[("{}", 0)],
        invalid: &[
            r#"{"drop_prob": -0.1}"#,
            r#"{"drop_prob": 1.5}"#,
            r#"{"block_size": 0}"#,
        ],
        make: drop_block,
    },
    Entry {
        name: "drop_block2d",
        description: "sets whole squares of the map to 0 in training, others in each channel",
        formula: "y = x * M * numel(M) / sum(M), M = 0 in the squares around places drawn with chance gamma",
        paper: DROP_BLOCK,
        page: "drop_block",
        typical: TYPICAL,
        examples: EXAMPLES,
        counts: &[("{}", 0)],
        invalid: &[
            r#"{"p": -0.1}"#,
            r#"{"p": 1.5}"#,
            r#"{"block_size": 0}"#,
            r#"{"block_size": 4}"#,
        ],
        make: drop_block_inside,
    },
    Entry {
        name: "stochastic_depth",
        description: "leaves out the branch of a residual block at random in training",
        formula: "y = x * B / (1 - p), B = 0 with chance p, else 1, for each image or for the batch",
        paper: "Huang et al., Deep Networks with Stochastic Depth, ECCV 2016, arXiv:1603.09382",
        page: "stochastic_depth",
        typical: TYPICAL,
        examples: EXAMPLES,
        counts: &[("{}", 0)],
        invalid: &[r#"{"p": -0.1}"#, r#"{"p": 1.5}"#, r#"{"mode": "column"}"#],
        make: stochastic_depth,
    },
];
