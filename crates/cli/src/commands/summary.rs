//! `striate summary`: the layers of a network and what each costs.

use clap::Args;
use serde::Serialize;
use striate::layers::VarBuilder;
use striate::models::DEFAULT;

use crate::cost::{self, Cost};
use crate::dims::{self, joined};
use crate::failure::Failure;
use crate::network::{Network, Slots};
use crate::output::{Output, bytes, grouped, table};

/// Show the layers of a network: shapes, parameters, multiply-adds, memory
#[derive(Args, Debug)]
#[command(
    after_help = "Multiply-adds are those of convolutions, linear layers and matrix products, as papers count them.

Examples:
  striate summary
  striate summary resnet20 --attention cbam --input 8x3x32x32
  striate summary sknet_cifar --json"
)]
pub(crate) struct Summary {
    /// The network: `striate models` lists them
    #[arg(default_value = DEFAULT)]
    model: String,

    #[command(flatten)]
    slots: Slots,

    /// The batch of images, NxCxHxW [default: one of the size the network is meant for]
    #[arg(long, value_name = "NxCxHxW", value_parser = dims::batch)]
    input: Option<[usize; 4]>,

    /// The number of classes
    #[arg(long, default_value = "10", value_parser = crate::args::count)]
    classes: std::num::NonZeroUsize,
}

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    attention: Option<&'a str>,
    input: [usize; 4],
    #[serde(flatten)]
    cost: &'a Cost,
}

impl Summary {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        let network = Network {
            model: self.model.clone(),
            slots: self.slots.clone(),
        };
        let [channels, h, w] = network.info()?.input;
        let input = self.input.unwrap_or([1, channels, h, w]);
        let built = network.build(input[1], self.classes.get(), &VarBuilder::seeded(0))?;
        let cost = cost::measure(&built, input)?;
        let attention = self.slots.attention.as_deref();
        out.object(&Report {
            model: &self.model,
            attention,
            input,
            cost: &cost,
        })?;
        if out.is_json() {
            return Ok(());
        }
        table(&rows(&cost))
            .iter()
            .try_for_each(|line| out.text(line))?;
        let Cost {
            parameters,
            multiply_adds,
            activations,
            ..
        } = cost;
        out.text("")?;
        out.text(format!("{}, input {}", network.title(), joined(&input)))?;
        let (held, computed) = (bytes(4 * parameters), bytes(activations.saturating_mul(4)));
        out.text(format!(
            "{:<15}{} ({held})",
            "parameters",
            grouped(parameters)
        ))?;
        out.text(format!("{:<15}{}", "multiply-adds", grouped(multiply_adds)))?;
        out.text(format!(
            "{:<15}{computed} if every result is kept, as training does",
            "activations"
        ))
    }
}

fn rows(cost: &Cost) -> Vec<Vec<String>> {
    let heading = ["layer", "op", "output", "parameters", "multiply-adds"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let number = |n: u64| if n == 0 { String::new() } else { grouped(n) };
    rows.extend(cost.layers.iter().map(|layer| {
        vec![
            layer.layer.clone(),
            layer.op.clone(),
            joined(&layer.output),
            number(layer.parameters),
            number(layer.multiply_adds),
        ]
    }));
    rows
}
