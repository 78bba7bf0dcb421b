//! Bytes taken from the front, none that are not there.

use striate_tensor::{Error, Result};

/// A place in a slice that was read up to there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// From byte `at`, which may be past the end.
    pub(super) fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// How many bytes were taken.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The bytes that were not taken.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let rest = self.rest();
        let Some(taken) = rest.get(..len) else {
            let (at, left) = (self.at, rest.len());
            return Err(Error::msg(format!(
                "cut off: {len} bytes wanted at byte {at}, {left} are left"
            )));
        };
        self.at += len;
        Ok(taken)
    }

    /// As [`Reader::take`], for a length that may exceed what an index can be.
    pub(super) fn take_u64(&mut self, len: u64) -> Result<&'a [u8]> {
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The bytes up to the next line feed, which is taken too.
    pub(super) fn line(&mut self) -> Result<&'a [u8]> {
        let rest = self.rest();
        let Some(len) = rest.iter().position(|&b| b == b'\n') else {
            let at = self.at;
            return Err(Error::msg(format!(
                "cut off: the line at byte {at} does not end"
            )));
        };
        self.at += len + 1;
        Ok(&rest[..len])
    }
}

/// Bytes as text.
pub(super) fn text<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str> {
    str::from_utf8(bytes).map_err(|_| Error::msg(format!("{what} is not UTF-8")))
}
