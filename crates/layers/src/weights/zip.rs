//! Zip archives: the container of PyTorch's files and of `.npz`.
//!
//! The directory at the end of the file says what is where. All of it is checked before anything is read: every entry lies inside
//! the file, no two overlap, and none claims to be larger than its compressed bytes can make it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use striate_tensor::{Error, Result};

use super::reader::{Reader, text};

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

/// Lengths of the records without what is of variable length.
const LOCAL_LEN: usize = 30;
const CENTRAL_LEN: usize = 46;
const END_LEN: usize = 22;
const LOCATOR_64_LEN: usize = 20;

/// A deflated byte stands for no more than these.
const MAX_RATIO: u64 = 1032;

/// A file in an archive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    /// Its length when it is not compressed.
    pub(super) len: u64,
    compressed: &'a [u8],
    method: u16,
    crc: u32,
}

/// An archive whose directory was read and checked.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    entries: Vec<Entry<'a>>,
    index: HashMap<&'a str, usize>,
}

impl<'a> Archive<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self> {
        let directory = Directory::find(bytes)?;
        // Each entry takes its fixed length at least: a count that exceeds that is wrong before anything is allocated for it.
        if directory.entries > (directory.bytes.len() / CENTRAL_LEN) as u64 {
            return Err(damaged("it has fewer entries than it says"));
        }
        let mut archive = Self {
            entries: Vec::new(),
            index: HashMap::new(),
        };
        let mut input = Reader::new(directory.bytes);
        let mut ranges = Vec::new();
        for _ in 0..directory.entries {
            let (entry, range) = entry(&mut input, &bytes[..directory.start])?;
            if archive
                .index
                .insert(entry.name, archive.entries.len())
                .is_some()
            {
                return Err(damaged(&format!("{:?} is there twice", entry.name)));
            }
            archive.entries.push(entry);
            ranges.push(range);
        }
        ranges.sort_unstable();
        if ranges.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return Err(damaged("two entries overlap"));
        }
        Ok(archive)
    }

    pub(super) fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry<'a>> {
        self.index.get(name).map(|&i| &self.entries[i])
    }
}

/// The central directory.
struct Directory<'a> {
    bytes: &'a [u8],
    start: usize,
    entries: u64,
}

impl<'a> Directory<'a> {
    fn find(bytes: &'a [u8]) -> Result<Self> {
        let end = end_record(bytes).ok_or_else(|| damaged("its directory is missing"))?;
        let mut input = Reader::from(bytes, end + 4);
        let [disk, first_disk] = [input.u16()?, input.u16()?];
        let [here, entries] = [input.u16()?, input.u16()?].map(u64::from);
        let [len, start] = [input.u32()?, input.u32()?].map(u64::from);
        let mut directory = (here, entries, len, start);
        let mut limit = end;
        // Where a number does not fit, it is in the larger records before this one.
        if let Some(at) = end.checked_sub(LOCATOR_64_LEN)
            && let mut locator = Reader::from(bytes, at)
            && locator.u32()? == LOCATOR_64
        {
            let _disk = locator.u32()?;
            let record = locator.u64()?;
            let at_record = usize::try_from(record).ok().filter(|&r| r < at);
            limit = at_record.ok_or_else(|| damaged("its directory is outside the file"))?;
            let mut input = Reader::from(bytes, limit);
            if input.u32()? != END_64 {
                return Err(damaged("its directory is missing"));
            }
            // The record's length, versions, and numbers of disks.
            input.take(8 + 2 + 2 + 4 + 4)?;
            directory = (input.u64()?, input.u64()?, input.u64()?, input.u64()?);
        }
        let (here, entries, len, start) = directory;
        if disk != first_disk || here != entries {
            return Err(damaged("archives in several parts are not supported"));
        }
        let range = start.checked_add(len).filter(|&e| e <= limit as u64);
        let (Some(_), Ok(start), Ok(len)) = (range, usize::try_from(start), usize::try_from(len))
        else {
            return Err(damaged("its directory is outside the file"));
        };
        Ok(Self {
            bytes: &bytes[start..start + len],
            start,
            entries,
        })
    }
}

/// Where the last record is: it ends with a comment of a length that it tells.
fn end_record(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(END_LEN)?;
    let first = last.saturating_sub(u16::MAX.into());
    (first..=last).rev().find(|&at| {
        let mut comment = Reader::from(bytes, at + END_LEN - 2);
        bytes[at..].starts_with(&END.to_le_bytes())
            && comment.u16().is_ok_and(|len| usize::from(len) == last - at)
    })
}

