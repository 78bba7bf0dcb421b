//! Weights in files, of whatever kind: safetensors, PyTorch's and NumPy's.
//!
//! ```no_run
//! # use striate_layers::{Loading, Sequential, load_state_dict, weights};
//! # let net = Sequential::new();
//! let weights = weights::load("resnet18.pth")?;
//! println!("{weights}");
//! let report = load_state_dict(&net, &weights.state_dict, Loading::Strict)?;
//! println!("{report}");
//! # Ok::<(), striate_tensor::Error>(())
//! ```
//!
//! What a file is is told from its content, not from its name. No file is trusted: nothing in it is run, and sizes, offsets
//! and counts are checked before anything is allocated. What is damaged or of another kind is an error that says so.
//!
//! A large file is mapped into memory while it is read, and its tensors are copies: they do not change with it.
//!
//! Half precision becomes f32, integers i64 and booleans bytes, all exactly.

mod elements;
mod format;
mod npy;
mod pickle;
mod reader;
#[cfg(test)]
mod tests;
mod torch;
mod zip;

use std::fmt;
use std::io;
use std::path::Path;

use striate_tensor::{Error, FileBytes, Result};

pub(crate) use self::elements::{Endian, Kind, Stored, row_major};
pub use self::format::Format;
use self::format::Found;
use crate::StateDict;
use crate::safetensors::{self, Metadata};

/// What a file has, and how it was found in it.
#[derive(Clone, Debug)]
pub struct Weights {
    /// The tensors by name.
    pub state_dict: StateDict,
    /// What kind of file it is.
    pub format: Format,
    /// What a safetensors file holds beside its tensors.
    pub metadata: Metadata,
    /// The keys of a checkpoint under which the state dict was: `state_dict`, say, when the file has the epoch beside it.
    pub unwrapped: Vec<String>,
    /// What was taken off the front of every name: `module.`, which data parallel training leaves there, and `_orig_mod.`,
    /// which compiling does.
    pub stripped: Vec<&'static str>,
    /// What lies beside the tensors and was not looked at.
    pub ignored: Vec<String>,
}

/// Reads a file with weights.
///
/// # Errors
/// It cannot be read, is of no known kind, is damaged, or has more than tensors where they are expected.
pub fn load(path: impl AsRef<Path>) -> Result<Weights> {
    let path = path.as_ref();
    let file = contents(path)?;
    read(&file, || safetensors::from_file(&file)).map_err(|e| e.at(&path.display().to_string()))
}

/// The bytes of a file; an error names it.
pub(crate) fn contents(path: &Path) -> Result<FileBytes> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    Ok(FileBytes::open(path).map_err(named)?)
}

/// Reads the bytes of a file with weights.
///
/// # Errors
/// As [`load`].
pub fn from_bytes(bytes: &[u8]) -> Result<Weights> {
    read(bytes, || safetensors::from_bytes(bytes))
}

/// Reads the bytes of a file, by `safetensors` if it is one of those.
fn read(
    bytes: &[u8],
    safetensors: impl FnOnce() -> Result<(StateDict, Metadata)>,
) -> Result<Weights> {
    let mut weights = match format::detect(bytes)? {
        Found::Safetensors => {
            let (state_dict, metadata) = safetensors()?;
            Weights {
                state_dict,
                format: Format::Safetensors,
                metadata,
                unwrapped: Vec::new(),
                stripped: Vec::new(),
                ignored: Vec::new(),
            }
        }
        Found::TorchStream => torch::read_stream(bytes)?,
        Found::Zip => {
            let archive = zip::Archive::new(bytes)?;
            match torch::read_archive(&archive) {
                Some(weights) => weights?,
                None if npy::is_npz(&archive) => npy::read_npz(&archive)?,
                None => {
                    let text = "a zip archive without data.pkl, which PyTorch writes, and without .npy arrays";
                    return Err(Error::msg(text));
                }
            }
        }
    };
    weights.strip();
    Ok(weights)
}

impl StateDict {
    /// The tensors of a file with weights: see [`weights`](self).
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Ok(load(path)?.state_dict)
    }
}

impl Weights {
    /// Takes off what wrappers of a network put before every name.
    fn strip(&mut self) {
        let wrapper = |dict: &StateDict| {
            let mut known = ["module.", "_orig_mod."].into_iter();
            known.find(|wrapper| {
                let mut names = dict.names();
                !dict.is_empty() && names.all(|n| n.len() > wrapper.len() && n.starts_with(wrapper))
            })
        };
        while let Some(wrapper) = wrapper(&self.state_dict) {
            let old = std::mem::take(&mut self.state_dict).into_iter();
            let rest = |name: String| name[wrapper.len()..].to_owned();
            self.state_dict = old.map(|(name, tensor)| (rest(name), tensor)).collect();
            self.stripped.push(wrapper);
        }
    }
}

/// How many names a description spells out.
const SHOWN: usize = 8;

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.state_dict.len();
        let s = if count == 1 { "" } else { "s" };
        write!(f, "{}, {count} tensor{s}", self.format)?;
        if !self.unwrapped.is_empty() {
            write!(f, ", found under {}", self.unwrapped.join("."))?;
        }
        if !self.stripped.is_empty() {
            write!(f, ", names without {}", self.stripped.concat())?;
        }
        if !self.ignored.is_empty() {
            let shown = &self.ignored[..self.ignored.len().min(SHOWN)];
            write!(f, ", ignored: {}", shown.join(", "))?;
        }
        if self.ignored.len() > SHOWN {
            write!(f, " and {} more", self.ignored.len() - SHOWN)?;
        }
        Ok(())
    }
}
