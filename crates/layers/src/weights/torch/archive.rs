//! The files of PyTorch since 1.6: a zip archive with `data.pkl`, and each storage an entry `data/KEY`.

use std::borrow::Cow;

use striate_tensor::{Error, Result};

use super::{Source, weights};
use crate::weights::elements::Endian;
use crate::weights::zip::Archive;
use crate::weights::{Format, Weights, pickle};

const PICKLE: &str = "data.pkl";

/// The folder in the archive that everything is in, with its slash, if this is such an archive.
fn folder<'a>(archive: &Archive<'a>) -> Option<&'a str> {
    let mut names = archive.entries().iter().map(|entry| entry.name);
    names.find_map(|name| {
        let folder = name.strip_suffix(PICKLE)?;
        (folder.is_empty() || folder.ends_with('/')).then_some(folder)
    })
}

/// The weights in an archive; `None` if it is of another kind.
pub(in crate::weights) fn read(archive: &Archive<'_>) -> Option<Result<Weights>> {
    let folder = folder(archive)?;
    Some(Storages::new(archive, folder).and_then(|storages| {
        let pickle = storages.entry(PICKLE)?;
        weights(Format::Torch, &pickle::read(&pickle)?, &storages)
    }))
}

struct Storages<'a> {
    archive: &'a Archive<'a>,
    folder: &'a str,
    endian: Endian,
}

impl<'a> Storages<'a> {
    fn new(archive: &'a Archive<'a>, folder: &'a str) -> Result<Self> {
        if archive.get(&format!("{folder}constants.pkl")).is_some() {
            let text = "a TorchScript archive holds a program; in Python, \
                torch.save(model.state_dict(), path) writes the weights alone";
            return Err(Error::msg(text));
        }
        let mut storages = Self {
            archive,
            folder,
            endian: Endian::Little,
        };
        // Files before 2.0 do not say, and are little-endian.
        if archive.get(&format!("{folder}byteorder")).is_some() {
            storages.endian = match &*storages.entry("byteorder")? {
                b"little" => Endian::Little,
                b"big" => Endian::Big,
                _ => return Err(Error::msg("its byte order is neither little nor big")),
            };
        }
        Ok(storages)
    }

    fn entry(&self, name: &str) -> Result<Cow<'a, [u8]>> {
        let name = format!("{}{name}", self.folder);
        let entry = self.archive.get(&name);
        entry
            .ok_or_else(|| Error::msg(format!("zip archive: there is no {name:?}")))?
            .read()
    }
}

impl Source for Storages<'_> {
    fn endian(&self) -> Endian {
        self.endian
    }

    fn storage(&self, key: &str) -> Result<Cow<'_, [u8]>> {
        self.entry(&format!("data/{key}"))
    }
}
