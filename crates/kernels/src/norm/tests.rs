//! Normalisations against the formulas in `f64`, and these against finite differences.

use super::group::GroupGeometry;
use super::layer::LayerGeometry;
use super::*;
use crate::geometry::Layout;
use crate::testing::{Random, assert_same_on_threads, to_f64, worst_error};
use striate_simd::{Level, test_each_level};

/// Shapes `[N, C, S]` whose channels fill vectors, leave rests, or are fewer than a vector has lanes, and whose positions
/// make one block or several.
const SHAPES: [[usize; 3]; 9] = [
    [1, 1, 9],
    [2, 3, 5],
    [3, 8, 7],
    [2, 16, 9],
    [1, 17, 70],
    [2, 48, 33],
    [5, 64, 1],
    [2, 5, 1500],
    [1, 130, 300],
];

const EPSILON: f64 = 1e-5;

/// The data of one problem. The numbers are far from zero, to show what cancels.
struct Problem {
    g: NormGeometry,
    x: Vec<f32>,
    dy: Vec<f32>,
    residual: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Problem {
    fn new([n, c, s]: [usize; 3], layout: Layout, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let g = NormGeometry::new(n, c, s, layout).unwrap();
        let x = random
            .normals(g.total())
            .iter()
            .map(|x| 3.0 * x + 30.0)
            .collect();
        Self {
            g,
            x,
            dy: random.normals(g.total()),
            residual: random.normals(g.total()),
            weight: random.floats(c),
            bias: random.floats(c),
        }
    }
}

fn problems() -> impl Iterator<Item = Problem> {
    let layouts = [Layout::Nchw, Layout::Nhwc];
    layouts.into_iter().flat_map(|layout| {
        SHAPES
            .into_iter()
            .enumerate()
            .map(move |(i, s)| Problem::new(s, layout, i as u64 + 1))
    })
}

/// Checks numbers whose error is that of sums of `terms` numbers of about one.
fn check(what: &str, g: &NormGeometry, got: &[f32], exact: &[f64], terms: usize) {
    let largest = exact.iter().fold(0.05_f64, |m, e| m.max(e.abs()));
    let worst = worst_error(got, exact, |_| largest);
    let bound = 4.0 * (terms as f64).sqrt() + 60.0;
    assert!(
        worst <= bound,
        "{what} of {g:?}: {worst} roundings, not {bound}"
    );
}

/// What batch norm computes of a problem: mean, var, y, dx, dresidual, dweight, dbias.
fn run_batch<R: Real>(
    level: Level,
    p: &Problem,
    convert: impl Fn(&[f32]) -> Vec<R>,
    (of_batch, relu): (bool, bool),
) -> [Vec<R>; 7] {
    let (g, c) = (&p.g, p.g.channels());
    let zeros = |len| vec![R::ZERO; len];
    let [x, dy, residual, weight, bias] =
        [&p.x, &p.dy, &p.residual, &p.weight, &p.bias].map(|v| convert(v));
    let (mut mean, mut var) = (zeros(c), zeros(c));
    batch::statistics(level, g, &x, &mut mean, &mut var).unwrap();
    if !of_batch {
        mean.iter_mut().for_each(|m| *m += R::from_f64(0.5));
    }
    let stats = Statistics {
        mean: &mean,
        var: &var,
        epsilon: EPSILON,
    };
    let affine = Affine {
        weight: Some(&weight),
        bias: Some(&bias),
    };
    let after = After {
        residual: relu.then_some(&residual[..]),
        relu,
    };
    let mut y = zeros(g.total());
    batch::apply_then(level, g, &x, &stats, &affine, after, &mut y).unwrap();
    let upstream = Upstream {
        x: &x,
        dy: &dy,
        mask: relu.then_some(&y[..]),
    };
    let [mut dx, mut dresidual] = [zeros(g.total()), zeros(g.total())];
    let [mut dweight, mut dbias] = [zeros(c), zeros(c)];
    let out = batch::Gradients {
        dx: &mut dx,
        dresidual: Some(&mut dresidual),
        dweight: &mut dweight,
        dbias: &mut dbias,
    };
    batch::backward_through(level, g, upstream, &stats, &affine, of_batch, out).unwrap();
    [mean, var, y, dx, dresidual, dweight, dbias]
}

use crate::real::Real;

test_each_level! {
    fn batch_norm_agrees_with_the_formula(level: Level) {
        for p in problems() {
            let count = p.g.batch() * p.g.spatial();
            for (of_batch, relu) in [(true, false), (true, true), (false, false), (false, true)] {
                let mut got = run_batch(level, &p, <[f32]>::to_vec, (of_batch, relu));
                let mut exact = run_batch(level, &p, to_f64, (of_batch, relu));
                // Where rounding decides on which side of a kink a value is, gradients may differ.
                let near = (0..p.g.total()).filter(|&i| relu && exact[2][i].abs() < 1e-4);
                let flips = near.filter(|&i| (got[2][i] == 0.0) != (exact[2][i] == 0.0)).count();
                if flips > 0 {
                    continue;
                }
                let names = ["mean", "var", "y", "dx", "dresidual", "dweight", "dbias"];
                for (i, name) in names.into_iter().enumerate() {
                    let (got, exact) = (std::mem::take(&mut got[i]), std::mem::take(&mut exact[i]));
                    let terms = if i >= 5 { 30 * count } else { count };
                    check(&format!("{name} ({of_batch} {relu})"), &p.g, &got, &exact, terms);
                }
            }
        }
    }

    fn variance_survives_a_large_mean(level: Level) {
        for layout in [Layout::Nchw, Layout::Nhwc] {
            let g = NormGeometry::new(4, 20, 900, layout).unwrap();
            let x: Vec<f32> = Random::new(3).floats(g.total()).iter().map(|x| 4096.0 + x).collect();
            let (mut mean, mut var) = (vec![0.0; 20], vec![0.0; 20]);
            batch::statistics(level, &g, &x, &mut mean, &mut var).unwrap();
            let (mut mean64, mut var64) = (vec![0.0; 20], vec![0.0; 20]);
            batch::statistics(level, &g, &to_f64(&x), &mut mean64, &mut var64).unwrap();
            assert!(worst_error(&mean, &mean64, |c| mean64[c]) <= 1.0);
            let worst = worst_error(&var, &var64, |c| var64[c]);
            assert!(worst <= 64.0, "{layout:?}: variance off by {worst} roundings");
        }
    }

    fn group_norm_agrees_with_the_formula(level: Level) {
        for p in problems() {
            let c = p.g.channels();
            for groups in [1, 2, c].into_iter().filter(|g| c.is_multiple_of(*g)) {
                let g = GroupGeometry::new(p.g, groups).unwrap();
                let count = p.g.spatial() * c / groups;
                // Of very few numbers the deviation is little but rounding.
                if count < 5 {
                    continue;
                }
                let got = run_group(level, &g, &p, <[f32]>::to_vec);
                let exact = run_group(level, &g, &p, to_f64);
                let names = ["y", "mean", "var", "dx", "dweight", "dbias"];
                for (i, name) in names.into_iter().enumerate() {
                    let terms = if i >= 4 { 30 * p.g.batch() * p.g.spatial() } else { count };
                    check(name, &p.g, &got[i], &exact[i], terms);
                }
            }
        }
    }

    fn layer_norm_agrees_with_the_formula(level: Level) {
        for (seed, (rows, len)) in [(1, 5), (3, 16), (7, 33), (40, 100), (3, 1000)].into_iter().enumerate() {
            let mut p = Problem::new([rows, len, 1], Layout::Nhwc, seed as u64 + 40);
            p.x.iter_mut().for_each(|x| *x += 100.0);
            let g = LayerGeometry::new(rows, len).unwrap();
            let got = run_layer(level, &g, &p, <[f32]>::to_vec);
            let exact = run_layer(level, &g, &p, to_f64);
            for (i, name) in ["y", "mean", "var", "dx", "dweight", "dbias"].into_iter().enumerate() {
                check(name, &p.g, &got[i], &exact[i], 1000);
            }
        }
    }

    fn modulation_agrees_with_the_formula(level: Level) {
        for p in problems() {
            let got = run_modulate(level, &p, <[f32]>::to_vec);
            let exact = run_modulate(level, &p, to_f64);
            for (i, name) in ["y", "dx", "dscale", "dshift"].into_iter().enumerate() {
                check(name, &p.g, &got[i], &exact[i], 30 * p.g.spatial());
            }
        }
    }

    fn not_a_number_stays_in_its_channel(level: Level) {
        for layout in [Layout::Nchw, Layout::Nhwc] {
            let mut p = Problem::new([2, 19, 6], layout, 5);
            let at = p.g.offset(1, 4, 3);
            p.x[at] = f32::NAN;
            let [mean, var, y, ..] = run_batch(level, &p, <[f32]>::to_vec, (true, false));
            for c in 0..19 {
                assert_eq!(mean[c].is_nan(), c == 4);
                assert_eq!(var[c].is_nan(), c == 4);
                assert_eq!(y[p.g.offset(0, c, 0)].is_nan(), c == 4);
            }
        }
    }

    fn threads_do_not_change_bits(level: Level) {
        for layout in [Layout::Nchw, Layout::Nhwc] {
            let p = Problem::new([3, 24, 2500], layout, 8);
            assert_same_on_threads(|| {
                run_batch(level, &p, <[f32]>::to_vec, (true, true)).concat()
            });
        }
        for layout in [Layout::Nchw, Layout::Nhwc] {
            let p = Problem::new([3, 24, 2500], layout, 8);
            assert_same_on_threads(|| run_modulate(level, &p, <[f32]>::to_vec).concat());
        }
        let p = Problem::new([700, 90, 1], Layout::Nhwc, 9);
        let g = LayerGeometry::new(700, 90).unwrap();
        assert_same_on_threads(|| run_layer(level, &g, &p, <[f32]>::to_vec).concat());
    }

    fn nothing_to_normalise(level: Level) {
        for layout in [Layout::Nchw, Layout::Nhwc] {
            for shape in [[0, 3, 4], [2, 3, 0], [2, 0, 4]] {
                let p = Problem::new(shape, layout, 10);
                let [mean, _, y, _, _, dweight, dbias] =
                    run_batch(level, &p, <[f32]>::to_vec, (true, true));
                assert!(y.is_empty() && mean.iter().all(|m| m.is_nan()));
                assert!(dweight.iter().chain(&dbias).all(|&d| d == 0.0));
                let g = GroupGeometry::new(p.g, 1).unwrap();
                run_group(level, &g, &p, <[f32]>::to_vec);
            }
        }
        let g = LayerGeometry::new(0, 4).unwrap();
        run_layer(level, &g, &Problem::new([0, 4, 1], Layout::Nhwc, 1), <[f32]>::to_vec);
        let g = LayerGeometry::new(4, 0).unwrap();
        run_layer(level, &g, &Problem::new([4, 0, 1], Layout::Nhwc, 1), <[f32]>::to_vec);
    }
}

/// `y`, `dx`, `dscale`, `dshift`, with numbers for each image and channel.
fn run_modulate<R: Real>(
    level: Level,
    p: &Problem,
    convert: impl Fn(&[f32]) -> Vec<R>,
) -> [Vec<R>; 4] {
    let (n, lines) = (p.g.total(), p.g.batch() * p.g.channels());
    let mut random = Random::new(77);
    let [scale, shift] = [0; 2].map(|_| convert(&random.floats(lines)));
    let [x, dy] = [&p.x, &p.dy].map(|v| convert(v));
    let zeros = |len| vec![R::ZERO; len];
    let [mut y, mut dx] = [zeros(n), zeros(n)];
    let [mut dscale, mut dshift] = [zeros(lines), zeros(lines)];
    modulate::forward(level, &p.g, &x, &scale, &shift, &mut y).unwrap();
    modulate::backward(
        level,
        &p.g,
        &x,
        &dy,
        &scale,
        &mut dx,
        &mut dscale,
        &mut dshift,
    )
    .unwrap();
    [y, dx, dscale, dshift]
}

/// `y`, mean, var, `dx`, `dweight`, `dbias`.
fn run_group<R: Real>(
    level: Level,
    g: &GroupGeometry,
    p: &Problem,
    convert: impl Fn(&[f32]) -> Vec<R>,
) -> [Vec<R>; 6] {
    let zeros = |len| vec![R::ZERO; len];
    let (n, c, k) = (p.g.total(), p.g.channels(), g.statistics_len());
    let [x, dy, weight, bias] = [&p.x, &p.dy, &p.weight, &p.bias].map(|v| convert(v));
    let affine = Affine {
        weight: Some(&weight),
        bias: Some(&bias),
    };
    let [mut y, mut mean, mut var] = [zeros(n), zeros(k), zeros(k)];
    group::forward(level, g, &x, &affine, EPSILON, &mut y, &mut mean, &mut var).unwrap();
    let stats = Statistics {
        mean: &mean,
        var: &var,
        epsilon: EPSILON,
    };
    let [mut dx, mut dw, mut db] = [zeros(n), zeros(c), zeros(c)];
    group::backward(
        level, g, &x, &dy, &stats, &affine, &mut dx, &mut dw, &mut db,
    )
    .unwrap();
    [y, mean, var, dx, dw, db]
}

/// `y`, mean, var, `dx`, `dweight`, `dbias`.
fn run_layer<R: Real>(
    level: Level,
    g: &LayerGeometry,
    p: &Problem,
    convert: impl Fn(&[f32]) -> Vec<R>,
) -> [Vec<R>; 6] {
    let zeros = |len| vec![R::ZERO; len];
    let (n, c, k) = (p.g.total(), p.g.channels(), g.rows());
    let [x, dy, weight, bias] = [&p.x, &p.dy, &p.weight, &p.bias].map(|v| convert(v));
    let affine = Affine {
        weight: Some(&weight),
        bias: Some(&bias),
    };
    let [mut y, mut mean, mut var] = [zeros(n), zeros(k), zeros(k)];
    layer::forward(level, g, &x, &affine, EPSILON, &mut y, &mut mean, &mut var).unwrap();
    let stats = Statistics {
        mean: &mean,
        var: &var,
        epsilon: EPSILON,
    };
    let [mut dx, mut dw, mut db] = [zeros(n), zeros(c), zeros(c)];
    layer::backward(
        level, g, &x, &dy, &stats, &affine, &mut dx, &mut dw, &mut db,
    )
    .unwrap();
    [y, mean, var, dx, dw, db]
}

/// The derivative of `loss` along each number of `x`.
fn differences(x: &[f64], loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let h = 1e-5;
    let at = |i: usize, d: f64| {
        let mut moved = x.to_vec();
        moved[i] += d;
        loss(&moved)
    };
    (0..x.len())
        .map(|i| (at(i, h) - at(i, -h)) / (2.0 * h))
        .collect()
}

fn assert_near(what: &str, got: &[f64], expected: &[f64]) {
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!(
            (g - e).abs() < 1e-7 * (1.0 + e.abs()),
            "{what} {i}: {g}, not {e}"
        );
    }
}

