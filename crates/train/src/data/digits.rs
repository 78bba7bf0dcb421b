//! 1,797 real handwritten digits, 8x8 pixels of 0 to 16, that are part of this library.
//!
//! E. Alpaydin and C. Kaynak (1998), *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository,
//! <https://doi.org/10.24432/C50P49>, CC BY 4.0. `crates/train/data/README.md` describes the stored form.

use std::sync::Arc;

use super::image_set::numbered_classes;
use super::{Dataset, ImageSet, Subset, gzip, hold_out};
use crate::error::{Error, Result, malformed};

const STORED: &[u8] = include_bytes!("../../data/digits.bin.gz");
const SIDE: usize = 8;
const PIXELS: usize = SIDE * SIDE;
const WHITE: u8 = 16;
const CLASSES: usize = 10;

/// Out of this many scans of a class one is held out.
pub const HOLD_OUT_EVERY: usize = 5;

/// All 1,797 scans in their published order: `[1, 8, 8]`, ten classes.
///
/// # Errors
/// Not for the data that this library was built with.
pub fn load() -> Result<ImageSet> {
    let limit = gzip::MAX_BYTES;
    let records = gzip::inflate(STORED.to_vec(), limit)
        .map_err(|e| Error::Mismatch(malformed!("the embedded digits: {e}").0))?;
    let records = records.chunks_exact(PIXELS + 1);
    let labels = records.clone().map(|r| u32::from(r[PIXELS])).collect();
    let pixels = records.flat_map(|r| &r[..PIXELS]).copied().collect();
    ImageSet::new(
        pixels,
        labels,
        1,
        [SIDE, SIDE],
        WHITE,
        numbered_classes(CLASSES),
    )
}

/// The 1,442 scans to train on and the 355 held out: every fifth of each class, as [`hold_out`] cuts.
///
/// # Errors
/// As [`load`].
pub fn split() -> Result<(Subset, Subset)> {
    let all: Arc<dyn Dataset> = Arc::new(load()?);
    hold_out(&all, HOLD_OUT_EVERY)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Write;

    use super::*;

    /// Length and CRC-32 of the published text.
    const TEXT_LEN: usize = 264_712;
    const TEXT_CRC: u32 = 0x2ebe_3bb7;

    #[test]
    fn the_stored_form_is_the_published_text() {
        let set = load().unwrap();
        let mut text = String::new();
        for i in 0..set.len() {
            for pixel in set.bytes(i).unwrap() {
                write!(text, "{pixel},").unwrap();
            }
            writeln!(text, "{}", set.label(i).unwrap()).unwrap();
        }
        let mut crc = flate2::Crc::new();
        crc.update(text.as_bytes());
        assert_eq!((text.len(), crc.sum()), (TEXT_LEN, TEXT_CRC));
    }

    #[test]
    fn a_fifth_of_each_class_is_held_out() {
        let (train, held) = split().unwrap();
        assert_eq!((train.len(), held.len()), (1442, 355));
        let mut counts = [[0; CLASSES]; 2];
        for (part, set) in [&train, &held].into_iter().enumerate() {
            for i in 0..set.len() {
                counts[part][set.label(i).unwrap()] += 1;
            }
        }
        for (t, h) in counts[0].into_iter().zip(counts[1]) {
            assert_eq!(h, (t + h) / 5);
        }
    }

    #[test]
    fn no_scan_is_in_both_parts_nor_twice_in_one() {
        let all = load().unwrap();
        let (train, held) = split().unwrap();
        let mut indices: Vec<usize> = [train.indices(), held.indices()].concat();
        indices.sort_unstable();
        assert!(indices.into_iter().eq(0..all.len()));
        let distinct: HashSet<&[u8]> = (0..all.len()).map(|i| all.bytes(i).unwrap()).collect();
        assert_eq!(distinct.len(), all.len());
    }
}
