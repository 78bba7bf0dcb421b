//! Reductions across lanes, in their fixed order.

use striate_simd::{Level, Simd, dispatch, test_each_level};

#[inline(always)]
fn sum<S: Simd>(s: S, x: &[f32]) -> f32 {
    s.sum(s.load(x))
}

#[inline(always)]
fn max_lane<S: Simd>(s: S, x: &[f32]) -> f32 {
    s.max_lane(s.load(x))
}

#[inline(always)]
fn min_lane<S: Simd>(s: S, x: &[f32]) -> f32 {
    s.min_lane(s.load(x))
}

/// Lane `i` meets lane `i + n/2`, then the halves of that.
fn tree(x: &[f32], op: fn(f32, f32) -> f32) -> f32 {
    match x {
        [x] => *x,
        _ => {
            let (low, high) = x.split_at(x.len() / 2);
            let half: Vec<f32> = low.iter().zip(high).map(|(a, b)| op(*a, *b)).collect();
            tree(&half, op)
        }
    }
}

test_each_level! {
    fn sums_add_in_tree_order(level: Level) {
        // Magnitudes so mixed that another order rounds differently.
        for seed in 0..200u32 {
            let x: Vec<f32> = (0..level.lanes() as u32)
                .map(|i| {
                    let h = (seed * 31 + i).wrapping_mul(0x9e37_79b9);
                    f32::from_bits((h & 0x807f_ffff) | ((110 + (h >> 8) % 24) << 23))
                })
                .collect();
            let expected = tree(&x, |a, b| a + b);
            assert_eq!(dispatch!(level, s => sum(s, &x)).to_bits(), expected.to_bits(), "{x:?}");
        }
    }

    fn extremes_are_found_in_each_lane(level: Level) {
        let n = level.lanes();
        for lane in 0..n {
            let mut x: Vec<f32> = (0..n).map(|i| i as f32 - 3.5).collect();
            x[lane] = 100.0;
            assert_eq!(dispatch!(level, s => max_lane(s, &x)), 100.0);
            x[lane] = -100.0;
            assert_eq!(dispatch!(level, s => min_lane(s, &x)), -100.0);
            x[lane] = f32::INFINITY;
            assert_eq!(dispatch!(level, s => max_lane(s, &x)), f32::INFINITY);
            assert_eq!(dispatch!(level, s => sum(s, &x)), f32::INFINITY);
            x[lane] = f32::NAN;
            assert!(dispatch!(level, s => sum(s, &x)).is_nan(), "NaN in lane {lane}");
        }
    }
}

#[inline(always)]
fn permute<S: Simd>(s: S, x: &[f32], index: &[f32], y: &mut [f32]) {
    let index = s.to_i32(s.load(index));
    s.store(s.permute(s.load(x), index), y);
}

test_each_level! {
    fn permutations_take_lanes_by_the_low_bits_of_the_index(level: Level) {
        let n = level.lanes();
        let x: Vec<f32> = (0..n).map(|i| 10.0 + i as f32).collect();
        for seed in 0..50 {
            let index: Vec<i32> = (0..n as i32).map(|i| (i * seed * 7 + seed) % 61 - 20).collect();
            let floats: Vec<f32> = index.iter().map(|&i| i as f32).collect();
            let mut y = vec![f32::NAN; n];
            dispatch!(level, s => permute(s, &x, &floats, &mut y));
            let expected: Vec<f32> =
                index.iter().map(|&i| x[i.rem_euclid(n as i32) as usize]).collect();
            assert_eq!(y, expected, "{index:?}");
        }
    }
}
