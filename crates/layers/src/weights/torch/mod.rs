//! State dicts that `torch.save` wrote: a pickle that describes tensors, and their storages beside it.

mod archive;
mod stream;
mod unwrap;

use std::borrow::Cow;
use std::collections::HashMap;

use striate_tensor::{Error, Result, Tensor};

use super::elements::{Endian, Kind, Stored, numel};
use super::pickle::{Objects, Storage, TensorRef};
use super::{Format, Weights};
use crate::StateDict;

pub(super) use archive::read as read_archive;
pub(super) use stream::{START, read as read_stream};

/// Bytes of tensors for each byte of a storage, at most: views may overlap, but not without end.
const MAX_OVERLAP: usize = 4;

/// Where storages are.
trait Source {
    fn endian(&self) -> Endian;

    /// The bytes of the storage of that name.
    fn storage(&self, key: &str) -> Result<Cow<'_, [u8]>>;
}

/// The tensors that an unpickled checkpoint's state dict names, over the storages of `source`.
fn weights(
    format: Format,
    pickle: &super::pickle::Pickle<'_>,
    source: &dyn Source,
) -> Result<Weights> {
    let objects = &pickle.objects;
    let found = unwrap::state_dict(objects, pickle.root)?;
    check_overlap(objects, &found.tensors)?;
    let mut loader = Loader {
        objects,
        source,
        storages: HashMap::new(),
        tensors: HashMap::new(),
    };
    let mut dict = StateDict::new();
    for (name, tensor) in found.tensors {
        let tensor = &objects.tensors[tensor];
        dict.insert(name, loader.tensor(tensor).map_err(|e| e.at(name))?);
    }
    Ok(Weights {
        state_dict: dict,
        format,
        metadata: super::Metadata::new(),
        unwrapped: found.keys,
        stripped: Vec::new(),
        ignored: found.ignored,
    })
}

/// Refuses tensors that take far more memory than their storages: copies are made of overlapping views.
fn check_overlap(objects: &Objects<'_>, tensors: &[(&str, usize)]) -> Result<()> {
    let mut stored = HashMap::new();
    let mut seen = HashMap::new();
    for &(name, i) in tensors {
        let tensor = &objects.tensors[i];
        let storage = &objects.storages[tensor.storage];
        let too_many = || Error::msg(format!("{:?} cannot be counted", tensor.shape)).at(name);
        let dims = tensor.shape.iter().zip(&tensor.strides);
        // Repeated elements take no memory.
        let own: Vec<usize> = dims.filter(|(_, s)| **s > 0).map(|(&dim, _)| dim).collect();
        let bytes = numel(&own).and_then(|n| n.checked_mul(storage.kind.size()));
        let whole = storage.numel.checked_mul(storage.kind.size());
        stored.insert(storage.key, whole.ok_or_else(too_many)?);
        seen.insert(key(storage, tensor), bytes.ok_or_else(too_many)?);
    }
    let sum = |lengths: &mut dyn Iterator<Item = &usize>| {
        lengths.fold(0usize, |sum, &len| sum.saturating_add(len))
    };
    let (held, wanted) = (sum(&mut stored.values()), sum(&mut seen.values()));
    if wanted > held.saturating_mul(MAX_OVERLAP) {
        return Err(Error::msg(format!(
            "its tensors have {wanted} bytes and their storages {held}: they overlap too often"
        )));
    }
    Ok(())
}

/// What makes two tensors the same elements.
type Key<'a> = (&'a str, (usize, usize), usize, &'a [usize], &'a [usize]);

fn key<'a>(storage: &Storage<'a>, tensor: &'a TensorRef) -> Key<'a> {
    let TensorRef {
        offset,
        shape,
        strides,
        ..
    } = tensor;
    (storage.key, storage.part, *offset, shape, strides)
}

struct Loader<'a> {
    objects: &'a Objects<'a>,
    source: &'a dyn Source,
    storages: HashMap<&'a str, (Kind, Cow<'a, [u8]>)>,
    /// Tensors that share all of their elements share their memory.
    tensors: HashMap<Key<'a>, Tensor>,
}

impl<'a> Loader<'a> {
    fn tensor(&mut self, tensor: &'a TensorRef) -> Result<Tensor> {
        let storage = &self.objects.storages[tensor.storage];
        if let Some(known) = self.tensors.get(&key(storage, tensor)) {
            return Ok(known.clone());
        }
        if !self.storages.contains_key(storage.key) {
            let bytes = self.source.storage(storage.key)?;
            self.storages.insert(storage.key, (storage.kind, bytes));
        }
        let (kind, bytes) = &self.storages[storage.key];
        let size = kind.size();
        if *kind != storage.kind || bytes.len() / size != storage.numel || bytes.len() % size != 0 {
            return Err(Error::msg(format!(
                "storage {:?} has {} bytes, and not {} elements of type {:?}",
                storage.key,
                bytes.len(),
                storage.numel,
                storage.kind
            )));
        }
        let (first, len) = storage.part;
        let stored = Stored {
            bytes: &bytes[first * size..(first + len) * size],
            kind: *kind,
            endian: self.source.endian(),
            offset: tensor.offset,
            shape: &tensor.shape,
            strides: &tensor.strides,
        };
        let new = stored.tensor()?;
        self.tensors.insert(key(storage, tensor), new.clone());
        Ok(new)
    }
}
