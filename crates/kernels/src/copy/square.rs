//! Transposition of squares in registers.

use crate::array::array;
use striate_simd::Simd;

/// The most lanes of a level.
const LANES: usize = 16;

/// Copies `count` rows of `len` elements, `from_step` apart, to the columns of `to`, whose rows start `to_step`
/// apart: at most as many of either as a vector has lanes.
///
/// A matrix is transposed by exchanging its off-diagonal quarters and then those of each quarter.
#[inline(always)]
pub(crate) fn transpose_square<S: Simd>(
    s: S,
    (from, from_step): (&[f32], usize),
    (to, to_step): (&mut [f32], usize),
    [count, len]: [usize; 2],
) {
    let mut rows = if [count, len] == [S::LANES; 2] {
        array(
            #[inline(always)]
            |i| match i < S::LANES {
                true => s.load(&from[i * from_step..][..S::LANES]),
                false => s.splat(0.0),
            },
        )
    } else {
        array(
            #[inline(always)]
            |i| match i < count {
                true => s.load_partial(&from[i * from_step..][..len]),
                false => s.splat(0.0),
            },
        )
    };
    exchange::<S, 8>(s, &mut rows);
    exchange::<S, 4>(s, &mut rows);
    exchange::<S, 2>(s, &mut rows);
    exchange::<S, 1>(s, &mut rows);
    if count == S::LANES {
        for i in 0..S::LANES {
            if i < len {
                s.store(rows[i], &mut to[i * to_step..][..S::LANES]);
            }
        }
    } else {
        for i in 0..S::LANES {
            if i < len {
                s.store_partial(rows[i], &mut to[i * to_step..][..count]);
            }
        }
    }
}

/// Exchanges the off-diagonal squares of `DISTANCE` lanes a side.
#[inline(always)]
fn exchange<S: Simd, const DISTANCE: usize>(s: S, rows: &mut [S::F32; LANES]) {
    if DISTANCE >= S::LANES {
        return;
    }
    let lane = s.to_i32(s.iota());
    let bit = s.splat_i32(DISTANCE as i32);
    let other = s.xor_i32(lane, bit);
    let lower = s.eq_i32(s.and_i32(lane, bit), s.splat_i32(0));
    for i in 0..S::LANES {
        if i & DISTANCE == 0 {
            let (a, b) = (rows[i], rows[i + DISTANCE]);
            rows[i] = s.select(lower, a, s.permute(b, other));
            rows[i + DISTANCE] = s.select(lower, s.permute(a, other), b);
        }
    }
}

#[cfg(test)]
mod tests {
    use striate_simd::{Level, dispatch, test_each_level};

    test_each_level!(
        fn rows_become_columns(level: Level) {
            let lanes = level.lanes();
            for count in 1..=lanes {
                for len in 1..=lanes {
                    let from: Vec<f32> = (0..count * 20).map(|i| i as f32).collect();
                    let mut to = vec![-1.0; len * 19];
                    dispatch!(level, s => super::transpose_square(
                        s, (&from, 20), (&mut to, 19), [count, len]
                    ));
                    for (at, &to) in to.iter().enumerate() {
                        let (row, column) = (at / 19, at % 19);
                        let expected = if column < count {
                            (column * 20 + row) as f32
                        } else {
                            -1.0
                        };
                        assert_eq!(to, expected, "{count} rows of {len}, element {at}");
                    }
                }
            }
        }
    );
}
