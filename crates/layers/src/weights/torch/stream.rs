//! The files of PyTorch before 1.6: five pickles, then the storages one after the other.
//!
//! The pickles are a magic number, a version, what the machine was like, the object itself, and the keys of the storages in the
//! order in which these follow: the number of elements, then the elements.

use std::borrow::Cow;
use std::collections::HashMap;

use striate_tensor::{Error, Result};

use super::{Source, weights};
use crate::weights::elements::Endian;
use crate::weights::pickle::{Objects, Pickle, Value};
use crate::weights::reader::Reader;
use crate::weights::{Format, Weights, pickle};

/// The pickle of the magic number.
pub(in crate::weights) const START: &[u8] = &[
    0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.',
];

const VERSION: i64 = 1001;

/// The weights in a file that begins with [`START`].
pub(in crate::weights) fn read(bytes: &[u8]) -> Result<Weights> {
    let mut input = Reader::from(bytes, START.len());
    let version = next(&mut input)?;
    if !matches!(version.root, Value::Int(VERSION)) {
        return Err(Error::msg(
            "the version of the file is not 1001, the only one",
        ));
    }
    let machine = next(&mut input)?;
    let endian = match machine.root {
        Value::Dict(dict) => match machine.objects.get(dict, "little_endian") {
            Some(Value::Bool(true)) => Endian::Little,
            Some(Value::Bool(false)) => Endian::Big,
            _ => return Err(Error::msg("its byte order is missing")),
        },
        _ => return Err(Error::msg("its byte order is missing")),
    };
    let object = next(&mut input)?;
    let keys = next(&mut input)?;
    let storages = Storages {
        endian,
        bytes: storages(&mut input, &keys, &object.objects, endian)?,
    };
    weights(Format::TorchLegacy, &object, &storages)
}

fn next<'a>(input: &mut Reader<'a>) -> Result<Pickle<'a>> {
    let pickle = pickle::read(input.rest())?;
    input.take(pickle.len)?;
    Ok(pickle)
}

/// The bytes of each storage.
fn storages<'a>(
    input: &mut Reader<'a>,
    keys: &Pickle<'a>,
    objects: &Objects<'a>,
    endian: Endian,
) -> Result<HashMap<&'a str, &'a [u8]>> {
    let Value::List(keys_list) = keys.root else {
        return Err(Error::msg("the keys of its storages are no list"));
    };
    let sizes: HashMap<&str, usize> = objects
        .storages
        .iter()
        .map(|storage| (storage.key, storage.kind.size()))
        .collect();
    let mut found = HashMap::new();
    for key in &keys.objects.lists[keys_list] {
        let key = key.text()?;
        let size = sizes.get(key);
        let size = *size.ok_or_else(|| Error::msg(format!("no tensor uses storage {key:?}")))?;
        let header = input.array()?;
        let numel = match endian {
            Endian::Little => u64::from_le_bytes(header),
            Endian::Big => u64::from_be_bytes(header),
        };
        let bytes = input
            .take_u64(numel.saturating_mul(size as u64))
            .map_err(|e| Error::msg(format!("storage {key:?}: {e}")))?;
        if found.insert(key, bytes).is_some() {
            return Err(Error::msg(format!("storage {key:?} is there twice")));
        }
    }
    match input.rest() {
        [] => Ok(found),
        rest => Err(Error::msg(format!(
            "{} bytes follow the last storage",
            rest.len()
        ))),
    }
}

struct Storages<'a> {
    endian: Endian,
    bytes: HashMap<&'a str, &'a [u8]>,
}

impl Source for Storages<'_> {
    fn endian(&self) -> Endian {
        self.endian
    }

    fn storage(&self, key: &str) -> Result<Cow<'_, [u8]>> {
        let bytes = self.bytes.get(key).copied();
        let bytes = bytes.ok_or_else(|| Error::msg(format!("there is no storage {key:?}")))?;
        Ok(Cow::Borrowed(bytes))
    }
}
