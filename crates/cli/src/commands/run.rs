//! `striate run`: a network's output for a tensor, for scripts.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use striate::layers::safetensors::{self, Metadata};
use striate::layers::{Loading, StateDict, VarBuilder, load_state_dict, set_training};
use striate::no_grad;
use striate::train::checkpoint::load_weights;

use crate::args::count;
use crate::dims::joined;
use crate::failure::Failure;
use crate::network::{Network, Slots};
use crate::output::Output;

/// Run a network on a tensor: reads the tensor `input` of a file and writes the tensor `output` of another
#[derive(Args, Debug)]
#[command(
    after_help = "Weights are safetensors, what torch.save or numpy.savez wrote, or a checkpoint of a run; they have PyTorch's names and must
be complete. A checkpoint around the state dict and a prefix `module.` are taken off. The other files are safetensors.

Examples:
  striate run seresnet_small --weights runs/digits-001/weights.safetensors --input x.safetensors --output y.safetensors
  striate run resnet20 --weights resnet20.pth --input x.safetensors --output y.safetensors"
)]
pub(crate) struct Run {
    /// The network: `striate models` lists them
    #[arg(value_name = "MODEL")]
    model: String,

    #[command(flatten)]
    slots: Slots,

    /// The weights: .safetensors, .pt, .pth, .npz, or a checkpoint of a run
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,

    /// The file with the tensor `input`, [N, C, H, W]
    #[arg(long, value_name = "FILE")]
    input: PathBuf,

    /// The file that the tensor `output` is written to
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// The number of classes [default: the network's own]
    #[arg(long, value_name = "N", value_parser = count)]
    classes: Option<NonZeroUsize>,
}

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    weights: String,
    input: &'a [usize],
    output: &'a [usize],
    file: &'a PathBuf,
}

impl Run {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        let network = Network {
            model: self.model.clone(),
            slots: self.slots.clone(),
        };
        network.info()?;
        let (tensors, _) = safetensors::load(&self.input)?;
        let x = tensors.get("input").ok_or_else(|| {
            let names: Vec<&str> = tensors.names().collect();
            let (file, names) = (self.input.display(), names.join(", "));
            Failure::work(format!("{file} has no tensor `input`; it has: {names}"))
        })?;
        let [_, channels, _, _] = x.dims4().map_err(|e| e.at("input"))?;
        let vb = VarBuilder::zeros();
        let built = network.build(channels, self.classes.map(NonZeroUsize::get), &vb)?;
        let weights = load_weights(&self.weights)?;
        load_state_dict(&built, &weights.state_dict, Loading::Strict)
            .map_err(|e| Failure::work(format!("{}: {e}", self.weights.display())))?;
        set_training(&built, false);
        let y = no_grad(|| built.forward(x))?;
        let shape = y.shape().to_vec();
        let dict = StateDict::from_iter([("output".to_owned(), y)]);
        safetensors::save(&self.output, &dict, &Metadata::new())?;
        let file = &self.output;
        out.object(&Report {
            model: &self.model,
            weights: weights.to_string(),
            input: x.shape(),
            output: &shape,
            file,
        })?;
        out.text(format!("weights: {weights}"))?;
        let (input, output) = (joined(x.shape()), joined(&shape));
        out.text(format!(
            "{input} to {output}, written to {}",
            file.display()
        ))
    }
}
