//! Reductions of any dimensions in any strides, on every level.

use super::*;
use crate::testing::{Random, assert_same_on_threads, to_f64};
use proptest::prelude::*;
use striate_simd::test_each_level;

/// The bound on the error of a sum of `k` terms whose magnitudes add up to `magnitude`.
fn sum_bound(k: usize, magnitude: f64) -> f64 {
    (4.0 * (k as f64).sqrt() + 8.0) / f64::from(1 << 24) * magnitude
}

/// A shape, strides of two arrays of that shape in the same random order, and which dimensions to reduce.
fn problem() -> impl Strategy<Value = (Vec<usize>, [Vec<usize>; 2], Vec<usize>, u64)> {
    let dims = proptest::collection::vec((1_usize..6, any::<bool>()), 1..4);
    (dims, 1_usize..80, any::<bool>(), any::<u64>()).prop_map(|(mut dims, long, last, seed)| {
        let mut numbers = Random::new(seed);
        dims.insert(numbers.below(dims.len() + 1), (long, last));
        let shape: Vec<usize> = dims.iter().map(|d| d.0).collect();
        let mut order: Vec<usize> = (0..shape.len()).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, numbers.below(i + 1));
        }
        let gap = numbers.below(4) == 0;
        let repeated = numbers.below(2 * shape.len());
        let strides = [false, true].map(|second| {
            let mut strides = vec![0; shape.len()];
            let mut next = 1;
            for &d in order.iter().rev() {
                if !(second && d == repeated) {
                    strides[d] = next;
                    next = next * shape[d] + usize::from(gap);
                }
            }
            strides
        });
        let axes = (0..shape.len()).filter(|&d| dims[d].1).collect();
        (shape, strides, axes, seed)
    })
}

