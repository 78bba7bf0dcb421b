//! Files are read and mapped alike.

use std::fs;
use std::path::PathBuf;

use striate_simd::FileBytes;

/// A file in the folder for such, removed at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(bytes: &[u8]) -> Self {
        let name = format!("file-bytes-{}-{}", std::process::id(), bytes.len());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, bytes).expect("a file can be written");
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn files_of_every_size_have_their_bytes() {
    for len in [0, 1, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 5] {
        let bytes: Vec<u8> = (0..len).map(|i: usize| (i % 251) as u8).collect();
        let file = Temporary::new(&bytes);
        let read = FileBytes::open(&file.0).expect("just written");
        assert!(*read == *bytes, "{len} bytes");
    }
}

#[test]
fn what_is_no_file_is_an_error() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    assert!(FileBytes::open(&folder).is_err());
    assert!(FileBytes::open(&folder.join("no-such-file")).is_err());
    // It never ends.
    #[cfg(unix)]
    assert!(FileBytes::open("/dev/zero".as_ref()).is_err());
}
