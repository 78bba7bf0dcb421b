//! A training run on disk: everything that a resume needs to continue bit for bit.
//!
//! A safetensors file. `model.*` are the model's parameters and buffers, `optimizer.*` what the optimizer keeps for them, `ema.*`
//! their average if there is one; the metadata has one JSON text with the settings and the [`Position`]. Random numbers need no state of their own: those of a step
//! or a sample are a function of the seed and of where the run stands.

use std::path::Path;

use serde::{Deserialize, Serialize};
use striate_layers::safetensors::{Metadata, from_bytes, to_bytes};
use striate_layers::weights::{self, Weights};
use striate_layers::{Module, StateDict, state_dict};

use crate::config::TrainConfig;
use crate::ema::Ema;
use crate::error::{Error, Malformed, Result, malformed};
use crate::file;
use crate::history::EpochRecord;
use crate::metrics::Mean;
use crate::optim::Optimizer;

/// The version of checkpoints that is written and read.
pub const VERSION: u32 = 1;

/// No checkpoint is larger: 64 GiB.
const MAX_BYTES: u64 = 64 << 30;

const KEY: &str = "striate.checkpoint";
const MODEL: &str = "model.";
const OPTIMIZER: &str = "optimizer.";
const EMA: &str = "ema.";

/// Where a run stands, between two steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Finished epochs.
    pub epoch: u64,
    /// Steps done in the current epoch.
    pub batch: u64,
    /// The loss of the current epoch so far.
    pub loss: Mean,
    /// How many samples of the current epoch so far were classified rightly.
    pub correct: u64,
    /// How long the current epoch has taken so far.
    pub seconds: f64,
    /// The finished epochs' numbers.
    pub history: Vec<EpochRecord>,
}

/// What the metadata holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) version: u32,
    pub(crate) config: TrainConfig,
    /// What the run learns from, in words that change when it does.
    pub(crate) data: String,
    pub(crate) position: Position,
}

/// A checkpoint that was read and is complete.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) header: Header,
    pub(crate) model: StateDict,
    pub(crate) optimizer: StateDict,
    /// Empty without an average.
    pub(crate) ema: StateDict,
}

/// The bytes of a checkpoint.
pub(crate) fn encode(
    model: &dyn Module,
    optimizer: &Optimizer,
    ema: Option<&Ema>,
    header: &Header,
) -> Result<Vec<u8>> {
    let mut dict = StateDict::new();
    for (name, tensor) in state_dict(model) {
        dict.insert(format!("{MODEL}{name}"), tensor);
    }
    for (name, tensor) in optimizer.state_dict()? {
        dict.insert(format!("{OPTIMIZER}{name}"), tensor);
    }
    for (name, tensor) in ema.map(Ema::state_dict).unwrap_or_default() {
        dict.insert(format!("{EMA}{name}"), tensor);
    }
    let text = serde_json::to_string(header);
    let text = text.map_err(|e| Error::Mismatch(format!("the checkpoint's header: {e}")))?;
    Ok(to_bytes(&dict, &Metadata::from([(KEY.to_owned(), text)]))?)
}

/// Reads a checkpoint and checks that it is one; that it fits the run is for the caller to check.
pub(crate) fn load(path: &Path) -> Result<Checkpoint> {
    let bytes = file::read(path, MAX_BYTES)?;
    decode(&bytes).map_err(|e| Error::malformed(path, e))
}

fn decode(bytes: &[u8]) -> Result<Checkpoint, Malformed> {
    let (dict, metadata) = from_bytes(bytes).map_err(|e| malformed!("{e}"))?;
    match metadata.get(KEY) {
        Some(text) => split(dict, text),
        None => Err(malformed!(
            "no checkpoint: its metadata lacks \"{KEY}\" (are these weights alone?)"
        )),
    }
}

