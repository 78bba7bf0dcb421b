//! NumPy's files: `.npz`, a zip archive of arrays, each a `.npy` file.

use striate_tensor::{Error, Result, Tensor};

use super::elements::{Endian, Kind, Stored, column_major, numel, row_major};
use super::reader::{Reader, text};
use super::zip::{Archive, Entry};
use super::{Format, Metadata, Weights};
use crate::StateDict;

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// No header is longer: NumPy itself reads 10,000 bytes.
const MAX_HEADER: u32 = 1 << 16;

const SUFFIX: &str = ".npy";

/// Whether an archive is of arrays.
pub(super) fn is_npz(archive: &Archive<'_>) -> bool {
    let mut names = archive.entries().iter().map(|entry| entry.name);
    names.any(|name| name.ends_with(SUFFIX))
}

/// The arrays of an archive by their names. What is no array is ignored.
pub(super) fn read_npz(archive: &Archive<'_>) -> Result<Weights> {
    let mut dict = StateDict::new();
    let mut ignored = Vec::new();
    for entry in archive.entries() {
        match entry.name.strip_suffix(SUFFIX) {
            Some(name) => dict.insert(name, array(entry).map_err(|e| e.at(name))?),
            None => ignored.push(entry.name.to_owned()),
        }
    }
    Ok(Weights {
        state_dict: dict,
        format: Format::Npz,
        metadata: Metadata::new(),
        unwrapped: Vec::new(),
        stripped: Vec::new(),
        ignored,
    })
}

/// The array of an entry, which must be as long as its header says before it is decompressed.
fn array(entry: &Entry<'_>) -> Result<Tensor> {
    let start = entry.start(u64::from(MAX_HEADER) + 12)?;
    let header = Header::read(&start)?;
    let elements = numel(&header.shape).and_then(|n| n.checked_mul(header.kind.size()));
    let len = elements.and_then(|bytes| bytes.checked_add(header.len));
    if len.is_none_or(|len| len as u64 != entry.len) {
        let (shape, len) = (&header.shape, entry.len);
        return Err(Error::msg(format!(
            "an array of shape {shape:?} cannot have {len} bytes"
        )));
    }
    let contents = entry.read()?;
    let strides = if header.fortran {
        column_major(&header.shape)
    } else {
        row_major(&header.shape)
    };
    Stored {
        bytes: &contents[header.len..],
        kind: header.kind,
        endian: header.endian,
        offset: 0,
        shape: &header.shape,
        strides: &strides.unwrap_or_default(),
    }
    .tensor()
}

/// What comes before the elements.
#[derive(Debug, PartialEq)]
struct Header {
    len: usize,
    kind: Kind,
    endian: Endian,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self> {
        let mut input = Reader::new(bytes);
        if input.take(MAGIC.len())? != MAGIC {
            return Err(Error::msg("this is no .npy file"));
        }
        let [major, _minor] = input.array()?;
        let len = match major {
            1 => u32::from(input.u16()?),
            2 | 3 => input.u32()?,
            other => return Err(Error::msg(format!(".npy version {other} is not known"))),
        };
        if len > MAX_HEADER {
            return Err(Error::msg(format!("a header of {len} bytes")));
        }
        let dict = text("the header", input.take_u64(len.into())?)?;
        let mut header = Literal(dict).header()?;
        header.len = input.at();
        Ok(header)
    }
}

