//! Whole-file writes that either happen or do not.
//!
//! The contents go to a temporary file in the same folder, are synced to the disk, and take the final name in one rename.
//! Until then a file of that name keeps its old contents; on any error (a full disk, an interrupt) the temporary file is
//! removed and the old file stays.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Replaces the file at `path` by what `fill` writes.
///
/// # Errors
/// When the file cannot be created, written, synced or renamed, or when `fill` fails: the old file is then untouched.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let temporary = Temporary::beside(path).map_err(|e| Error::io("write", path, e))?;
    temporary
        .commit(path, fill)
        .map_err(|e| Error::io("write", path, e))
}

/// [`write`](fn@write) of bytes that are already in memory.
///
/// # Errors
/// As [`write`](fn@write).
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, |w| w.write_all(bytes))
}

/// A file that is removed when dropped, unless it took its final name.
struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    fn beside(target: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = target.file_name().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path does not end in a file name",
            )
        })?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut unique = std::ffi::OsString::from(".");
        unique.push(name);
        unique.push(format!(".{}-{count}.tmp", std::process::id()));
        let path = target.with_file_name(unique);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        Ok(Self { file, path })
    }

    fn commit(
        self,
        target: &Path,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut buffered = BufWriter::with_capacity(1 << 16, &self.file);
        fill(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        sync_folder(target)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing of this name left to remove.
        let _ = fs::remove_file(&self.path);
    }
}

/// A rename lasts through a power cut only once the folder itself is synced.
#[cfg(unix)]
fn sync_folder(target: &Path) -> io::Result<()> {
    let folder = match target.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_target: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn replaces_the_contents_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write_bytes(&path, b"first").unwrap();
        write_bytes(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn a_failed_write_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write_bytes(&path, b"old").unwrap();
        let full = |w: &mut dyn Write| {
            w.write_all(&[7; 100_000])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        let message = write(&path, full).unwrap_err().to_string();
        assert!(
            message.starts_with("cannot write ") && message.contains("a.bin"),
            "{message}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn a_missing_folder_is_one_clear_line() {
        let folder = tempfile::tempdir().unwrap();
        let message = write_bytes(&folder.path().join("no/a.bin"), b"")
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("no/a.bin") && !message.contains('\n'),
            "{message}"
        );
    }

    #[test]
    fn a_real_full_disk_is_an_error_too() {
        if Path::new("/dev/full").exists() {
            let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
            let temporary = Temporary {
                file,
                path: PathBuf::from("/nonexistent/never"),
            };
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("a.bin");
            let error = temporary
                .commit(&target, |w| w.write_all(&[1; 10]))
                .unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert!(!target.exists());
        }
    }
}
