//! Transposition of squares in registers.

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
    let mut rows = [s.splat(0.0); LANES];
    let whole = len == S::LANES;
    for i in 0..S::LANES {
        if i < count {
            let row = &from[i * from_step..][..len];
            rows[i] = if whole {
                s.load(row)
            } else {
                s.load_partial(row)
            };
        }
    }
    let lane = s.to_i32(s.iota());
    let mut distance = S::LANES / 2;
    while distance > 0 {
        let bit = s.splat_i32(distance as i32);
        let other = s.xor_i32(lane, bit);
        let lower = s.eq_i32(s.and_i32(lane, bit), s.splat_i32(0));
        for i in 0..S::LANES {
            if i & distance == 0 {
                let (a, b) = (rows[i], rows[i + distance]);
                rows[i] = s.select(lower, a, s.permute(b, other));
                rows[i + distance] = s.select(lower, s.permute(a, other), b);
            }
        }
        distance /= 2;
    }
    for i in 0..S::LANES {
        if i < len {
            let row = &mut to[i * to_step..][..count];
            if count == S::LANES {
                s.store(rows[i], row);
            } else {
                s.store_partial(rows[i], row);
            }
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