/// The parts of a checkpoint with the tensors `dict` and the header `text`.
fn split(dict: StateDict, text: &str) -> Result<Checkpoint, Malformed> {
    let refuse = |e: serde_json::Error| malformed!("damaged checkpoint: {e}");
    // The version first: fields of another one are not known.
    let any: serde_json::Value = serde_json::from_str(text).map_err(refuse)?;
    if any["version"] != VERSION {
        let version = &any["version"];
        return Err(malformed!(
            "checkpoint version {version}: this build reads version {VERSION}"
        ));
    }
    let header = serde_json::from_value(any).map_err(refuse)?;
    let mut found = Checkpoint {
        header,
        model: StateDict::new(),
        optimizer: StateDict::new(),
        ema: StateDict::new(),
    };
    for (name, tensor) in dict {
        let Checkpoint {
            model,
            optimizer,
            ema,
            ..
        } = &mut found;
        let parts = [(MODEL, model), (OPTIMIZER, optimizer), (EMA, ema)];
        let part = parts
            .into_iter()
            .find_map(|(prefix, part)| Some((name.strip_prefix(prefix)?, part)));
        match part {
            Some((name, part)) => part.insert(name, tensor),
            None => return Err(malformed!("damaged checkpoint: unknown tensor {name}")),
        }
    }
    Ok(found)
}

/// The weights in a file (averaged ones where there is an average), be it a checkpoint of a run or one that [`weights`](mod@weights) reads: safetensors, PyTorch's, npz.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn load_weights(path: &Path) -> Result<Weights> {
    let mut weights = weights::load(path)?;
    if let Some(text) = weights.metadata.get(KEY) {
        let dict = std::mem::take(&mut weights.state_dict);
        let found = split(dict, text).map_err(|e| Error::malformed(path, e))?;
        let (name, own) = if found.ema.is_empty() {
            ("model", found.model)
        } else {
            weights.ignored.push("model".to_owned());
            ("ema", found.ema)
        };
        weights.state_dict = own;
        weights.unwrapped.push(name.to_owned());
        weights.ignored.push("optimizer".to_owned());
    }
    Ok(weights)
}

impl Header {
    /// Whether the run that this was written by is the one described by `config` and `data`, with `batches` steps an epoch.
    pub(crate) fn check(
        &self,
        config: &TrainConfig,
        data: &str,
        batches: u64,
    ) -> Result<(), Malformed> {
        if let Some((field, theirs, ours)) = difference(&self.config, config) {
            return Err(malformed!(
                "written by a run with {field} {theirs}, this run has {ours}"
            ));
        }
        if self.data != data {
            let theirs = &self.data;
            return Err(malformed!(
                "written by a run on other data: {theirs}; now: {data}"
            ));
        }
        let Position {
            epoch,
            batch,
            loss,
            correct,
            seconds,
            history,
        } = &self.position;
        let in_range = *epoch <= config.epochs
            && *batch <= batches
            && (*epoch < config.epochs || *batch == 0)
            && history.len() as u64 == *epoch
            && history
                .iter()
                .zip(1..)
                .all(|(r, n)| r.epoch == n && r.step == n * batches)
            && *correct <= loss.count()
            && *seconds >= 0.0;
        if in_range {
            return Ok(());
        }
        Err(malformed!(
            "damaged checkpoint: epoch {epoch}, batch {batch} of {batches} cannot be"
        ))
    }
}

/// The first setting in which two configs differ. How often checkpoints are written may.
fn difference(a: &TrainConfig, b: &TrainConfig) -> Option<(String, String, String)> {
    let fields = |c: &TrainConfig| {
        let c = TrainConfig {
            checkpoint_every: None,
            ..c.clone()
        };
        match serde_json::to_value(c) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        }
    };
    let (a, b) = (fields(a), fields(b));
    let differs = a.iter().find(|(key, value)| b.get(*key) != Some(value));
    differs.map(|(key, value)| {
        let other = b
            .get(key)
            .map_or_else(|| "none".to_owned(), ToString::to_string);
        (key.clone(), value.to_string(), other)
    })
}
