//! Reading and writing small files whole.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use striate_layers::safetensors::write_atomically;

use crate::error::{Error, Result, malformed};

/// Replaces the file at `path`, completely or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically(path, bytes).map_err(|e| Error::io("write", path, e))
}

/// The contents of a file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let failed = |e| Error::io("read", path, e);
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Error::malformed(
            path,
            malformed!("more than {limit} bytes"),
        ));
    }
    Ok(bytes)
}
