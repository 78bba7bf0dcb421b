//! What kind of file bytes are.

use std::fmt;

use striate_tensor::{Error, Result};

use super::{npy, torch};

/// A kind of file with weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// `.safetensors`
    Safetensors,
    /// What `torch.save` of PyTorch 1.6 and later writes: a zip archive.
    Torch,
    /// What `torch.save` wrote before: a stream of pickles.
    TorchLegacy,
    /// What `numpy.savez` and `numpy.savez_compressed` write.
    Npz,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::Torch => "PyTorch",
            Self::TorchLegacy => "PyTorch before 1.6",
            Self::Npz => "npz",
        })
    }
}

/// What the first bytes tell.
pub(super) enum Found {
    Safetensors,
    TorchStream,
    /// One of those that are zip archives.
    Zip,
}

/// What else is found in files with these names, and what to do about it.
const OTHERS: &[(&[u8], &str)] = &[
    (
        npy::MAGIC,
        "a single array of NumPy, which has no name: numpy.savez writes named ones",
    ),
    (
        b"\x80",
        "a pickle, and not one of torch.save: in Python, torch.save(model.state_dict(), path) writes weights",
    ),
    (b"\x1f\x8b", "compressed by gzip: unpack it first"),
    (
        b"\x89HDF\r\n",
        "HDF5, which is not read: safetensors, PyTorch's and NumPy's files are",
    ),
    (
        b"version https://git-lfs",
        "a pointer of Git LFS in place of the file: `git lfs pull` gets it",
    ),
    (b"<", "markup, such as a web page in place of a download"),
];

/// The kind of a file from its content.
pub(super) fn detect(bytes: &[u8]) -> Result<Found> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Ok(Found::Zip);
    }
    if bytes.starts_with(torch::START) {
        return Ok(Found::TorchStream);
    }
    // The length of the header, and its beginning.
    if bytes.get(8) == Some(&b'{') {
        return Ok(Found::Safetensors);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        let text =
            "a tar archive, as PyTorch wrote it before 0.1.10: save it again with a later one";
        return Err(Error::msg(text));
    }
    if bytes.is_empty() {
        return Err(Error::msg("the file is empty"));
    }
    let other = OTHERS.iter().find(|(start, _)| bytes.starts_with(start));
    let what = other.map_or(
        "neither safetensors nor a file of torch.save or numpy.savez",
        |&(_, what)| what,
    );
    Err(Error::msg(format!("no weights: this is {what}")))
}
