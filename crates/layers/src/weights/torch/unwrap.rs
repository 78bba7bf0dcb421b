//! Where in a checkpoint the state dict is.

use striate_tensor::{Error, Result};

use crate::weights::pickle::{Objects, Value, wanted};

/// What checkpoints call the state dict beside the optimizer's and the number of the epoch, the first one that is there.
const KEYS: &[&str] = &[
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "network",
    "net",
    "weights",
    "params",
    "module",
];

/// A state dict may be wrapped so often.
const MAX_DEPTH: usize = 4;

/// A state dict, and how it was found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// Names, and the numbers of the tensors.
    pub(super) tensors: Vec<(&'a str, usize)>,
    /// The keys that lead to it.
    pub(super) keys: Vec<String>,
    /// What lies beside it and its tensors.
    pub(super) ignored: Vec<String>,
}

/// The dict of tensors that `root` is or has under one of the usual keys.
pub(super) fn state_dict<'a>(objects: &Objects<'a>, root: Value<'a>) -> Result<Found<'a>> {
    let mut found = Found {
        tensors: Vec::new(),
        keys: Vec::new(),
        ignored: Vec::new(),
    };
    let mut value = root;
    loop {
        let Value::Dict(dict) = value else {
            return Err(wanted("a state dict", value));
        };
        let entries = &objects.dicts[dict];
        // First, since a tensor may lie beside it: a loss, or the mean of the pictures.
        let inner = KEYS.iter().find_map(|&key| match objects.get(dict, key) {
            Some(inner @ Value::Dict(_)) => Some((key, inner)),
            _ => None,
        });
        if let Some((key, inner)) = inner.filter(|_| found.keys.len() < MAX_DEPTH) {
            let others = entries.iter().map(|&(name, _)| name);
            let others = others.filter(|name| !matches!(name, Value::Text(name) if *name == key));
            found.ignored.extend(others.map(shown));
            found.keys.push(key.to_owned());
            value = inner;
            continue;
        }
        for &(name, value) in entries {
            match (name, value) {
                (Value::Text(name), Value::Tensor(tensor)) => found.tensors.push((name, tensor)),
                (name, _) => found.ignored.push(shown(name)),
            }
        }
        if found.tensors.is_empty() && !entries.is_empty() {
            let names = found.ignored.iter().rev().take(8).rev();
            let names: Vec<&str> = names.map(String::as_str).collect();
            return Err(Error::msg(format!(
                "no state dict is in it, but {}; in Python, torch.save(model.state_dict(), path) writes one",
                names.join(", ")
            )));
        }
        return Ok(found);
    }
}

/// A key for people to read.
fn shown(key: Value<'_>) -> String {
    match key {
        Value::Text(text) => text.chars().take(80).collect(),
        Value::Int(n) => n.to_string(),
        other => other.name().to_owned(),
    }
}