test_each_level! {
    fn whole_numbers_reduce_exactly(level: Level) {
        proptest!(ProptestConfig::with_cases(64), |((shape, [a_strides, b_strides], axes, seed) in problem())| {
            let mut numbers = Random::new(seed);
            let one = ReduceGeometry::new(&shape, &a_strides, &axes).unwrap();
            let two = ReduceGeometry::pair(&shape, &a_strides, &b_strides, &axes).unwrap();
            let a = numbers.integers(two.reach(0));
            let b = numbers.integers(two.reach(1));
            let (mut y, mut expected) = (vec![0.0; one.output_len()], vec![0.0; one.output_len()]);
            for op in [Reduction::Sum, Reduction::Mean, Reduction::Max, Reduction::Min] {
                reduce(level, op, &one, &a, &mut y).unwrap();
                reference::reduce(op, &one, &a, &mut expected);
                prop_assert_eq!(&y, &expected, "{:?}", op);
            }
            let (mut max, mut mean) = (y.clone(), y.clone());
            max_and_mean(level, &one, &a, &mut max, &mut mean).unwrap();
            for (op, got) in [(Reduction::Max, max), (Reduction::Mean, mean)] {
                reference::reduce(op, &one, &a, &mut expected);
                prop_assert_eq!(&got, &expected, "{:?} of both", op);
            }
            sum_of_products(level, &two, &a, &b, &mut y).unwrap();
            reference::sum_of_products(&two, &a, &b, &mut expected);
            prop_assert_eq!(&y, &expected, "products");
        });
    }

    fn moments_agree_with_the_formula(level: Level) {
        proptest!(ProptestConfig::with_cases(64), |((shape, [strides, _], axes, seed) in problem())| {
            let mut numbers = Random::new(seed);
            let g = ReduceGeometry::new(&shape, &strides, &axes).unwrap();
            // Far from zero, where the mean of squares minus the square of the mean would be lost.
            let x: Vec<f32> = numbers.floats(g.reach(0)).iter().map(|x| x + 1000.0).collect();
            let n = g.output_len();
            let (mut mean, mut var) = (vec![0.0; n], vec![0.0; n]);
            moments(level, &g, &x, &mut mean, &mut var).unwrap();
            let (mut mean64, mut var64) = (vec![0.0; n], vec![0.0; n]);
            reference::moments(&g, &to_f64(&x), &mut mean64, &mut var64);
            for i in 0..n {
                let (m, v) = (f64::from(mean[i]), f64::from(var[i]));
                let off = sum_bound(g.reduced_len(), 1001.0);
                prop_assert!((m - mean64[i]).abs() <= off, "mean {} not {}", m, mean64[i]);
                // Deviations from a mean that is off.
                let bound = 1e-4 * var64[i] + off * off;
                prop_assert!((v - var64[i]).abs() <= bound, "variance {} not {}", v, var64[i]);
            }
        });
    }

    fn long_sums_keep_the_bound(level: Level) {
        let mut numbers = Random::new(7);
        // Rows, columns, one output, and a channel sum of channels-last data.
        let cases: [(&[usize], &[usize], &[usize]); 4] = [
            (&[3, 40_000], &[40_000, 1], &[1]),
            (&[3000, 70], &[70, 1], &[0]),
            (&[100_003], &[1], &[0]),
            (&[2, 33, 50, 40], &[66_000, 1, 1320, 33], &[0, 2, 3]),
        ];
        for (shape, strides, axes) in cases {
            let g = ReduceGeometry::new(shape, strides, axes).unwrap();
            assert!(g.reduced_len() > 512);
            let x: Vec<f32> = numbers.floats(g.reach(0)).iter().map(|x| x + 0.25).collect();
            let (mut y, mut expected) = (vec![0.0; g.output_len()], vec![0.0; g.output_len()]);
            let mut magnitude = expected.clone();
            reduce(level, Reduction::Sum, &g, &x, &mut y).unwrap();
            reference::reduce(Reduction::Sum, &g, &to_f64(&x), &mut expected);
            let absolute: Vec<f64> = x.iter().map(|x| f64::from(x.abs())).collect();
            reference::reduce(Reduction::Sum, &g, &absolute, &mut magnitude);
            for i in 0..y.len() {
                let error = (f64::from(y[i]) - expected[i]).abs();
                assert!(error <= sum_bound(g.reduced_len(), magnitude[i]), "{shape:?}: {error}");
            }
        }
    }

    fn not_a_number_is_found(level: Level) {
        // Rows and columns, at every place of a run that fills vectors and leaves a rest.
        for axis in [0, 1] {
            let g = ReduceGeometry::new(&[37, 37], &[37, 1], &[axis]).unwrap();
            for place in 0..37 {
                let mut x = Random::new(8).floats(37 * 37);
                x[place * 37 + place] = f32::NAN;
                for op in [Reduction::Sum, Reduction::Max, Reduction::Min] {
                    let mut y = [0.0; 37];
                    reduce(level, op, &g, &x, &mut y).unwrap();
                    for (i, y) in y.iter().enumerate() {
                        assert_eq!(y.is_nan(), i == place, "{op:?} of line {i}, NaN in {place}");
                    }
                }
            }
        }
    }

    fn gradients_of_extremes_are_shared(level: Level) {
        proptest!(ProptestConfig::with_cases(48), |((shape, [strides, _], axes, seed) in problem())| {
            let mut numbers = Random::new(seed);
            let g = ReduceGeometry::new(&shape, &strides, &axes).unwrap();
            let mut x = numbers.integers(g.reach(0));
            if seed % 3 == 0 {
                let at = numbers.below(x.len());
                x[at] = f32::NAN;
            }
            let dy = numbers.floats(g.output_len());
            let mut y = vec![0.0; g.output_len()];
            reduce(level, Reduction::Max, &g, &x, &mut y).unwrap();
            let (mut dx, mut expected) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            let zeros = vec![0.0; dy.len()];
            extreme_backward(level, &g, &x, &y, &dy, None, &mut dx).unwrap();
            reference::extreme_backward(&g, &x, &y, &dy, &zeros, &mut expected);
            prop_assert_eq!(&dx, &expected);
            let plus = numbers.floats(dy.len());
            extreme_backward(level, &g, &x, &y, &dy, Some(&plus), &mut dx).unwrap();
            reference::extreme_backward(&g, &x, &y, &dy, &plus, &mut expected);
            prop_assert_eq!(dx, expected);
        });
    }

    fn extremes_of_infinities(level: Level) {
        let g = ReduceGeometry::new(&[2, 3], &[3, 1], &[1]).unwrap();
        let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
        let mut y = [0.0; 2];
        reduce(level, Reduction::Max, &g, &[low, low, low, 1.0, high, 2.0], &mut y).unwrap();
        assert_eq!(y, [low, high]);
        reduce(level, Reduction::Min, &g, &[high, high, high, 1.0, low, 2.0], &mut y).unwrap();
        assert_eq!(y, [high, low]);
    }

    fn threads_do_not_change_bits(level: Level) {
        let x = Random::new(9).floats(3 * 200 * 200);
        for (shape, strides, axes) in [
            ([200, 200, 3], [600, 3, 1], vec![0, 1]),
            ([3, 200, 200], [40_000, 200, 1], vec![1, 2]),
            ([3, 200, 200], [40_000, 200, 1], vec![0, 1, 2]),
        ] {
            let g = ReduceGeometry::new(&shape, &strides, &axes).unwrap();
            assert_same_on_threads(|| {
                let mut y = vec![0.0; g.output_len()];
                reduce(level, Reduction::Sum, &g, &x, &mut y).unwrap();
                y
            });
        }
    }
}

