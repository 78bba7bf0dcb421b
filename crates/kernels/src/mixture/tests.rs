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

const MAPS: [Maps; 6] = [
    maps(1, 1, 1, 1),
    maps(2, 3, 5, 7),
    maps(1, 2, 900, 40),
    maps(3, 4, 0, 9),
    maps(0, 2, 4, 9),
    maps(2, 2, 33, 130),
];

const fn maps(samples: usize, maps: usize, places: usize, channels: usize) -> Maps {
    Maps {
        samples,
        maps,
        places,
        channels,
    }
}

/// The mixture, the gradient of the factors and those of the maps, which come in `slices` of `len` elements.
fn mix_all<R: Real>(
    level: Level,
    g: &Maps,
    (x, slices): (&[R], usize),
    a: &[R],
    dy: &[R],
) -> [Vec<R>; 3] {
    let len = x.len() / slices;
    let each: Vec<&[R]> = (0..slices).map(|i| &x[i * len..][..len]).collect();
    let (mut y, mut da) = (vec![R::NAN; dy.len()], vec![R::NAN; a.len()]);
    mix_maps(level, g, &each, a, &mut y).expect("the lengths fit");
    let mut dx = vec![vec![R::NAN; len]; slices];
    let mut outputs: Vec<&mut [R]> = dx.iter_mut().map(|dx| &mut dx[..]).collect();
    mix_maps_backward(level, g, &each, a, dy, &mut outputs, &mut da).expect("the lengths fit");
    [y, da, dx.concat()]
}

/// Maps, factors and a gradient of random numbers.
fn map_operands(g: &Maps) -> [Vec<f32>; 3] {
    let mut random = Random::new(8);
    let one = g.samples * g.places * g.channels;
    [g.maps * one, g.samples * g.maps * g.channels, one].map(|len| random.floats(len))
}

test_each_level!(
    fn mixtures_of_maps_are_their_formula(level: Level) {
        for g in &MAPS {
            let operands = map_operands(g);
            let sizes = operands.each_ref().map(|x| magnitudes(x));
            let exact = operands.each_ref().map(|x| to_f64(x));
            let [x, a, dy] = &operands;
            for slices in [1, g.maps] {
                let got = mix_all(level, g, (x, slices), a, dy);
                let of = |[x, a, dy]: &[Vec<f64>; 3]| mix_all(level, g, (x, slices), a, dy);
                let (exact, sizes) = (of(&exact), of(&sizes));
                for (i, terms) in [g.maps, g.places, 1].into_iter().enumerate() {
                    for (k, &got) in got[i].iter().enumerate() {
                        let place = || format!("{g:?} in {slices} slices: result {i}, {k}");
                        assert_close(got, exact[i][k], sizes[i][k], terms, place);
                    }
                }
            }
        }
    }
);

#[test]
fn mixtures_of_maps_add_up() {
    let g = maps(2, 2, 2, 1);
    let (x, a, dy) = (
        [1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0],
        [1.0, 2.0, 3.0, 4.0],
        [1.0; 4],
    );
    let [y, da, dx] = mix_all(Level::detect(), &g, (&x, 2), &a, &dy);
    assert_eq!(y, [21.0, 42.0, 129.0, 172.0]);
    assert_eq!(da, [3.0, 30.0, 7.0, 70.0]);
    assert_eq!(dx, [1.0, 1.0, 3.0, 3.0, 2.0, 2.0, 4.0, 4.0]);
    // The same maps as the channels of one.
    let [y, ..] = mix_all(
        Level::detect(),
        &g,
        (&[1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0], 1),
        &a,
        &dy,
    );
    assert_eq!(y, [21.0, 42.0, 129.0, 172.0]);
}

#[test]
fn threads_change_no_mixture_of_maps() {
    let g = maps(2, 3, 2000, 24);
    let [x, a, dy] = map_operands(&g);
    assert_same_on_threads(|| mix_all(Level::detect(), &g, (&x, 3), &a, &dy).concat());
}

#[test]
fn lengths_of_maps_must_fit() {
    let (g, level) = (maps(2, 2, 3, 4), Level::detect());
    let [x, a, mut y] = map_operands(&g);
    let halves = [&x[..24], &x[24..]];
    assert!(mix_maps(level, &g, &halves, &a, &mut y).is_ok());
    assert!(mix_maps(level, &g, &[&x], &a, &mut y).is_ok());
    assert!(mix_maps(level, &g, &[], &a, &mut y).is_err());
    assert!(mix_maps(level, &g, &halves[..1], &a, &mut y).is_err());
    assert!(mix_maps(level, &g, &[halves[0]; 3], &a, &mut y).is_err());
    assert!(mix_maps(level, &g, &halves, &a[1..], &mut y).is_err());
}
