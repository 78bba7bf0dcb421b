//! Every level against the formulas in double precision, on lengths around the sizes of vectors, blocks and pieces.

use super::*;
use crate::testing::{Random, assert_close, assert_same_on_threads, to_f64};
use striate_simd::test_each_level;

const CASES: [Mixture; 7] = [
    mixture(1, 1, 1),
    mixture(3, 4, 0),
    mixture(2, 3, 17),
    mixture(1, 8, 64 + 5),
    mixture(5, 2, 4 * 64 + 33),
    mixture(0, 4, 9),
    mixture(3, 5, 9001),
];

const fn mixture(samples: usize, rows: usize, len: usize) -> Mixture {
    Mixture { samples, rows, len }
}

/// Factors, rows and mixtures of random numbers.
fn operands(m: &Mixture) -> [Vec<f32>; 3] {
    let mut random = Random::new(3);
    [m.samples * m.rows, m.rows * m.len, m.samples * m.len].map(|len| random.floats(len))
}

fn check(got: &[f32], exact: &[f64], magnitude: &[f64], terms: usize, m: &Mixture) {
    for (i, &got) in got.iter().enumerate() {
        assert_close(got, exact[i], magnitude[i], terms, || format!("{m:?}: {i}"));
    }
}

fn magnitudes(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x.abs())).collect()
}

test_each_level!(
    fn mixtures_are_sums_of_rows(level: Level) {
        for m in &CASES {
            let [a, w, mut y] = operands(m);
            mix(level, m, &a, &w, &mut y).expect("the lengths fit");
            let (mut exact, mut magnitude) = (vec![0.0; y.len()], vec![0.0; y.len()]);
            reference::mix(m, &to_f64(&a), &to_f64(&w), &mut exact);
            reference::mix(m, &magnitudes(&a), &magnitudes(&w), &mut magnitude);
            check(&y, &exact, &magnitude, m.rows, m);
        }
    }
);

test_each_level!(
    fn products_are_sums_over_columns(level: Level) {
        for m in &CASES {
            let [mut a, w, y] = operands(m);
            products(level, m, &y, &w, &mut a).expect("the lengths fit");
            let (mut exact, mut magnitude) = (vec![0.0; a.len()], vec![0.0; a.len()]);
            reference::products(m, &to_f64(&y), &to_f64(&w), &mut exact);
            reference::products(m, &magnitudes(&y), &magnitudes(&w), &mut magnitude);
            check(&a, &exact, &magnitude, m.len, m);
        }
    }
);

#[test]
fn threads_change_nothing() {
    let m = mixture(3, 5, 30_011);
    let [a, w, y] = operands(&m);
    let level = Level::detect();
    assert_same_on_threads(|| {
        let (mut mixed, mut factors) = (vec![0.0; y.len()], vec![0.0; a.len()]);
        mix(level, &m, &a, &w, &mut mixed).expect("the lengths fit");
        products(level, &m, &y, &w, &mut factors).expect("the lengths fit");
        [mixed, factors].concat()
    });
}

#[test]
fn lengths_must_fit() {
    let m = mixture(2, 3, 4);
    let [a, w, mut y] = operands(&m);
    let level = Level::detect();
    assert!(mix(level, &m, &a[1..], &w, &mut y).is_err());
    assert!(mix(level, &m, &a, &w[1..], &mut y).is_err());
    assert!(mix(level, &m, &a, &w, &mut y[1..]).is_err());
    assert!(products(level, &m, &y[1..], &w, &mut a.clone()).is_err());
}