#[test]
fn formulas_agree_with_finite_differences() {
    let level = Level::detect();
    let mut p = Problem::new([2, 4, 3], Layout::Nhwc, 6);
    p.x.iter_mut().for_each(|x| *x -= 30.0);
    let [x, dy, weight, bias] = [&p.x, &p.dy, &p.weight, &p.bias].map(|v| to_f64(v));
    let dot = |y: &[f64]| -> f64 { y.iter().zip(&dy).map(|(y, d)| y * d).sum() };

    let batch_loss = |x: &[f64], weight: &[f64], bias: &[f64]| {
        let (mut mean, mut var, mut y) = ([0.0; 4], [0.0; 4], [0.0; 24]);
        batch::statistics(level, &p.g, x, &mut mean, &mut var).unwrap();
        let stats = Statistics {
            mean: &mean,
            var: &var,
            epsilon: EPSILON,
        };
        let affine = Affine {
            weight: Some(weight),
            bias: Some(bias),
        };
        batch::apply(level, &p.g, x, &stats, &affine, &mut y).unwrap();
        dot(&y)
    };
    let [_, _, _, dx, _, dweight, dbias] = run_batch(level, &p, to_f64, (true, false));
    assert_near(
        "batch dx",
        &dx,
        &differences(&x, |x| batch_loss(x, &weight, &bias)),
    );
    assert_near(
        "batch dweight",
        &dweight,
        &differences(&weight, |w| batch_loss(&x, w, &bias)),
    );
    assert_near(
        "batch dbias",
        &dbias,
        &differences(&bias, |b| batch_loss(&x, &weight, b)),
    );

    let g = GroupGeometry::new(p.g, 2).unwrap();
    let group_loss = |x: &[f64], weight: &[f64], bias: &[f64]| {
        let (mut y, mut mean, mut var) = ([0.0; 24], [0.0; 4], [0.0; 4]);
        let affine = Affine {
            weight: Some(weight),
            bias: Some(bias),
        };
        group::forward(level, &g, x, &affine, EPSILON, &mut y, &mut mean, &mut var).unwrap();
        dot(&y)
    };
    let [_, _, _, dx, dweight, dbias] = run_group(level, &g, &p, to_f64);
    assert_near(
        "group dx",
        &dx,
        &differences(&x, |x| group_loss(x, &weight, &bias)),
    );
    assert_near(
        "group dweight",
        &dweight,
        &differences(&weight, |w| group_loss(&x, w, &bias)),
    );
    assert_near(
        "group dbias",
        &dbias,
        &differences(&bias, |b| group_loss(&x, &weight, b)),
    );
}

