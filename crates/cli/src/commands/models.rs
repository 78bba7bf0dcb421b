//! `striate models`: the networks there are.

use clap::Args;
use serde::Serialize;
use striate::layers::{self, VarBuilder};
use striate::models::{self, DEFAULT};

use crate::dims::joined;
use crate::failure::Failure;
use crate::network::{Network, Slots};
use crate::output::{Output, grouped, table};

/// List the networks with their parameters and multiply-adds
#[derive(Args, Debug)]
#[command(
    after_help = "Parameters are for the classes shown, multiply-adds for one image of the size shown. Names are those of
the implementation in the column `names`.

Example: striate models"
)]
pub(crate) struct Models {}

#[derive(Serialize)]
struct Listed {
    model: &'static str,
    description: &'static str,
    names: &'static str,
    input: [usize; 3],
    classes: usize,
    parameters: u64,
    multiply_adds: u64,
    takes_attention: bool,
    default: bool,
}

impl Models {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        let heading = [
            "model",
            "input",
            "classes",
            "parameters",
            "multiply-adds",
            "names",
            "",
        ];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        for info in models::list() {
            let network = Network {
                model: info.name.to_owned(),
                slots: Slots::default(),
            };
            let [channels, h, w] = info.input;
            let built = network.build(channels, None, &VarBuilder::zeros())?;
            let cost = layers::summary(&built, &[1, channels, h, w])?;
            let listed = Listed {
                model: info.name,
                description: info.description,
                names: info.origin,
                input: info.input,
                classes: info.classes,
                parameters: cost.parameters as u64,
                multiply_adds: cost.multiply_adds,
                takes_attention: info.takes_attention,
                default: info.name == DEFAULT,
            };
            out.object(&listed)?;
            rows.push(vec![
                listed.model.to_owned(),
                joined(&listed.input),
                listed.classes.to_string(),
                grouped(listed.parameters),
                grouped(listed.multiply_adds),
                listed.names.to_owned(),
                listed.description.to_owned() + if listed.default { " (default)" } else { "" },
            ]);
        }
        table(&rows).iter().try_for_each(|line| out.text(line))
    }
}
