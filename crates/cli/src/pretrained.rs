//! A network of the registry with weights from a file, to be asked about pictures.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use striate::layers::{Loading, Module, VarBuilder, load_state_dict, set_training};
use striate::models::{ModelInfo, Task};
use striate::train::checkpoint::load_weights;

use crate::failure::Failure;
use crate::network::{Network, Slots};
use crate::setup::Trained;
use crate::task::View;

/// A network, its weights, and what its classes are called.
#[derive(Args, Debug)]
pub(crate) struct Pretrained {
    /// Instead of RUN: a network for ImageNet, by its name in `striate models`
    #[arg(long, value_name = "NAME", requires = "weights")]
    pub(crate) model: Option<String>,

    #[command(flatten)]
    slots: Slots,

    /// Its weights: .safetensors, .pt, .pth or .npz
    #[arg(long, value_name = "FILE", requires = "model")]
    weights: Option<PathBuf>,

    /// The names of its classes, one a line [default: their numbers]
    #[arg(long, value_name = "FILE", requires = "model")]
    classes: Option<PathBuf>,
}

/// A network in evaluation mode that knows how to look at a picture.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) network: Box<dyn Module>,
    pub(crate) view: View,
    pub(crate) classes: Vec<String>,
    /// How a line calls it.
    pub(crate) title: String,
}

impl From<Trained> for Subject {
    fn from(trained: Trained) -> Self {
        Self {
            title: trained.setup.network.title(),
            network: trained.network,
            view: trained.setup.view,
            classes: trained.config.classes,
        }
    }
}

impl Pretrained {
    /// The network that the options name, or nothing if they name none.
    pub(crate) fn open(&self) -> Result<Option<Subject>, Failure> {
        let (Some(model), Some(weights)) = (&self.model, &self.weights) else {
            if self.slots != Slots::default() {
                let message = "--attention and --graft are for --model: a run knows its own";
                return Err(Failure::usage(message));
            }
            return Ok(None);
        };
        let network = Network {
            model: model.clone(),
            slots: self.slots.clone(),
        };
        let info = network.info()?;
        let view = view(info)?;
        let names = self.classes.as_deref().map(names).transpose()?;
        let count = names.as_ref().map_or(info.classes, Vec::len);
        let built = network.build(view.channels, count, &VarBuilder::zeros())?;
        let read = load_weights(weights)?;
        load_state_dict(&built, &read.state_dict, Loading::Strict).map_err(|e| {
            let weights = weights.display();
            Failure::work(match &self.classes {
                Some(file) if count != info.classes => {
                    format!("{} names {count} classes; {weights}: {e}", file.display())
                }
                _ => format!("{weights}: {e}"),
            })
        })?;
        set_training(&built, false);
        Ok(Some(Subject {
            network: built,
            view,
            classes: names.unwrap_or_else(|| (0..count).map(|i| i.to_string()).collect()),
            title: network.title(),
        }))
    }
}

/// How the network looks at pictures.
fn view(info: &ModelInfo) -> Result<View, Failure> {
    let name = info.name;
    if info.task != Task::Classification {
        return Err(Failure::usage(format!(
            "{name} tells what every pixel is, not what a picture shows: `striate run` runs it"
        )));
    }
    let normalization = info.normalization.ok_or_else(|| {
        Failure::usage(format!(
            "there is no custom of how pictures are prepared for {name}: predict from a run, or use `striate run`"
        ))
    })?;
    let [channels, h, w] = info.input;
    Ok(View {
        channels,
        size: [h, w],
        picture: [h, w],
        // 256 of 224, to the nearest.
        short: Some((256 * h.min(w) + 112) / 224),
        scale: 1.0,
        mean: normalization.mean.to_vec(),
        std: normalization.std.to_vec(),
    })
}

/// The lines of a file.
fn names(path: &Path) -> Result<Vec<String>, Failure> {
    let file = path.display();
    let text =
        fs::read_to_string(path).map_err(|e| Failure::work(format!("cannot read {file}: {e}")))?;
    let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    if let Some(blank) = names.iter().position(String::is_empty) {
        let line = blank + 1;
        return Err(Failure::work(format!("{file}: line {line} is blank")));
    }
    if names.is_empty() {
        return Err(Failure::work(format!("{file} has no names")));
    }
    Ok(names)
}
