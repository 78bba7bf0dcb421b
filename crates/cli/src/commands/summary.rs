//! `striate summary`: the layers of a network and what each costs.

use std::num::NonZeroUsize;

use clap::Args;
use serde::Serialize;
use striate::layers::{self, VarBuilder};
use striate::models::DEFAULT;

use crate::args::count;
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
  striate summary resnet50 --graft 'layer3.*=cbam'
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

    /// The number of classes [default: the network's own]
    #[arg(long, value_name = "N", value_parser = count)]
    classes: Option<NonZeroUsize>,
}

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    attention: Option<&'a str>,
    graft: &'a [String],
    input: [usize; 4],
    output: &'a [usize],
    parameters: usize,
    buffers: usize,
    multiply_adds: u64,
    elementwise: u64,
    activation_bytes: u64,
    layers: Vec<Layer<'a>>,
}

#[derive(Serialize)]
struct Layer<'a> {
    layer: &'a str,
    operations: &'a [&'static str],
    output: &'a [usize],
    parameters: usize,
    multiply_adds: u64,
    elementwise: u64,
}

impl Summary {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        let network = Network {
            model: self.model.clone(),
            slots: self.slots.clone(),
        };
        let [channels, h, w] = network.info()?.input;
        let input = self.input.unwrap_or([1, channels, h, w]);
        let built = network.build(
            input[1],
            self.classes.map(NonZeroUsize::get),
            &VarBuilder::zeros(),
        )?;
        let summary = layers::summary(&built, &input)?;
        let own_layers = summary.layers.iter().map(|l| Layer {
            layer: &l.path,
            operations: &l.operations,
            output: &l.output,
            parameters: l.parameters,
            multiply_adds: l.multiply_adds,
            elementwise: l.elementwise,
        });
        out.object(&Report {
            model: &self.model,
            attention: self.slots.attention.as_deref(),
            graft: &self.slots.graft,
            input,
            output: &summary.output,
            parameters: summary.parameters,
            buffers: summary.buffers,
            multiply_adds: summary.multiply_adds,
            elementwise: summary.elementwise,
            activation_bytes: summary.activation_bytes,
            layers: own_layers.collect(),
        })?;
        table(&rows(&summary))
            .iter()
            .try_for_each(|line| out.text(line))?;
        out.text(format!("\n{}, input {}", network.title(), joined(&input)))?;
        let parameters = summary.parameters as u64;
        let held = bytes(4 * parameters);
        let computed = bytes(summary.activation_bytes);
        out.text(format!(
            "{:<15}{} ({held})",
            "parameters",
            grouped(parameters)
        ))?;
        out.text(format!(
            "{:<15}{}",
            "multiply-adds",
            grouped(summary.multiply_adds)
        ))?;
        out.text(format!(
            "{:<15}{computed}, all kept by a training step",
            "activations"
        ))
    }
}

fn rows(summary: &layers::Summary) -> Vec<Vec<String>> {
    let heading = [
        "layer",
        "operations",
        "output",
        "parameters",
        "multiply-adds",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let number = |n: u64| if n == 0 { String::new() } else { grouped(n) };
    rows.extend(summary.layers.iter().map(|layer| {
        vec![
            if layer.path.is_empty() {
                "(itself)".to_owned()
            } else {
                layer.path.clone()
            },
            layer.operations.join(", "),
            joined(&layer.output),
            number(layer.parameters as u64),
            number(layer.multiply_adds),
        ]
    }));
    rows
}
