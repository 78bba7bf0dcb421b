//! Whole files as bytes.
#![expect(unsafe_code, reason = "a file mapped into memory")]

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

/// A file of this size or larger is mapped.
const LARGE: u64 = 1 << 20;

/// The contents of a file: read if it is small, mapped into memory if it is large, so that its bytes are read once, when they
/// are used.
///
/// As long as this lives the file must not be cut off: then the system ends the process. So use it to make something of
/// the bytes, and let go of it.
pub struct FileBytes(Contents);

enum Contents {
    Read(Vec<u8>),
    Mapped {
        map: Mmap,
        #[cfg(unix)]
        file: File,
    },
}

impl FileBytes {
    /// The contents of the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or is something else than a file: what does not end is not waited for.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        if metadata.len() >= LARGE {
            // SAFETY: the mapping is for reading alone, and the bytes are only ever taken as numbers whose bounds are checked
            // where they are used: another process that writes to the file changes what is read and nothing else.
            let map = unsafe { Mmap::map(&file) };
            if let Ok(map) = map {
                return Ok(Self(Contents::Mapped {
                    map,
                    #[cfg(unix)]
                    file,
                }));
            }
        }
        // Not longer than it was, should it grow meanwhile.
        let len = metadata.len();
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(usize::try_from(len).unwrap_or(usize::MAX))?;
        file.take(len).read_to_end(&mut bytes)?;
        Ok(Self(Contents::Read(bytes)))
    }

    /// Copies the bytes from `start` on to `target`, on Unix without touching the mapping: what is read so takes no memory
    /// besides `target`, and a file that was cut off meanwhile is an error.
    ///
    /// # Errors
    /// They are not all there, or cannot be read.
    pub fn read_at(&self, start: usize, target: &mut [u8]) -> io::Result<()> {
        let end = start.checked_add(target.len());
        let end = end.filter(|&end| end <= self.len());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        #[cfg(unix)]
        if let Contents::Mapped { file, .. } = &self.0 {
            return std::os::unix::fs::FileExt::read_exact_at(file, target, start as u64);
        }
        target.copy_from_slice(&self[start..end]);
        Ok(())
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Contents::Read(bytes) => bytes,
            Contents::Mapped { map, .. } => map,
        }
    }
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileBytes({} bytes)", self.len())
    }
}
