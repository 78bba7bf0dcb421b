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
        let mut part = vec![0; len / 2];
        read.read_at(len - part.len(), &mut part).expect("inside");
        assert!(*part == bytes[len - part.len()..], "{len} bytes");
        for start in [len - part.len() + 1, usize::MAX] {
            let outside = read.read_at(start, &mut [part.clone(), vec![0]].concat());
            let error = outside.expect_err("outside");
            assert_eq!(
                error.kind(),
                std::io::ErrorKind::UnexpectedEof,
                "{start} of {len}"
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_was_cut_off_is_an_error() {
    let file = Temporary::new(&vec![1; (1 << 20) + 77]);
    let read = FileBytes::open(&file.0).expect("just written");
    fs::write(&file.0, [2; 100]).expect("still there");
    let mut bytes = [0; 50];
    read.read_at(50, &mut bytes).expect("still inside");
    assert_eq!(bytes, [2; 50]);
    assert!(read.read_at(51, &mut bytes).is_err());
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
