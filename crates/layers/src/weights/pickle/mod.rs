//! Pickles as data: a machine that runs nothing.
//!
//! Python's pickles are programs, and unpickling runs what they name. This machine knows the instructions and the few names
//! that a state dict needs, builds lists, dicts and descriptions of tensors from them, and refuses every other one. Objects
//! refer to each other by number: what is nested deeply takes no stack, and what is referred to often takes its memory once.

mod globals;
mod machine;
#[cfg(test)]
mod tests;

use striate_tensor::{Error, Result};

use super::elements::Kind;
pub(super) use globals::Global;

/// What a pickle describes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// What no state dict is made of, though a checkpoint may hold it: a float, an integer of more than 64 bits, bytes.
    Other,
    Text(&'a str),
    Global(Global),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

/// A run of elements that lies outside the pickle.
#[derive(Clone, Debug)]
pub(super) struct Storage<'a> {
    /// What it is called outside.
    pub(super) key: &'a str,
    pub(super) kind: Kind,
    /// How many elements the whole has.
    pub(super) numel: usize,
    /// Which of them a view of it takes: the first, and how many.
    pub(super) part: (usize, usize),
}

/// A tensor over a storage.
#[derive(Clone, Debug)]
pub(super) struct TensorRef {
    /// The number of its storage.
    pub(super) storage: usize,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// What a pickle built, by kind and number.
#[derive(Debug, Default)]
pub(super) struct Objects<'a> {
    pub(super) tuples: Vec<Vec<Value<'a>>>,
    pub(super) lists: Vec<Vec<Value<'a>>>,
    /// Keys and values in order; of equal keys the last one counts.
    pub(super) dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub(super) storages: Vec<Storage<'a>>,
    pub(super) tensors: Vec<TensorRef>,
}

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) root: Value<'a>,
    pub(super) objects: Objects<'a>,
    /// Its length.
    pub(super) len: usize,
}

/// Reads the pickle that `bytes` begin with.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle<'_>> {
    machine::Machine::new(bytes).run()
}

impl<'a> Value<'a> {
    /// What kind of value it is, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Other => "a number or bytes",
            Self::Text(_) => "a text",
            Self::Global(_) => "a name",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }

    /// A number of elements, of storages or of a tensor.
    pub(super) fn count(self) -> Result<usize> {
        match self {
            Self::Int(n) => {
                usize::try_from(n).map_err(|_| Error::msg(format!("{n} is no number of elements")))
            }
            other => Err(wanted("a number of elements", other)),
        }
    }

    pub(super) fn text(self) -> Result<&'a str> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(wanted("a text", other)),
        }
    }
}

impl<'a> Objects<'a> {
    /// The last value that a dict has for a key.
    pub(super) fn get(&self, dict: usize, key: &str) -> Option<Value<'a>> {
        let entries = self.dicts[dict].iter().rev();
        let mut found = entries.filter(|(k, _)| matches!(k, Value::Text(k) if *k == key));
        found.next().map(|&(_, value)| value)
    }
}

/// The error that a value is of another kind.
pub(super) fn wanted(what: &str, got: Value<'_>) -> Error {
    Error::msg(format!("{what} was expected, got {}", got.name()))
}
