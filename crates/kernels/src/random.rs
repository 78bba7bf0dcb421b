//! Random words from counters.
//!
//! Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011) turns a key and a counter
//! into four 32-bit words by ten rounds of multiplication. Integers are the same on every level.

use striate_simd::{Level, Simd, dispatch};

/// What a key is made of, and a counter but for the number of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sequence {
    /// The key.
    pub seed: u64,
    /// The upper half of the counter.
    pub stream: u64,
}

/// Counters that are computed at a time.
const BLOCKS: usize = 16;

/// The four words of block `index`.
pub fn block(sequence: Sequence, index: u64) -> [u32; 4] {
    blocks::<1>(sequence, index).map(|[word]| word)
}

/// The words of as many blocks as fit, from block `first` on; the last may be cut off.
pub fn words(level: Level, sequence: Sequence, first: u64, words: &mut [u32]) {
    dispatch!(level, s => fill(s, sequence, first, words));
}

#[inline(always)]
fn fill<S: Simd>(_: S, sequence: Sequence, mut first: u64, words: &mut [u32]) {
    for words in words.chunks_mut(4 * BLOCKS) {
        let blocks = blocks::<BLOCKS>(sequence, first);
        for (i, words) in words.chunks_mut(4).enumerate() {
            for (word, all) in words.iter_mut().zip(&blocks) {
                *word = all[i];
            }
        }
        first = first.wrapping_add(BLOCKS as u64);
    }
}

/// The first words of `N` blocks, the second words, and so on.
#[inline(always)]
fn blocks<const N: usize>(Sequence { seed, stream }: Sequence, first: u64) -> [[u32; N]; 4] {
    let mut counters = [[0; N]; 4];
    for i in 0..N {
        let index = first.wrapping_add(i as u64);
        counters[0][i] = index as u32;
        counters[1][i] = (index >> 32) as u32;
        counters[2][i] = stream as u32;
        counters[3][i] = (stream >> 32) as u32;
    }
    let mut key = [seed as u32, (seed >> 32) as u32];
    for _ in 0..10 {
        for i in 0..N {
            let a = u64::from(counters[0][i]) * 0xD251_1F53;
            let b = u64::from(counters[2][i]) * 0xCD9E_8D57;
            counters[0][i] = (b >> 32) as u32 ^ counters[1][i] ^ key[0];
            counters[1][i] = b as u32;
            counters[2][i] = (a >> 32) as u32 ^ counters[3][i] ^ key[1];
            counters[3][i] = a as u32;
        }
        key[0] = key[0].wrapping_add(0x9E37_79B9);
        key[1] = key[1].wrapping_add(0xBB67_AE85);
    }
    counters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_authors() {
        // Known answers of Random123.
        let nothing = Sequence { seed: 0, stream: 0 };
        let expected = [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8];
        assert_eq!(block(nothing, 0), expected);
        let all = Sequence {
            seed: u64::MAX,
            stream: u64::MAX,
        };
        let expected = [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd];
        assert_eq!(block(all, u64::MAX), expected);
        let digits = Sequence {
            seed: 0x299f_31d0_a409_3822,
            stream: 0x0370_7344_1319_8a2e,
        };
        let expected = [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1];
        assert_eq!(block(digits, 0x85a3_08d3_243f_6a88), expected);
    }

    #[test]
    fn many_are_one_after_the_other() {
        let sequence = Sequence {
            seed: 0x1234_5678_9abc_def0,
            stream: 7,
        };
        let first = u64::from(u32::MAX) - 5;
        let expected: Vec<u32> = (0..40).flat_map(|i| block(sequence, first + i)).collect();
        for level in Level::available() {
            for len in [0, 1, 4, 63, 64, 131, 160] {
                let mut got = vec![0; len];
                words(level, sequence, first, &mut got);
                assert_eq!(got, expected[..len], "{level}");
            }
        }
    }
}
