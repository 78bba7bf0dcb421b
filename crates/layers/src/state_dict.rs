//! Named tensors in order, and loading them into a layer.

use std::collections::HashMap;
use std::fmt;

use striate_tensor::{DType, Error, Result, Tensor};

use crate::module::{Part, walk};
use crate::nearest::nearest;
use crate::{Buffer, Layer, Parameter};

/// Tensors by name, in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct StateDict {
    entries: Vec<(String, Tensor)>,
    index: HashMap<String, usize>,
}

impl StateDict {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of tensors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The tensor of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.index.get(name).map(|&i| &self.entries[i].1)
    }

    /// Adds a tensor, or replaces the one of that name in its place.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        let name = name.into();
        if let Some(&i) = self.index.get(&name) {
            self.entries[i].1 = tensor;
        } else {
            self.index.insert(name.clone(), self.entries.len());
            self.entries.push((name, tensor));
        }
    }

    /// Names and tensors in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.entries
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }
}

impl FromIterator<(String, Tensor)> for StateDict {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(entries: I) -> Self {
        let mut dict = Self::new();
        for (name, tensor) in entries {
            dict.insert(name, tensor);
        }
        dict
    }
}

impl IntoIterator for StateDict {
    type Item = (String, Tensor);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

/// Every parameter and buffer below `layer`. The tensors are constants and share their storage
/// with the layer until one of the two changes.
#[must_use]
pub fn state_dict(layer: &dyn Layer) -> StateDict {
    let mut dict = StateDict::new();
    walk(layer, &mut |name, part| match part {
        Part::Parameter(p) => dict.insert(name, p.tensor().detach()),
        Part::Buffer(b) => dict.insert(name, b.tensor()),
        Part::Mode(_) | Part::Slot(_) | Part::Recompute(_) => {}
    });
    dict
}

/// What [`load_state_dict`] does about names that do not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loading {
    /// Every tensor of the layer must be there with its shape, and nothing else: or the load
    /// fails and changes nothing.
    Strict,
    /// Load what fits; the report says what did not.
    Lenient,
}

/// A name without a counterpart, and the counterpart it resembles most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// The name.
    pub name: String,
    /// The name on the other side that it may have meant.
    pub nearest: Option<String>,
}

/// A tensor whose shape is not the layer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MisShaped {
    /// Its name.
    pub name: String,
    /// The layer's shape.
    pub expected: Vec<usize>,
    /// The shape in the state dict.
    pub got: Vec<usize>,
}

/// What a load did, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Tensors of the layer that were set.
    pub loaded: Vec<String>,
    /// Tensors of the layer that the state dict lacks. Counters and constant filters are optional and not listed.
    pub missing: Vec<Unmatched>,
    /// Tensors of the state dict that the layer lacks.
    pub unexpected: Vec<Unmatched>,
    /// Tensors that both have with shapes that do not fit.
    pub mis_shaped: Vec<MisShaped>,
}

impl LoadReport {
    /// Whether every name and shape matched.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.mis_shaped.is_empty()
    }
}

/// How many names of a kind a report's text spells out.
const SHOWN: usize = 8;

/// How many pairs of names are compared to find what resembles what: all of 180 names.
const COMPARED: usize = 1 << 15;

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensors loaded", self.loaded.len())?;
        for (what, names) in [("missing", &self.missing), ("unexpected", &self.unexpected)] {
            let shown = names.iter().map(|u| match &u.nearest {
                Some(n) => format!("{} (nearest: {n})", u.name),
                None => u.name.clone(),
            });
            list(f, what, names.len(), shown)?;
        }
        let shown = self.mis_shaped.iter();
        let shown =
            shown.map(|m| format!("{} (expected {:?}, got {:?})", m.name, m.expected, m.got));
        list(f, "mis-shaped", self.mis_shaped.len(), shown)
    }
}

fn list(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    count: usize,
    shown: impl Iterator<Item = String>,
) -> fmt::Result {
    if count == 0 {
        return Ok(());
    }
    let shown: Vec<_> = shown.take(SHOWN).collect();
    write!(f, "; {count} {what}: {}", shown.join(", "))?;
    if count > SHOWN {
        write!(f, ", and {} more", count - SHOWN)
    } else {
        Ok(())
    }
}

enum Slot {
    Parameter(Parameter),
    Buffer(Buffer),
}

impl Slot {
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Parameter(p) => p.shape(),
            Self::Buffer(b) => b.shape(),
        }
    }

    fn dtype(&self) -> DType {
        match self {
            Self::Parameter(p) => p.dtype(),
            Self::Buffer(b) => b.dtype(),
        }
    }

    /// Counters, which older state dicts lack, and what follows from the configuration.
    fn is_optional(&self, name: &str) -> bool {
        let last = name.rsplit('.').next().unwrap_or(name);
        last == "num_batches_tracked" || matches!(self, Self::Buffer(b) if b.is_constant())
    }

    fn check(&self, tensor: &Tensor) -> Result<()> {
        match self {
            Self::Parameter(_) => Ok(()),
            Self::Buffer(b) => b.check(tensor),
        }
    }

    fn set(&self, tensor: &Tensor) -> Result<()> {
        match self {
            Self::Parameter(p) => p.set(tensor),
            Self::Buffer(b) => b.set(tensor),
        }
    }
}

