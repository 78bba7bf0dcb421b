//! Attention on every level against the formulas, and these against finite differences.

use super::*;
use crate::testing::{Random, assert_same_on_threads, on_threads, to_f64, worst_error};
use proptest::prelude::*;
use striate_simd::{Level, test_each_level};

/// Value, logarithms and the three gradients.
fn run<R: Real>(level: Level, g: &AttentionGeometry, x: &Operands<'_, R>, dy: &[R]) -> [Vec<R>; 5] {
    let lens = [g.y_len(), g.rows(), g.q_len(), g.k_len(), g.v_len()];
    let [mut y, mut log_sums, mut dq, mut dk, mut dv] = lens.map(|len| vec![R::NAN; len]);
    forward(level, g, x, &mut y, &mut log_sums).unwrap();
    let outcome = Outcome {
        y: &y,
        log_sums: &log_sums,
    };
    backward(level, g, x, &outcome, dy, [&mut dq, &mut dk, &mut dv]).unwrap();
    [y, log_sums, dq, dk, dv]
}

/// The numbers of a problem.
struct Problem {
    g: AttentionGeometry,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    dy: Vec<f32>,
    scale: f64,
}

impl Problem {
    fn new(batch: usize, sizes: [usize; 2], lens: [usize; 2], scale: f64, seed: u64) -> Self {
        let g = AttentionGeometry::new(batch, sizes, lens).unwrap();
        let mut random = Random::new(seed);
        Self {
            g,
            q: random.normals(g.q_len()),
            k: random.normals(g.k_len()),
            v: random.normals(g.v_len()),
            dy: random.normals(g.y_len()),
            scale,
        }
    }

    fn operands(&self) -> Operands<'_, f32> {
        Operands {
            q: &self.q,
            k: &self.k,
            v: &self.v,
            scale: self.scale,
        }
    }

    fn check(&self, level: Level) {
        let got = run(level, &self.g, &self.operands(), &self.dy);
        let [q, k, v, dy] = [&self.q, &self.k, &self.v, &self.dy].map(|x| to_f64(x));
        let x = Operands {
            q: &q,
            k: &k,
            v: &v,
            scale: self.scale,
        };
        let exact = run(level, &self.g, &x, &dy);
        // Gradients of products are differences of sums of products that may all but vanish.
        let largest = |x: &[f64]| x.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        let slope = self.scale.abs() * (self.g.values() as f64).sqrt();
        let terms = [0.0, 1.0, slope * largest(&k), slope * largest(&q), 0.0];
        let names = ["y", "log sums", "dq", "dk", "dv"];
        for (i, name) in names.into_iter().enumerate() {
            let scale = largest(&exact[i]).max(terms[i]).max(1e-3);
            // Products up to about 15 err by some roundings of 15, which exponentials make relative errors.
            let worst = worst_error(&got[i], &exact[i], |_| scale);
            let g = &self.g;
            assert!(
                worst <= 96.0,
                "{name} of {g:?} at scale {}: {worst} roundings",
                self.scale
            );
        }
    }
}

test_each_level! {
    fn any_sizes_agree_with_the_formulas(level: Level) {
        let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
        let sizes = (0..3_usize, 0..70_usize, 1..70_usize, 1..40_usize, 1..40_usize, -1.0..1.0_f64, any::<u64>());
        proptest!(config, |((batch, queries, keys, depth, values, scale, seed) in sizes)| {
            Problem::new(batch, [queries, keys], [depth, values], scale, seed).check(level);
        });
    }

    fn several_blocks_agree_with_the_formulas(level: Level) {
        for (batch, sizes, lens, scale) in [
            (1, [700, 600], [20, 70], 0.5),
            (2, [210, 1000], [33, 16], -0.3),
            (9, [20, 530], [8, 5], 1.0),
        ] {
            Problem::new(batch, sizes, lens, scale, 7).check(level);
        }
    }

    fn maxima_may_come_first_or_last(level: Level) {
        // One query, keys whose product with it rises or falls over a range that overflows without a maximum.
        for sign in [1.0, -1.0] {
            let keys = 600;
            let mut problem = Problem::new(1, [1, keys], [1, 2], 1.0, 3);
            problem.q = vec![1.0];
            problem.k = (0..keys).map(|j| sign * j as f32).collect();
            problem.check(level);
        }
    }

    fn special_values(level: Level) {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let mut problem = Problem::new(1, [1, 300], [1, 1], 1.0, 3);
        problem.q = vec![1.0];
        let y = |problem: &Problem| {
            let (mut y, mut log_sums) = (vec![0.0; 1], vec![0.0; 1]);
            forward(level, &problem.g, &problem.operands(), &mut y, &mut log_sums).unwrap();
            y[0]
        };
        // Without weight, before the others and among them.
        problem.k = vec![-inf; 300];
        problem.k[299] = 2.0;
        assert_eq!(y(&problem), problem.v[299]);
        problem.k[299] = -inf;
        problem.k[0] = -5.0;
        assert_eq!(y(&problem), problem.v[0]);
        for (place, value) in [(0, nan), (299, nan), (5, inf)] {
            problem.k = vec![0.0; 300];
            problem.k[place] = value;
            assert!(y(&problem).is_nan(), "{value} at {place}");
        }
        problem.k = vec![-inf; 300];
        assert!(y(&problem).is_nan(), "no key has weight");
    }

    fn threads_change_nothing(level: Level) {
        for (batch, sizes) in [(1, [500, 400]), (5, [30, 90])] {
            let problem = Problem::new(batch, sizes, [24, 40], 0.4, 5);
            let results = on_threads(|| run(level, &problem.g, &problem.operands(), &problem.dy).concat());
            let bits = |x: &Vec<f32>| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert!(results.iter().all(|r| bits(r) == bits(&results[0])), "{sizes:?}");
        }
    }
}

