//! Pictures as text: a line each, the pixel values row by row and then the label, separated by commas.

use std::path::Path;

use super::image_set::numbered_classes;
use super::{ImageSet, gzip};
use crate::error::{Error, Malformed, Result, malformed};

/// Labels run from 0 to one less than this.
pub const MAX_CLASSES: usize = 65_536;

/// The largest text that is read: 256 MiB, after decompression.
pub const MAX_BYTES: u64 = 256 << 20;

/// Parses grey pictures of `size` with whole values of 0 (black) to `white`. Empty lines are skipped. The classes are "0" up
/// to the largest label.
///
/// # Errors
/// When a line has another number of fields, a field is not a whole number in its range, or there is no line.
pub fn parse(text: &[u8], size: [usize; 2], white: u8) -> Result<ImageSet, Malformed> {
    let fields = size[0].checked_mul(size[1]).filter(|&n| n > 0);
    let Some(fields) = fields.and_then(|n| n.checked_add(1)) else {
        return Err(malformed!(
            "pictures of {}x{} have no pixels",
            size[0],
            size[1]
        ));
    };
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for (at, line) in text.split(|&b| b == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let count = line.iter().filter(|&&b| b == b',').count() + 1;
        if count != fields {
            return Err(malformed!(
                "line {}: {count} fields instead of {fields}",
                at + 1
            ));
        }
        for (column, field) in line.split(|&b| b == b',').enumerate() {
            let is_label = column + 1 == fields;
            let limit = if is_label {
                MAX_CLASSES - 1
            } else {
                usize::from(white)
            };
            let value = whole_number(field).filter(|&v| v <= limit).ok_or_else(|| {
                malformed!(
                    "line {}, field {}: \"{}\" is not a whole number of 0 to {limit}",
                    at + 1,
                    column + 1,
                    field
                        .iter()
                        .take(20)
                        .copied()
                        .flat_map(std::ascii::escape_default)
                        .map(char::from)
                        .collect::<String>(),
                )
            })?;
            // Both limits are below the types' largest values.
            if is_label {
                labels.push(value as u32);
            } else {
                pixels.push(value as u8);
            }
        }
    }
    let Some(&largest) = labels.iter().max() else {
        return Err(malformed!("no lines"));
    };
    ImageSet::new(
        pixels,
        labels,
        1,
        size,
        white,
        numbered_classes(largest as usize + 1),
    )
    .map_err(|e| malformed!("{e}"))
}

/// Reads a file, plain or gzip, as [`parse`] does.
///
/// # Errors
/// When the file cannot be read, or as [`parse`].
pub fn load(path: &Path, size: [usize; 2], white: u8) -> Result<ImageSet> {
    let text = gzip::read_file(path, MAX_BYTES)?;
    parse(&text, size, white).map_err(|e| Error::malformed(path, e))
}

fn whole_number(field: &[u8]) -> Option<usize> {
    std::str::from_utf8(field).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    #[test]
    fn reads_lines_of_pixels_and_a_label() {
        let set = parse(b"0,16,3\r\n\n 8, 4,0\n", [1, 2], 16).unwrap();
        assert_eq!((set.len(), set.classes().len()), (2, 4));
        let sample = set.get(1).unwrap();
        assert_eq!(
            (sample.image.values(), sample.label),
            ([0.5, 0.25].as_slice(), 0)
        );
    }

    #[test]
    fn errors_name_the_line_and_the_field() {
        for (text, expected) in [
            ("0,16,3\n0,16\n", "line 2: 2 fields instead of 3"),
            (
                "0,17,3\n",
                "line 1, field 2: \"17\" is not a whole number of 0 to 16",
            ),
            (
                "0,-1,3\n",
                "line 1, field 2: \"-1\" is not a whole number of 0 to 16",
            ),
            (
                "0,a\u{7},3\n",
                "line 1, field 2: \"a\\x07\" is not a whole number of 0 to 16",
            ),
            (
                "0,1,65536\n",
                "line 1, field 3: \"65536\" is not a whole number of 0 to 65535",
            ),
            ("\n\n", "no lines"),
        ] {
            assert_eq!(
                parse(text.as_bytes(), [1, 2], 16).unwrap_err().to_string(),
                expected
            );
        }
        assert!(parse(b"1\n", [0, 3], 16).is_err());
        assert!(parse(b"1\n", [usize::MAX, 3], 16).is_err());
    }
}
