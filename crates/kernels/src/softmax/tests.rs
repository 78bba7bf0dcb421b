//! Softmax on every level against the formulas, and these against finite differences.

use super::*;
use crate::testing::{Random, assert_same_on_threads, to_f64, worst_error};
use striate_simd::test_each_level;

const SHAPES: [[usize; 3]; 10] = [
    [1, 1, 1],
    [3, 5, 1],
    [3, 20, 1],
    [2, 16, 1],
    [4, 33, 1],
    [2, 1000, 1],
    [3, 4, 5],
    [1, 7, 16],
    [2, 20, 49],
    [2, 3, 70],
];

/// softmax, log_softmax, logsumexp and the gradients of the first two.
fn run<R: Real>(level: Level, g: &AxisGeometry, x: &[R], dy: &[R]) -> [Vec<R>; 5] {
    let zeros = || vec![R::ZERO; g.total()];
    let [mut y, mut log, mut dx, mut dlog] = [zeros(), zeros(), zeros(), zeros()];
    let mut sums = vec![R::ZERO; g.outer() * g.inner()];
    softmax(level, g, x, &mut y).unwrap();
    log_softmax(level, g, x, &mut log).unwrap();
    logsumexp(level, g, x, &mut sums).unwrap();
    softmax_backward(level, g, &y, dy, &mut dx).unwrap();
    log_softmax_backward(level, g, &log, dy, &mut dlog).unwrap();
    [y, log, sums, dx, dlog]
}

test_each_level! {
    fn values_and_gradients_agree_with_the_formulas(level: Level) {
        let mut random = Random::new(1);
        for [outer, len, inner] in SHAPES {
            let g = AxisGeometry::new(outer, len, inner).unwrap();
            let x: Vec<f32> = (0..g.total()).map(|_| random.uniform(-12.0, 12.0) as f32).collect();
            let dy = random.floats(g.total());
            let got = run(level, &g, &x, &dy);
            let exact = run(level, &g, &to_f64(&x), &to_f64(&dy));
            // Logarithms and their gradients are differences of numbers up to this.
            let scales = [0.0, 24.0, 12.0, 1.0, 0.5 * (len as f64).sqrt()];
            for (i, name) in ["softmax", "log_softmax", "logsumexp", "dx", "dlog"].into_iter().enumerate() {
                let worst = worst_error(&got[i], &exact[i], |k| exact[i][k].abs().max(scales[i]));
                // The error of a difference of 24 is magnified by the exponential.
                let bound = if i == 0 { 40.0 } else { 16.0 };
                assert!(worst <= bound, "{name} of {g:?}: {worst} roundings");
            }
        }
    }

    fn weights_and_gradients_are_normal_or_zero(level: Level) {
        // Products with subnormal numbers are slow.
        for inner in [1, 20] {
            let len = 40;
            let g = AxisGeometry::new(1, len, inner).unwrap();
            let x: Vec<f32> = (0..len * inner).map(|i| -((i / inner * 3) as f32)).collect();
            let dy: Vec<f32> = (0..len * inner).map(|i| 1e-3 * (i % 7) as f32).collect();
            let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            softmax(level, &g, &x, &mut y).unwrap();
            softmax_backward(level, &g, &y, &dy, &mut dx).unwrap();
            assert!(y.iter().chain(&dx).all(|v| v.is_normal() || *v == 0.0), "{y:?} {dx:?}");
            assert!(y[25 * inner] > 0.0 && y[30 * inner] == 0.0, "{y:?}");
        }
    }

    fn special_values(level: Level) {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        // Large numbers do not overflow; minus infinity has no weight; NaN and infinity leave nothing.
        let lines = [
            ([1000.0, 1000.0, -inf], [0.5, 0.5, 0.0]),
            ([-1000.0, -1001.0, -3000.0], [0.731_058_6, 0.268_941_4, 0.0]),
            ([nan, 1.0, 2.0], [nan; 3]),
            ([1.0, 2.0, nan], [nan; 3]),
            ([-inf; 3], [nan; 3]),
            ([inf, 1.0, 2.0], [nan; 3]),
        ];
        for (x, expected) in lines {
            for inner in [1, 20] {
                let g = AxisGeometry::new(1, 3, inner).unwrap();
                let wide: Vec<f32> = (0..3 * inner).map(|i| x[i / inner]).collect();
                let mut y = vec![0.0; wide.len()];
                softmax(level, &g, &wide, &mut y).unwrap();
                for (i, y) in y.iter().enumerate() {
                    let e = expected[i / inner];
                    let same = (y - e).abs() < 1e-6 || y.is_nan() && e.is_nan();
                    assert!(same, "{x:?}: {y}, not {e}");
                }
                let mut sums = vec![0.0; inner];
                logsumexp(level, &g, &wide, &mut sums).unwrap();
                let mut exact = vec![0.0; inner];
                logsumexp(level, &g, &to_f64(&wide), &mut exact).unwrap();
                assert!(worst_error(&sums, &exact, |i| exact[i].abs()) <= 4.0, "{x:?}: {sums:?}");
            }
        }
    }

    fn threads_do_not_change_bits(level: Level) {
        for [outer, len, inner] in [[600, 101, 1], [9, 60, 90]] {
            let g = AxisGeometry::new(outer, len, inner).unwrap();
            let mut random = Random::new(3);
            let (x, dy) = (random.floats(g.total()), random.floats(g.total()));
            assert_same_on_threads(|| run(level, &g, &x, &dy).concat());
        }
    }

    fn empty_arrays(level: Level) {
        for [outer, len, inner] in [[0, 3, 2], [2, 0, 3], [2, 3, 0], [2, 0, 1]] {
            let g = AxisGeometry::new(outer, len, inner).unwrap();
            let [.., sums, _, _] = run::<f32>(level, &g, &[], &[]);
            assert!(sums.iter().all(|&s| s == f32::NEG_INFINITY));
        }
    }
}

#[test]
fn formulas_agree_with_finite_differences() {
    let level = Level::detect();
    let mut random = Random::new(2);
    for [outer, len, inner] in [[2, 4, 1], [1, 3, 2]] {
        let g = AxisGeometry::new(outer, len, inner).unwrap();
        let x = to_f64(&random.normals(g.total()));
        let dy = to_f64(&random.floats(g.total()));
        let loss = |x: &[f64], which: usize| -> f64 {
            run(level, &g, x, &dy)[which]
                .iter()
                .zip(&dy)
                .map(|(y, d)| y * d)
                .sum()
        };
        let gradients = run(level, &g, &x, &dy);
        for (value, gradient) in [(0, 3), (1, 4)] {
            for i in 0..x.len() {
                let moved = |d: f64| {
                    let mut x = x.clone();
                    x[i] += d;
                    loss(&x, value)
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                let error = (gradients[gradient][i] - slope).abs();
                assert!(
                    error < 1e-8,
                    "{g:?}, number {i}: {} not {slope}",
                    gradients[gradient][i]
                );
            }
        }
    }
}

#[test]
fn wrong_arguments_are_refused() {
    assert!(AxisGeometry::new(usize::MAX, 2, 2).is_err());
    assert!(AxisGeometry::row_major(&[2, 3], 2).is_err());
    let g = AxisGeometry::row_major(&[2, 3, 4], 1).unwrap();
    assert_eq!((g.outer(), g.len(), g.inner()), (2, 3, 4));
    assert!(softmax(Level::detect(), &g, &[0.0_f32; 23], &mut [0.0; 24]).is_err());
    assert!(logsumexp(Level::detect(), &g, &[0.0_f32; 24], &mut [0.0; 24]).is_err());
}