#[test]
fn gradients_are_those_of_the_formula() {
    let problem = Problem::new(2, [3, 4], [2, 5], 0.7, 1);
    let level = Level::detect();
    let mut x = [&problem.q, &problem.k, &problem.v].map(|x| to_f64(x));
    let dy = to_f64(&problem.dy);
    let results = |x: &[Vec<f64>; 3]| {
        let operands = Operands {
            q: &x[0],
            k: &x[1],
            v: &x[2],
            scale: problem.scale,
        };
        run(level, &problem.g, &operands, &dy)
    };
    let loss =
        |x: &[Vec<f64>; 3]| -> f64 { results(x)[0].iter().zip(&dy).map(|(y, dy)| y * dy).sum() };
    let exact = results(&x);
    for which in 0..3 {
        for i in 0..x[which].len() {
            let (at, step) = (x[which][i], 1e-6);
            x[which][i] = at + step;
            let above = loss(&x);
            x[which][i] = at - step;
            let numeric = (above - loss(&x)) / (2.0 * step);
            x[which][i] = at;
            let analytic = exact[2 + which][i];
            assert!(
                (numeric - analytic).abs() < 1e-7,
                "gradient {which}, element {i}: {analytic}, {numeric}"
            );
        }
    }
}

#[test]
fn rectified_pairs_are_their_formula() {
    let (queries, keys, values) = (9, 7, 3);
    let g = AttentionGeometry::new(2, [queries, keys], [1, values]).unwrap();
    let mut random = Random::new(4);
    // Integers, so that some sums are zero.
    let [a, b] = [g.rows(), 2 * keys].map(|len| random.integers(len));
    let (v, dy) = (random.integers(g.v_len()), random.integers(g.y_len()));
    let x = pairs::Pairs {
        a: &a,
        b: &b,
        v: &v,
    };
    let mut y = vec![f32::NAN; g.y_len()];
    pairs::forward(&g, &x, &mut y).unwrap();
    let lens = [a.len(), b.len(), v.len()];
    let [mut da, mut db, mut dv] = lens.map(|len| vec![f32::NAN; len]);
    pairs::backward(&g, &x, &dy, [&mut da, &mut db, &mut dv]).unwrap();
    let [mut exact_y, mut exact_dv] = [vec![0.0; y.len()], vec![0.0; v.len()]];
    let [mut exact_da, mut exact_db] = [vec![0.0; a.len()], vec![0.0; b.len()]];
    for i in 0..g.rows() {
        for j in i / queries * keys..(i / queries + 1) * keys {
            let weight = (a[i] + b[j]).max(0.0);
            for e in 0..values {
                exact_y[i * values + e] += weight * v[j * values + e];
                exact_dv[j * values + e] += weight * dy[i * values + e];
                if weight > 0.0 {
                    exact_da[i] += v[j * values + e] * dy[i * values + e];
                    exact_db[j] += v[j * values + e] * dy[i * values + e];
                }
            }
        }
    }
    assert_eq!([y, da, db, dv], [exact_y, exact_da, exact_db, exact_dv]);
}

#[test]
fn what_does_not_fit_is_refused() {
    for (sizes, lens) in [
        ([1, 0], [1, 1]),
        ([1, 1], [0, 1]),
        ([1, 1], [1, 0]),
        ([usize::MAX, 1], [8, 1]),
    ] {
        assert!(
            AttentionGeometry::new(1, sizes, lens).is_err(),
            "{sizes:?} {lens:?}"
        );
    }
    let problem = Problem::new(1, [2, 3], [4, 5], 1.0, 1);
    let level = Level::detect();
    let short = Operands {
        k: &problem.k[1..],
        ..problem.operands()
    };
    let (mut y, mut log_sums) = (vec![0.0; 10], vec![0.0; 2]);
    assert!(forward(level, &problem.g, &short, &mut y, &mut log_sums).is_err());
    assert!(
        forward(
            level,
            &problem.g,
            &problem.operands(),
            &mut y[1..],
            &mut log_sums
        )
        .is_err()
    );
    assert!(
        forward(
            level,
            &problem.g,
            &problem.operands(),
            &mut y,
            &mut log_sums
        )
        .is_ok()
    );
}

