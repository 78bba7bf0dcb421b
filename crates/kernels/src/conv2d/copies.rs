//! Partial sums of equal shape, added up in an order that depends on their number alone.

use crate::gemm::microkernel::Sums;
use crate::parallel;
use striate_simd::Simd;

/// Elements that are added as one task.
const SEGMENT: usize = 1 << 15;

/// Adds up arrays of `len` elements that follow one another, in pairs, into the first.
pub(crate) fn add_in_pairs(copies: &mut [f32], len: usize) {
    let count = copies.len() / len.max(1);
    let mut distance = 1;
    while distance < count {
        for first in (0..count - distance).step_by(2 * distance) {
            let (head, tail) = copies.split_at_mut((first + distance) * len);
            let (sum, term) = (&mut head[first * len..][..len], &mut tail[..len]);
            parallel::for_each_chunk2((sum, SEGMENT), (term, SEGMENT), |_, sum, term| {
                sum.iter_mut()
                    .zip(term)
                    .for_each(|(sum, term)| *sum += *term);
            });
        }
        distance *= 2;
    }
}

/// Writes the rows of a tile of sums from number `first` on to dense rows of its width, or adds it to them.
#[inline(always)]
pub(super) fn write<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    acc: &Sums<S, MR, NV>,
    add: bool,
    first: usize,
    out: &mut [f32],
) {
    for i in 0..MR {
        // A loop from `first` would keep the sums in memory.
        if i < first {
            continue;
        }
        for j in 0..NV {
            let out = &mut out[(i * NV + j) * S::LANES..][..S::LANES];
            let sum = if add {
                s.add(s.load(out), acc[i][j])
            } else {
                acc[i][j]
            };
            s.store(sum, out);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_copies_are_added() {
        for count in 1..=9 {
            let mut copies: Vec<f32> = (0..count * 3).map(|i| i as f32).collect();
            super::add_in_pairs(&mut copies, 3);
            for (i, &sum) in copies[..3].iter().enumerate() {
                let expected: usize = (0..count).map(|copy| copy * 3 + i).sum();
                assert_eq!(sum, expected as f32, "{count} copies, element {i}");
            }
        }
    }
}