/// Sets the parameters and buffers below `layer` to the tensors of the same names.
///
/// Shapes must be equal, but for a linear weight `(O, I)` and a 1x1 convolution's `(O, I, 1, 1)`,
/// which hold the same numbers. Values are converted to the layer's element type.
/// `num_batches_tracked` and constants may be absent.
///
/// # Errors
/// A constant has other values than the configuration gives, or [`Loading::Strict`] and something is missing, unexpected or
/// mis-shaped: nothing is changed.
pub fn load_state_dict(
    layer: &dyn Layer,
    dict: &StateDict,
    loading: Loading,
) -> Result<LoadReport> {
    let mut slots = Vec::new();
    walk(layer, &mut |name, part| match part {
        Part::Parameter(p) => slots.push((name.to_owned(), Slot::Parameter(p.clone()))),
        Part::Buffer(b) => slots.push((name.to_owned(), Slot::Buffer(b.clone()))),
        Part::Mode(_) | Part::Slot(_) | Part::Recompute(_) => {}
    });
    let mut report = LoadReport::default();
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for (name, slot) in &slots {
        let Some(tensor) = dict.get(name) else {
            if !slot.is_optional(name) {
                missing.push(name.as_str());
            }
            continue;
        };
        match fit(name, &slot.shape(), tensor) {
            // Converted and checked before anything is changed, since either can fail.
            Ok(tensor) => {
                slot.check(&tensor).map_err(|e| e.at(name))?;
                found.push((name, slot, tensor.to_dtype(slot.dtype())?));
            }
            Err(_) => report.mis_shaped.push(MisShaped {
                name: name.clone(),
                expected: slot.shape(),
                got: tensor.shape().to_vec(),
            }),
        }
    }
    let own: HashMap<&str, ()> = slots.iter().map(|(name, _)| (name.as_str(), ())).collect();
    let unexpected: Vec<&str> = dict
        .names()
        .filter(|name| !own.contains_key(name))
        .collect();
    report.missing = unmatched(&missing, &unexpected);
    report.unexpected = unmatched(&unexpected, &missing);
    if loading == Loading::Strict && !report.is_complete() {
        return Err(Error::msg(format!(
            "state dict does not match, nothing changed: {report}"
        )));
    }
    for (name, slot, tensor) in found {
        slot.set(&tensor).map_err(|e| e.at(name))?;
        report.loaded.push(name.clone());
    }
    Ok(report)
}

fn unmatched(names: &[&str], others: &[&str]) -> Vec<Unmatched> {
    // Comparing all with all would take long when two large unrelated networks meet.
    let compared = SHOWN.max(COMPARED / others.len().max(1));
    let describe = |(i, name): (usize, &&str)| Unmatched {
        name: (*name).to_owned(),
        nearest: if i < compared {
            nearest(name, others.iter().copied())
        } else {
            None
        },
    };
    names.iter().enumerate().map(describe).collect()
}

/// `tensor` in the shape `expected`, if that is a reshape between linear and 1x1 convolution.
pub(crate) fn fit(name: &str, expected: &[usize], tensor: &Tensor) -> Result<Tensor> {
    let got = tensor.shape();
    if got == expected {
        return Ok(tensor.clone());
    }
    let (short, long) = if got.len() < expected.len() {
        (got, expected)
    } else {
        (expected, got)
    };
    let is_pointwise = short.len() == 2
        && long
            .strip_prefix(short)
            .is_some_and(|r| r.iter().all(|&d| d == 1));
    if is_pointwise {
        return tensor.reshape(expected);
    }
    Err(Error::msg(format!(
        "{name}: expected shape {expected:?}, the state dict has {got:?}"
    )))
}

/// The text of the error that `name` is not in `dict`.
pub(crate) fn missing(name: &str, dict: &StateDict) -> String {
    let hint = nearest(name, dict.names()).map_or(String::new(), |n| format!("; nearest: {n}"));
    format!("the state dict has no tensor {name}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_usual_network_gets_its_nearest() {
        let numbered = |prefix: &str, n: usize| -> Vec<String> {
            (0..n).map(|i| format!("{prefix}.{i:05}.weight")).collect()
        };
        for (n, told) in [(20, 20), (180, 180), (5000, SHOWN)] {
            let (own, others) = (numbered("layer", n), numbered("layers", n));
            let [own, others] = [&own, &others].map(|v| v.iter().map(String::as_str).collect());
            let (own, others): (Vec<&str>, Vec<&str>) = (own, others);
            let found = unmatched(&own, &others);
            let nearest: Vec<&str> = found.iter().filter_map(|u| u.nearest.as_deref()).collect();
            assert_eq!(nearest, others[..told]);
        }
    }
}