/// Value, logarithms, and the gradients of the map, the query and the number that is added.
fn run_pool<R: Real>(
    level: Level,
    g: &pool::PoolGeometry,
    map: &pool::Map<'_, R>,
    dy: &[R],
) -> [Vec<R>; 5] {
    let lens = [g.y_len(), g.batch(), g.x_len(), g.channels(), 1];
    let [mut y, mut log_sums, mut dx, mut dw, mut db] = lens.map(|len| vec![R::NAN; len]);
    pool::forward(level, g, map, &mut y, &mut log_sums).unwrap();
    let outcome = Outcome {
        y: &y,
        log_sums: &log_sums,
    };
    pool::backward(level, g, map, &outcome, dy, [&mut dx, &mut dw, &mut db]).unwrap();
    [y, log_sums, dx, dw, db]
}

test_each_level! {
    fn pools_agree_with_attention_in_double_precision(level: Level) {
        for (batch, places, c) in [(1, 1, 1), (2, 5, 3), (3, 33, 17), (1, 700, 40), (2, 300, 130), (0, 4, 5)] {
            let g = pool::PoolGeometry::new(batch, places, c).unwrap();
            let mut random = Random::new(9);
            let [x, dy] = [g.x_len(), g.y_len()].map(|len| random.normals(len));
            let w: Vec<f32> = random.normals(c).iter().map(|w| w / (c as f32).sqrt()).collect();
            let got = run_pool(level, &g, &pool::Map { x: &x, w: &w, b: 0.5 }, &dy);
            let [x, w, dy] = [&x, &w, &dy].map(|x| to_f64(x));
            let exact = run_pool(level, &g, &pool::Map { x: &x, w: &w, b: 0.5 }, &dy);

            let same = AttentionGeometry::new(batch, [1, places], [c, c]).unwrap();
            let q: Vec<f64> = (0..batch).flat_map(|_| w.clone()).collect();
            let operands = Operands { q: &q, k: &x, v: &x, scale: 1.0 };
            let [y, _, dq, dk, dv] = run(level, &same, &operands, &dy);
            let dx = dk.iter().zip(&dv).map(|(k, v)| k + v).collect();
            let dw = (0..c).map(|e| dq.iter().skip(e).step_by(c).sum()).collect();
            for (i, expected) in [(0, y), (2, dx), (3, dw)] {
                let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
                assert!(exact[i].iter().zip(&expected).all(close), "{g:?}: result {i}");
            }

            // Gradients of products are differences that may all but vanish.
            let scales = [1.0, 1.0, (c as f64).sqrt(), (c as f64).sqrt(), (c as f64).sqrt()];
            for (i, scale) in scales.into_iter().enumerate() {
                let worst = worst_error(&got[i], &exact[i], |k| exact[i][k].abs().max(scale));
                assert!(worst <= 32.0, "{g:?}: result {i} is off by {worst} roundings");
            }
        }
    }

    fn pools_of_special_values(level: Level) {
        let g = pool::PoolGeometry::new(1, 600, 1).unwrap();
        let pooled = |x: &[f32], b: f32| {
            let (mut y, mut log_sums) = ([0.0], [0.0]);
            pool::forward(level, &g, &pool::Map { x, w: &[1.0], b }, &mut y, &mut log_sums).unwrap();
            y[0]
        };
        // The largest comes last; weights of others vanish.
        let rising: Vec<f32> = (0..600).map(|i| i as f32).collect();
        let expected = 599.0 - 1.0 / (1.0_f32.exp() - 1.0);
        assert!((pooled(&rising, -7.0) - expected).abs() < 1e-3);
        for place in [0, 599] {
            let mut x = vec![0.5; 600];
            x[place] = f32::NAN;
            assert!(pooled(&x, 0.0).is_nan(), "NaN at {place}");
        }
        assert!(pooled(&[0.5; 600], f32::NAN).is_nan());
        assert!(pooled(&[f32::NEG_INFINITY; 600], 0.0).is_nan());
    }

    fn threads_change_no_pool(level: Level) {
        let g = pool::PoolGeometry::new(2, 3000, 24).unwrap();
        let mut random = Random::new(2);
        let (x, w, dy) = (random.normals(g.x_len()), random.normals(24), random.normals(48));
        assert_same_on_threads(|| run_pool(level, &g, &pool::Map { x: &x, w: &w, b: 0.0 }, &dy).concat());
    }
}

#[test]
fn weights_that_vanish_are_zero() {
    // Keys further and further away: their weights pass all subnormal numbers.
    for level in Level::available() {
        let keys = 400;
        let mut problem = Problem::new(1, [1, keys], [1, 1], 1.0, 3);
        problem.q = vec![1.0];
        problem.k = (0..keys).map(|j| -(j as f32) / 3.0).collect();
        // Gradients of values are then weights, and those of keys are those of products.
        problem.dy = vec![1.0];
        let [.., dk, dv] = run(level, &problem.g, &problem.operands(), &problem.dy);
        assert!(dk.iter().chain(&dv).all(|x| x.is_normal() || *x == 0.0));
    }
}