/// What is left of a Python literal: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn header(mut self) -> Result<Header> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.found('}') {
            let key = self.string()?;
            self.expect(':')?;
            match key {
                "descr" => descr = Some(self.string()?),
                "fortran_order" => fortran = Some(self.boolean()?),
                "shape" => shape = Some(self.tuple()?),
                other => return Err(Error::msg(format!("its header has the key {other:?}"))),
            }
            if !self.found(',') {
                self.expect('}')?;
                break;
            }
        }
        if !self.0.trim().is_empty() {
            return Err(Error::msg("its header goes on after its end"));
        }
        let (Some(descr), Some(fortran), Some(shape)) = (descr, fortran, shape) else {
            return Err(Error::msg("its header lacks descr, fortran_order or shape"));
        };
        let (kind, endian) = element(descr)?;
        Ok(Header {
            len: 0,
            kind,
            endian,
            fortran,
            shape,
        })
    }

    fn found(&mut self, mark: char) -> bool {
        let rest = self.0.trim_start();
        let found = rest.strip_prefix(mark);
        self.0 = found.unwrap_or(rest);
        found.is_some()
    }

    fn expect(&mut self, mark: char) -> Result<()> {
        if self.found(mark) {
            return Ok(());
        }
        let rest: String = self.0.chars().take(20).collect();
        Err(Error::msg(format!(
            "its header has {rest:?} instead of {mark:?}"
        )))
    }

    fn string(&mut self) -> Result<&'a str> {
        let quote = if self.found('"') { '"' } else { '\'' };
        if quote == '\'' {
            self.expect(quote)?;
        }
        let Some((string, rest)) = self.0.split_once(quote) else {
            return Err(Error::msg("a text of its header does not end"));
        };
        self.0 = rest;
        Ok(string)
    }

    /// The letters and digits that come next.
    fn word(&mut self) -> &'a str {
        let rest = self.0.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
        let (word, rest) = rest.split_at(end.unwrap_or(rest.len()));
        self.0 = rest;
        word
    }

    fn boolean(&mut self) -> Result<bool> {
        match self.word() {
            "True" => Ok(true),
            "False" => Ok(false),
            other => Err(Error::msg(format!(
                "its header has {other:?} for fortran_order"
            ))),
        }
    }

    fn tuple(&mut self) -> Result<Vec<usize>> {
        self.expect('(')?;
        let mut sizes = Vec::new();
        while !self.found(')') {
            let word = self.word();
            // Python 2 marks a long integer.
            let size = word.strip_suffix('L').unwrap_or(word).parse();
            sizes.push(size.map_err(|_| Error::msg(format!("its shape has {word:?}")))?);
            if !self.found(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(sizes)
    }
}

/// The element type that a `descr` such as `<f4` names.
fn element(descr: &str) -> Result<(Kind, Endian)> {
    let (endian, name) = match descr.split_at_checked(1) {
        Some((">", name)) => (Endian::Big, name),
        Some(("<" | "|", name)) => (Endian::Little, name),
        _ => (Endian::Little, ""),
    };
    let kind = match name {
        "f8" => Kind::F64,
        "f4" => Kind::F32,
        "f2" => Kind::F16,
        "i8" => Kind::I64,
        "i4" => Kind::I32,
        "i2" => Kind::I16,
        "i1" => Kind::I8,
        "u8" => Kind::U64,
        "u4" => Kind::U32,
        "u2" => Kind::U16,
        "u1" | "b1" => Kind::U8,
        "O" => {
            return Err(Error::msg(
                "an array of objects is a program: it is not read",
            ));
        }
        _ => {
            return Err(Error::msg(format!(
                "arrays of type {descr:?} are not supported: floats of 16, 32 and 64 bits, integers and booleans are"
            )));
        }
    };
    Ok((kind, endian))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(literal: &str) -> Result<Header> {
        Literal(literal).header()
    }

    #[test]
    fn headers_are_python_literals() {
        let read = header("{'descr': '>f8', 'fortran_order': True, 'shape': (2, 3L,), }  \n");
        let expected = Header {
            len: 0,
            kind: Kind::F64,
            endian: Endian::Big,
            fortran: true,
            shape: vec![2, 3],
        };
        assert_eq!(read.expect("a header"), expected);
        let read = header("{\"shape\":(),\"descr\":\"|b1\",\"fortran_order\":False}");
        assert!(read.expect("a header").shape.is_empty());
        for (literal, what) in [
            ("", "instead of '{'"),
            ("{'descr': '<f4'}", "lacks"),
            ("{'descr': '<f4', 'fortran_order': 1, 'shape': ()}", "\"1\""),
            (
                "{'descr': '<f4', 'fortran_order': True, 'shape': (-1,)}",
                "its shape",
            ),
            (
                "{'descr': '<f4', 'fortran_order': True, 'shape': (1 2)}",
                "instead of ')'",
            ),
            (
                "{'descr': '<f4', 'fortran_order': True, 'shape': ()} x",
                "after its end",
            ),
            (
                "{'descr': '|O', 'fortran_order': True, 'shape': ()}",
                "objects",
            ),
            (
                "{'descr': '<c8', 'fortran_order': True, 'shape': ()}",
                "<c8",
            ),
            (
                "{'descr': '\u{e4}f4', 'fortran_order': True, 'shape': ()}",
                "not supported",
            ),
            (
                "{'descr': [('a', '<f4')], 'fortran_order': True, 'shape': ()}",
                "instead of",
            ),
            ("{'descr': '<f4", "does not end"),
            ("{'other': '<f4'}", "other"),
        ] {
            let error = header(literal).expect_err(literal).to_string();
            assert!(error.contains(what), "{literal}: {error}");
        }
    }
}