#[test]
fn constant_statistics_give_a_linear_map() {
    let level = Level::detect();
    let p = Problem::new([2, 4, 3], Layout::Nchw, 7);
    let [mean, var, _, dx, ..] = run_batch(level, &p, to_f64, (false, false));
    assert_eq!(mean.len(), var.len());
    for i in 0..24 {
        let c = i / 3 % 4;
        let slope = f64::from(p.weight[c]) / (var[c] + EPSILON).sqrt();
        assert!((dx[i] - f64::from(p.dy[i]) * slope).abs() < 1e-12);
    }
}

#[test]
fn wrong_arguments_are_refused() {
    let level = Level::detect();
    let g = NormGeometry::new(2, 3, 4, Layout::Nchw).unwrap();
    assert!(NormGeometry::new(usize::MAX, 2, 2, Layout::Nchw).is_err());
    assert!(GroupGeometry::new(g, 2).is_err());
    assert!(GroupGeometry::new(g, 0).is_err());
    let (mut mean, mut var) = ([0.0_f32; 3], [0.0; 3]);
    assert!(batch::statistics(level, &g, &[0.0; 23], &mut mean, &mut var).is_err());
    assert!(batch::statistics(level, &g, &[0.0; 24], &mut mean[..2], &mut var).is_err());
    let stats = Statistics {
        mean: &mean,
        var: &var,
        epsilon: EPSILON,
    };
    let short = Affine {
        weight: Some(&[1.0_f32; 2][..]),
        bias: None,
    };
    assert!(batch::apply(level, &g, &[0.0; 24], &stats, &short, &mut [0.0; 24]).is_err());
    let after = After {
        residual: Some(&[0.0; 23][..]),
        relu: false,
    };
    let y = &mut [0.0; 24];
    assert!(batch::apply_then(level, &g, &[0.0; 24], &stats, &Affine::NONE, after, y).is_err());
}