#[test]
fn the_first_maximum_is_the_place() {
    let level = Level::detect();
    let g = ReduceGeometry::new(&[3, 4], &[4, 1], &[1]).unwrap();
    let nan = f32::NAN;
    let x = [
        1.0,
        5.0,
        5.0,
        2.0,
        -1.0,
        nan,
        9.0,
        nan,
        f32::NEG_INFINITY,
        -2.0,
        -3.0,
        -2.0,
    ];
    let mut places = [0; 3];
    argmax(level, &g, &x, &mut places).unwrap();
    assert_eq!(places, [1, 1, 1]);
    // Along the other dimension.
    let g = ReduceGeometry::new(&[3, 4], &[4, 1], &[0]).unwrap();
    let mut places = [0; 4];
    argmax(level, &g, &x, &mut places).unwrap();
    assert_eq!(places, [0, 1, 1, 1]);
}

#[test]
fn equal_extremes_share_the_gradient() {
    let level = Level::detect();
    let g = ReduceGeometry::new(&[2, 3], &[3, 1], &[1]).unwrap();
    let x = [1.0, 4.0, 4.0, f64::NAN, 2.0, 3.0];
    let mut dx = [9.0; 6];
    extreme_backward(level, &g, &x, &[4.0, f64::NAN], &[1.0, 2.0], None, &mut dx).unwrap();
    assert_eq!(dx, [0.0, 0.5, 0.5, 2.0, 0.0, 0.0]);
}

#[test]
fn nothing_to_reduce() {
    let level = Level::detect();
    let g = ReduceGeometry::new(&[2, 0], &[1, 1], &[1]).unwrap();
    let mut y = [7.0_f32; 2];
    reduce(level, Reduction::Sum, &g, &[], &mut y).unwrap();
    assert_eq!(y, [0.0; 2]);
    reduce(level, Reduction::Mean, &g, &[], &mut y).unwrap();
    assert!(y.iter().all(|y| y.is_nan()));
    assert!(reduce(level, Reduction::Max, &g, &[], &mut y).is_err());
    assert!(argmax(level, &g, &[0.0_f32; 0], &mut [0; 2]).is_err());
    // No dimension reduced is a copy.
    let g = ReduceGeometry::new(&[2, 2], &[1, 2], &[]).unwrap();
    let mut y = [0.0_f32; 4];
    reduce(level, Reduction::Sum, &g, &[1.0, 2.0, 3.0, 4.0], &mut y).unwrap();
    assert_eq!(y, [1.0, 3.0, 2.0, 4.0]);
    // No output at all.
    let g = ReduceGeometry::new(&[0, 2], &[2, 1], &[1]).unwrap();
    reduce(level, Reduction::Max, &g, &[0.0_f32; 0], &mut []).unwrap();
}

#[test]
fn wrong_arguments_are_refused() {
    assert!(ReduceGeometry::new(&[2, 3], &[3, 1], &[2]).is_err());
    assert!(ReduceGeometry::new(&[2, 3], &[3, 1], &[1, 1]).is_err());
    assert!(ReduceGeometry::new(&[2, 3], &[3], &[1]).is_err());
    let (level, g) = (
        Level::detect(),
        ReduceGeometry::new(&[2, 3], &[3, 1], &[1]).unwrap(),
    );
    assert!(reduce(level, Reduction::Sum, &g, &[0.0_f32; 5], &mut [0.0; 2]).is_err());
    assert!(reduce(level, Reduction::Sum, &g, &[0.0_f32; 6], &mut [0.0; 3]).is_err());
    let all = ReduceGeometry::new(&[2, 3], &[3, 1], &[0, 1]).unwrap();
    assert!(argmax(level, &all, &[0.0_f32; 6], &mut [0]).is_err());
}
