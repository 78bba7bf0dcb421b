//! Reads a file whole, plain or gzip, within a limit.
//!
//! Which of the two it is shows in its first bytes, not in its name. Memory grows with what is really there, never with
//! what a header claims, and a stream that inflates beyond the limit is an error.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Malformed, Result, malformed};

/// The largest data file that is read: 1 GiB, after decompression.
pub const MAX_BYTES: u64 = 1 << 30;

const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The contents of `path`, decompressed if it is a gzip file.
///
/// # Errors
/// When the file cannot be read, is a damaged gzip file, or holds more than `limit` bytes.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
    let mut bytes = Vec::new();
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|e| Error::io("read", path, e))?;
    let inflated = inflate(bytes, limit).map_err(|e| Error::malformed(path, e))?;
    Ok(inflated)
}

/// `bytes`, decompressed if they begin as a gzip stream does.
///
/// # Errors
/// When the stream is damaged or the result is longer than `limit`.
pub fn inflate(bytes: Vec<u8>, limit: u64) -> Result<Vec<u8>, Malformed> {
    if !bytes.starts_with(&MAGIC) {
        return check_length(bytes, limit);
    }
    let mut inflated = Vec::new();
    MultiGzDecoder::new(bytes.as_slice())
        .take(limit.saturating_add(1))
        .read_to_end(&mut inflated)
        .map_err(|e| malformed!("damaged gzip file ({e})"))?;
    check_length(inflated, limit)
}

fn check_length(bytes: Vec<u8>, limit: u64) -> Result<Vec<u8>, Malformed> {
    if bytes.len() as u64 > limit {
        return Err(malformed!("more than {limit} bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
pub(crate) fn deflated(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_gzip_read_the_same() {
        let text = b"some text, some text".to_vec();
        assert_eq!(inflate(text.clone(), 100).unwrap(), text);
        assert_eq!(inflate(deflated(&text), 100).unwrap(), text);
    }

    #[test]
    fn a_bomb_is_an_error() {
        let bomb = deflated(&vec![0; 10_000_000]);
        assert!(bomb.len() < 20_000);
        assert_eq!(
            inflate(bomb, 20_000).unwrap_err().to_string(),
            "more than 20000 bytes"
        );
    }

    #[test]
    fn a_truncated_or_changed_stream_is_an_error() {
        let bytes = deflated(&(0..=255).collect::<Vec<u8>>());
        for cut in 2..bytes.len() {
            let message = inflate(bytes[..cut].to_vec(), 1000)
                .unwrap_err()
                .to_string();
            assert!(message.starts_with("damaged gzip file"), "{cut}: {message}");
        }
        let mut changed = bytes.clone();
        let middle = bytes.len() / 2;
        changed[middle] ^= 0x10;
        assert!(inflate(changed, 1000).is_err());
        let mut longer = bytes;
        longer.push(b'x');
        assert!(inflate(longer, 1000).is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = read_file(Path::new("no/such.idx"), 10)
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("cannot read no/such.idx: "),
            "{message}"
        );
    }
}