/// The next entry of the directory, and which bytes of `data`, that which lies before the directory, it takes.
fn entry<'a>(input: &mut Reader<'a>, data: &'a [u8]) -> Result<(Entry<'a>, (usize, usize))> {
    let cut = |_| damaged("its directory is cut off");
    if input.u32().map_err(cut)? != CENTRAL {
        return Err(damaged("its directory has an unknown record"));
    }
    // Versions, then flags.
    input.take(4).map_err(cut)?;
    let flags = input.u16().map_err(cut)?;
    let method = input.u16().map_err(cut)?;
    // Time and date.
    input.take(4).map_err(cut)?;
    let crc = input.u32().map_err(cut)?;
    let mut sizes = [input.u32().map_err(cut)?, input.u32().map_err(cut)?].map(u64::from);
    let [name_len, extra_len, comment_len] = [
        input.u16().map_err(cut)?,
        input.u16().map_err(cut)?,
        input.u16().map_err(cut)?,
    ]
    .map(usize::from);
    // The number of the disk, attributes.
    input.take(2 + 2 + 4).map_err(cut)?;
    let mut start = u64::from(input.u32().map_err(cut)?);
    let name = text("the name of an entry", input.take(name_len).map_err(cut)?)?;
    let extra = input.take(extra_len).map_err(cut)?;
    input.take(comment_len).map_err(cut)?;
    let refuse = |what: &str| damaged(&format!("{name:?} {what}"));
    // Numbers of 64 bits, in this order, of those that do not fit.
    let [compressed_len, len] = &mut sizes;
    let mut wide = wide_numbers(extra).unwrap_or(Reader::new(&[]));
    for number in [len, compressed_len, &mut start] {
        if *number == u64::from(u32::MAX)
            && let Ok(own) = wide.u64()
        {
            *number = own;
        }
    }
    let [compressed_len, len] = sizes;
    if flags & 1 != 0 {
        return Err(refuse("is encrypted"));
    }
    let possible = match method {
        0 => compressed_len == len,
        8 => len <= compressed_len.saturating_mul(MAX_RATIO),
        other => {
            return Err(refuse(&format!(
                "has compression method {other}: 0 and 8 (deflate) are known"
            )));
        }
    };
    if !possible {
        return Err(refuse(&format!(
            "has {compressed_len} bytes and cannot be {len} bytes long"
        )));
    }
    let start = usize::try_from(start).map_err(|_| refuse("is outside the file"))?;
    let mut local = Reader::from(data, start);
    let header = local.u32().map_err(|_| refuse("is outside the file"))?;
    if header != LOCAL {
        return Err(refuse("is not where the directory says"));
    }
    let outside = |_| refuse("is cut off");
    local.take(LOCAL_LEN - 4 - 4).map_err(outside)?;
    let [name_len, extra_len] = [local.u16().map_err(outside)?, local.u16().map_err(outside)?];
    let own_name = local.take(name_len.into()).map_err(outside)?;
    if own_name != name.as_bytes() {
        return Err(refuse("has another name in the directory"));
    }
    local.take(extra_len.into()).map_err(outside)?;
    let compressed = local.take_u64(compressed_len).map_err(outside)?;
    let entry = Entry {
        name,
        len,
        compressed,
        method,
        crc,
    };
    Ok((entry, (start, local.at())))
}

/// What an entry's extra field has of 64-bit numbers.
fn wide_numbers(extra: &[u8]) -> Option<Reader<'_>> {
    let mut input = Reader::new(extra);
    loop {
        let [id, len] = [input.u16().ok()?, input.u16().ok()?];
        let field = input.take(len.into()).ok()?;
        if id == 1 {
            return Some(Reader::new(field));
        }
    }
}

impl<'a> Entry<'a> {
    /// Its contents, compared with their checksum.
    pub(super) fn read(&self) -> Result<Cow<'a, [u8]>> {
        let contents = match self.method {
            0 => Cow::Borrowed(self.compressed),
            _ => Cow::Owned(self.inflate(self.len)?),
        };
        let mut crc = Crc::new();
        crc.update(&contents);
        // PyTorch writes 0 if it is told to compute none.
        if self.crc != 0 && crc.sum() != self.crc {
            return Err(self.refuse("is damaged: its checksum is another"));
        }
        Ok(contents)
    }

    /// The first `len` bytes of its contents, or all if they are fewer.
    pub(super) fn start(&self, len: u64) -> Result<Cow<'a, [u8]>> {
        match self.method {
            0 => {
                let len = self
                    .compressed
                    .len()
                    .min(usize::try_from(len).unwrap_or(usize::MAX));
                Ok(Cow::Borrowed(&self.compressed[..len]))
            }
            _ => Ok(Cow::Owned(self.inflate(len.min(self.len))?)),
        }
    }

    fn inflate(&self, len: u64) -> Result<Vec<u8>> {
        let mut contents = Vec::new();
        let reserved = usize::try_from(len)
            .ok()
            .map(|len| contents.try_reserve_exact(len));
        if !matches!(reserved, Some(Ok(()))) {
            return Err(self.refuse(&format!("has {len} bytes: there is no memory for them")));
        }
        // One more byte than the whole can have shows that it ends where it should.
        let limit = if len == self.len {
            len.saturating_add(1)
        } else {
            len
        };
        let mut input = DeflateDecoder::new(self.compressed).take(limit);
        input
            .read_to_end(&mut contents)
            .map_err(|e| self.refuse(&format!("is damaged: {e}")))?;
        if contents.len() as u64 != len {
            return Err(self.refuse(&format!(
                "does not have the {len} bytes that the directory says"
            )));
        }
        Ok(contents)
    }

    fn refuse(&self, what: &str) -> Error {
        damaged(&format!("{:?} {what}", self.name))
    }
}

fn damaged(what: &str) -> Error {
    Error::msg(format!("zip archive: {what}"))
}
