use super::*;
use crate::accuracy::Accuracy;
use crate::testing::{Random, assert_close, on_threads};
use crate::view::{View, ViewMut};
use proptest::prelude::*;
use proptest::sample::select;
use striate_simd::test_each_level;

/// A convolution with its operands, and what its gradients are compared with.
pub(super) struct Problem {
    pub(super) g: Conv2dGeometry,
    pub(super) x: Vec<f32>,
    pub(super) weight: Vec<f32>,
    pub(super) dy: Vec<f32>,
}

impl Problem {
    pub(super) fn new(g: Conv2dGeometry, draw: fn(&mut Random, usize) -> Vec<f32>) -> Self {
        let mut random = Random::new(g.x_len() as u64 * 31 + g.weight_len() as u64);
        let [x, weight, dy] =
            [g.x_len(), g.weight_len(), g.y_len()].map(|len| draw(&mut random, len));
        Self { g, x, weight, dy }
    }
}

type Pass = fn(&Conv2dGeometry, &[View<'_, f64>; 3], &mut [f64]);

/// The results of a reference pass and the sums of the magnitudes of their terms.
fn exact(p: &Problem, layout: Layout, len: usize, pass: Pass) -> [Vec<f64>; 2] {
    [false, true].map(|magnitudes| {
        let convert = |x: &[f32]| -> Vec<f64> {
            x.iter()
                .map(|&x| {
                    if magnitudes {
                        f64::from(x).abs()
                    } else {
                        f64::from(x)
                    }
                })
                .collect()
        };
        let [x, weight, dy] = [convert(&p.x), convert(&p.weight), convert(&p.dy)];
        let views = [
            View::dense(&x, p.g.x_shape(), layout).unwrap(),
            View::nchw(&weight, p.g.weight_shape()).unwrap(),
            View::nhwc(&dy, p.g.y_shape()).unwrap(),
        ];
        let mut out = vec![f64::NAN; len];
        pass(&p.g, &views, &mut out);
        out
    })
}

pub(super) fn exact_forward(p: &Problem, layout: Layout) -> [Vec<f64>; 2] {
    exact(p, layout, p.g.y_len(), |g, [x, weight, _], y| {
        reference::forward(
            g,
            x,
            weight,
            None,
            &mut ViewMut::nhwc(y, g.y_shape()).unwrap(),
        )
        .unwrap();
    })
}

pub(super) fn exact_backward_input(p: &Problem) -> [Vec<f64>; 2] {
    exact(p, Layout::Nhwc, p.g.x_len(), |g, [_, weight, dy], dx| {
        reference::backward_input(g, dy, weight, &mut ViewMut::nhwc(dx, g.x_shape()).unwrap())
            .unwrap();
    })
}

pub(super) fn exact_backward_weight(p: &Problem, layout: Layout) -> [Vec<f64>; 2] {
    exact(p, layout, p.g.weight_len(), |g, [x, _, dy], dw| {
        reference::backward_weight(g, x, dy, &mut ViewMut::nchw(dw, g.weight_shape()).unwrap())
            .unwrap();
    })
}

fn exact_backward_bias(p: &Problem) -> [Vec<f64>; 2] {
    exact(p, Layout::Nhwc, p.g.out_channels(), |g, [_, _, dy], db| {
        reference::backward_bias(g, dy, db).unwrap();
    })
}

fn compare(
    what: &str,
    level: Level,
    p: &Problem,
    got: &[f32],
    exact: &[Vec<f64>; 2],
    terms: usize,
) {
    for (i, &got) in got.iter().enumerate() {
        let place = || format!("{what} on {level}, element {i} of {:?}", p.g);
        assert_close(got, exact[0][i], exact[1][i], terms, place);
    }
}

/// The direct algorithms.
fn strict(level: Level) -> Policy {
    Policy {
        level,
        accuracy: Accuracy::Strict,
    }
}

fn check_all_passes(level: Level, p: &Problem) {
    let (g, policy) = (&p.g, strict(level));
    let terms = g.group_in_channels() * g.taps();
    for layout in [Layout::Nhwc, Layout::Nchw] {
        let mut y = vec![f32::NAN; g.y_len()];
        let forward = if layout == Layout::Nhwc {
            forward
        } else {
            forward_nchw
        };
        forward(policy, g, &p.x, &p.weight, &Epilogue::NONE, &mut y).unwrap();
        compare("y", level, p, &y, &exact_forward(p, layout), terms);
        let mut dw = vec![f32::NAN; g.weight_len()];
        let nhwc = layout == Layout::Nhwc;
        let backward_weight = if nhwc {
            backward_weight
        } else {
            backward_weight_nchw
        };
        backward_weight(policy, g, &p.x, &p.dy, &mut dw).unwrap();
        let pixels = g.y_len() / g.out_channels();
        compare(
            "dw",
            level,
            p,
            &dw,
            &exact_backward_weight(p, layout),
            pixels,
        );
    }
    let mut db = vec![f32::NAN; g.out_channels()];
    backward_bias(level, g, &p.dy, &mut db).unwrap();
    compare(
        "db",
        level,
        p,
        &db,
        &exact_backward_bias(p),
        g.y_len() / g.out_channels(),
    );
    let mut dx = vec![f32::NAN; g.x_len()];
    backward_input(policy, g, &p.dy, &p.weight, &mut dx).unwrap();
    compare(
        "dx",
        level,
        p,
        &dx,
        &exact_backward_input(p),
        g.group_out_channels() * g.taps(),
    );
}

/// Geometries with every attribute, among them padding beyond the kernel, odd channel counts and
/// empty batches; impossible ones are left out.
fn geometries() -> impl Strategy<Value = Conv2dGeometry> {
    let channels = || {
        select(vec![
            1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 48, 64, 65,
        ])
    };
    let small = || select(vec![1, 2, 3, 4, 6, 8, 12, 16]);
    let grouped = (1_usize..5, small(), small()).prop_map(|(g, i, o)| (g, g * i, g * o));
    let dense = (channels(), channels()).prop_map(|(i, o)| (1, i, o));
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    (
        select(vec![1, 1, 2, 3, 0]),
        pair(1..14),
        pair(1..5),
        pair(1..4),
        [0_usize..6, 0..6, 0..6, 0..6],
        pair(1..4),
        prop_oneof![3 => dense, 2 => grouped],
    )
        .prop_filter_map(
            "a possible convolution",
            |(n, size, kernel, stride, pad, dilation, c)| {
                let (groups, inputs, outputs) = c;
                Conv2dGeometry::new(
                    n, inputs, size, outputs, kernel, stride, pad, dilation, groups,
                )
                .ok()
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_passes_agree_with_double_precision(g in geometries()) {
        let problem = Problem::new(g, Random::normals);
        for level in Level::available() {
            check_all_passes(level, &problem);
        }
    }
}

/// The outputs of every algorithm that accepts `p`, but for those of tiles, whose error has another bound; and likewise
/// the gradients of the input.
fn check_every_algorithm(level: Level, p: &Problem) {
    let (g, terms) = (&p.g, p.g.group_in_channels() * p.g.taps());
    for layout in [Layout::Nhwc, Layout::Nchw] {
        let exact = exact_forward(p, layout);
        for &algorithm in implementations() {
            let packed = PackedWeights::with_algorithm(level, g, layout, &p.weight, algorithm);
            assert_eq!(packed.is_ok(), algorithm.accepts(g, layout, level));
            let Some(packed) = packed.ok().filter(|_| !algorithm.is_tiled()) else {
                continue;
            };
            let mut y = vec![f32::NAN; g.y_len()];
            packed.forward(g, &p.x, &Epilogue::NONE, &mut y).unwrap();
            compare(algorithm.family(), level, p, &y, &exact, terms);
        }
    }
    let (exact, terms) = (exact_backward_input(p), g.group_out_channels() * g.taps());
    let policy = Policy {
        level,
        accuracy: Accuracy::Strict,
    };
    let (candidates, choice) = gradient_candidates(policy, g, Weights::Fresh);
    assert!(candidates.iter().any(|c| c.algorithm == choice));
    for Candidate { algorithm, .. } in candidates {
        let mut dx = vec![f32::NAN; g.x_len()];
        backward_input_by(policy, g, algorithm, &p.dy, &p.weight, &mut dx).unwrap();
        compare(algorithm.family(), level, p, &dx, &exact, terms);
    }
    let terms = g.batch() * g.out_size()[0] * g.out_size()[1];
    for layout in [Layout::Nhwc, Layout::Nchw] {
        let exact = exact_backward_weight(p, layout);
        let (candidates, choice) = weight_candidates(policy, g, layout);
        assert!(candidates.iter().any(|c| c.algorithm == choice));
        for Candidate { algorithm, .. } in candidates {
            let mut dw = vec![f32::NAN; g.weight_len()];
            let x = (&p.x[..], layout);
            backward_weight_by(policy, g, algorithm, x, &p.dy, &mut dw).unwrap();
            compare(algorithm.family(), level, p, &dw, &exact, terms);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_algorithm_that_accepts_agrees_with_double_precision(g in geometries()) {
        let problem = Problem::new(g, Random::normals);
        for level in Level::available() {
            check_every_algorithm(level, &problem);
        }
    }
}

#[test]
fn families_name_algorithms() {
    for &algorithm in implementations() {
        assert_eq!(Algorithm::of_family(algorithm.family()), Some(algorithm));
    }
    assert_eq!(Algorithm::of_family("im2col"), None);
}

pub(super) fn square(
    n: usize,
    c: usize,
    size: usize,
    o: usize,
    k: usize,
    stride: usize,
    groups: usize,
) -> Conv2dGeometry {
    let (kernel, pad) = ([k, k], [k / 2; 4]);
    Conv2dGeometry::new(n, c, [size; 2], o, kernel, [stride; 2], pad, [1, 1], groups).unwrap()
}

test_each_level! {
    fn layers_of_real_networks_agree_with_double_precision(level: Level) {
        for g in [
            square(1, 3, 40, 64, 7, 2, 1),
            square(1, 64, 20, 80, 3, 1, 1),
            square(2, 24, 13, 130, 3, 2, 1),
            square(1, 130, 15, 70, 1, 1, 1),
            square(1, 64, 15, 40, 1, 2, 1),
            square(1, 64, 12, 64, 3, 1, 8),
            square(2, 36, 17, 48, 3, 2, 3),
            square(1, 64, 15, 64, 3, 1, 4),
            square(1, 54, 9, 48, 3, 3, 3),
            square(1, 1, 28, 12, 5, 1, 1),
            // Lines longer than the strips and bands that they are cut into.
            Conv2dGeometry::new(1, 2, [3, 1100], 9, [2, 9], [1, 1], [1, 0, 2, 7], [1, 2], 1).unwrap(),
            Conv2dGeometry::new(1, 9, [3, 700], 5, [2, 3], [1, 2], [1, 0, 2, 7], [1, 2], 1).unwrap(),
        ] {
            check_all_passes(level, &Problem::new(g, Random::normals));
        }
    }
}

test_each_level! {
    fn small_integers_are_exact(level: Level) {
        for g in [square(2, 5, 9, 37, 3, 1, 1), square(1, 6, 8, 9, 3, 2, 3), square(1, 17, 7, 64, 1, 1, 1)] {
            let p = Problem::new(g, Random::integers);
            let same = |got: &[f32], exact: [Vec<f64>; 2]| {
                assert!(got.iter().zip(&exact[0]).all(|(&a, &b)| f64::from(a) == b), "{g:?}");
            };
            let mut y = vec![f32::NAN; g.y_len()];
            forward(strict(level), &g, &p.x, &p.weight, &Epilogue::NONE, &mut y).unwrap();
            same(&y, exact_forward(&p, Layout::Nhwc));
            let mut dx = vec![f32::NAN; g.x_len()];
            backward_input(strict(level), &g, &p.dy, &p.weight, &mut dx).unwrap();
            same(&dx, exact_backward_input(&p));
            let mut dw = vec![f32::NAN; g.weight_len()];
            backward_weight(strict(level), &g, &p.x, &p.dy, &mut dw).unwrap();
            same(&dw, exact_backward_weight(&p, Layout::Nhwc));
        }
    }
}

test_each_level! {
    fn a_single_tap_shifts_the_image(level: Level) {
        let (h, w, c) = (9, 11, 20);
        let g = Conv2dGeometry::new(1, c, [h, w], c, [3, 3], [1; 2], [1; 4], [1; 2], 1).unwrap();
        let x = Random::new(5).normals(g.x_len());
        for tap in 0..9 {
            let mut weight = vec![0.0; g.weight_len()];
            (0..c).for_each(|o| weight[(o * c + o) * 9 + tap] = 1.0);
            let mut y = vec![f32::NAN; g.y_len()];
            forward(strict(level), &g, &x, &weight, &Epilogue::NONE, &mut y).unwrap();
            for (i, &got) in y.iter().enumerate() {
                let [row, column, channel] = [i / c / w + tap / 3, i / c % w + tap % 3, i % c];
                let inside = (1..=h).contains(&row) && (1..=w).contains(&column);
                let source = inside.then(|| x[((row - 1) * w + column - 1) * c + channel]);
                assert_eq!(got, source.unwrap_or(0.0), "tap {tap}, element {i}");
            }
        }
    }
}

test_each_level! {
    fn packed_weights_serve_other_sizes(level: Level) {
        let packed_for = square(1, 20, 7, 70, 3, 1, 1);
        let weight = Random::new(7).normals(packed_for.weight_len());
        let packed = PackedWeights::new(strict(level), &packed_for, Layout::Nhwc, &weight).unwrap();
        let g = square(3, 20, 12, 70, 3, 1, 1);
        let mut p = Problem::new(g, Random::normals);
        p.weight = weight;
        let mut y = vec![f32::NAN; g.y_len()];
        packed.forward(&g, &p.x, &Epilogue::NONE, &mut y).unwrap();
        compare("y", level, &p, &y, &exact_forward(&p, Layout::Nhwc), 180);
        let other = square(3, 20, 12, 70, 3, 2, 1);
        assert!(packed.forward(&other, &p.x, &Epilogue::NONE, &mut y).is_err());
    }
}

test_each_level! {
    fn weights_of_equal_arrangements_are_packed_alike(level: Level) {
        for (channels, outputs, groups) in [(40, 70, 1), (6, 35, 1), (64, 64, 2), (24, 24, 6)] {
            let mut seen: Vec<PackedWeights> = Vec::new();
            for size in [1, 2, 3, 5, 8, 13, 21, 34] {
                let g = square(1 + size % 3, channels, size, outputs, 3, 1, groups);
                let weight = Random::new(8).normals(g.weight_len());
                let packed = PackedWeights::new(level, &g, Layout::Nhwc, &weight).unwrap();
                let arrangement = Arrangement::choose(level, &g, Layout::Nhwc);
                assert_eq!(*packed.arrangement(), arrangement);
                match seen.iter().find(|other| *other.arrangement() == arrangement) {
                    Some(same) => assert!(same.elements() == packed.elements(), "{g:?}"),
                    None => seen.push(packed),
                }
            }
            assert!(seen.len() < 8, "one for each size: {channels} channels");
        }
    }
}

test_each_level! {
    fn gradients_are_adjoint_to_the_convolution(level: Level) {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        for g in [square(2, 19, 13, 33, 3, 2, 1), square(1, 16, 10, 24, 4, 3, 2)] {
            let p = Problem::new(g, Random::normals);
            let (mut y, mut dx, mut dw) =
                (vec![0.0; g.y_len()], vec![0.0; g.x_len()], vec![0.0; g.weight_len()]);
            forward(level, &g, &p.x, &p.weight, &Epilogue::NONE, &mut y).unwrap();
            backward_input(level, &g, &p.dy, &p.weight, &mut dx).unwrap();
            backward_weight(level, &g, &p.x, &p.dy, &mut dw).unwrap();
            let products = [dot(&y, &p.dy), dot(&dx, &p.x), dot(&dw, &p.weight)];
            let scale = dot(&y, &y).sqrt() * dot(&p.dy, &p.dy).sqrt();
            for product in products {
                let error = (product - products[0]).abs() / scale;
                assert!(error < 1e-5, "{products:?} differ by {error:e} of {scale:e}");
            }
        }
    }
}

test_each_level! {
    fn what_is_not_a_number_stays_in_its_group(level: Level) {
        for (inputs, outputs) in [(4, 4), (3, 3), (12, 12), (4, 8), (8, 4), (6, 4), (5, 2)] {
            let groups = 7;
            let g = Conv2dGeometry::new(
                1, groups * inputs, [6, 9], groups * outputs, [3, 3], [1; 2], [1; 4], [1; 2], groups,
            )
            .unwrap();
            let mut p = Problem::new(g, Random::normals);
            let mut y = vec![0.0; g.y_len()];
            p.x.iter_mut().skip(3 * inputs + 1).step_by(groups * inputs).for_each(|x| *x = f32::NAN);
            forward(strict(level), &g, &p.x, &p.weight, &Epilogue::NONE, &mut y).unwrap();
            for (i, y) in y.iter().enumerate() {
                let group = i % (groups * outputs) / outputs;
                assert_eq!(y.is_nan(), group == 3, "element {i} of {g:?}");
            }
        }
    }
}

test_each_level! {
    fn the_number_of_threads_changes_no_bit(level: Level) {
        for g in [square(3, 20, 30, 70, 3, 1, 1), square(1, 3, 60, 32, 7, 2, 1), square(2, 64, 14, 64, 3, 2, 8)] {
            let p = Problem::new(g, Random::normals);
            let results: Vec<[Vec<f32>; 5]> = on_threads(|| {
                let [mut y, mut from_nchw] = [vec![0.0; g.y_len()], vec![0.0; g.y_len()]];
                let (mut dx, mut dw) = (vec![0.0; g.x_len()], vec![0.0; g.weight_len()]);
                let mut db = vec![0.0; g.out_channels()];
                forward(level, &g, &p.x, &p.weight, &Epilogue::NONE, &mut y).unwrap();
                forward_nchw(level, &g, &p.x, &p.weight, &Epilogue::NONE, &mut from_nchw).unwrap();
                backward_input(level, &g, &p.dy, &p.weight, &mut dx).unwrap();
                backward_weight(level, &g, &p.x, &p.dy, &mut dw).unwrap();
                backward_bias(level, &g, &p.dy, &mut db).unwrap();
                [y, from_nchw, dx, dw, db]
            });
            assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{g:?}");
        }
    }
}

test_each_level! {
    fn what_does_not_fit_is_refused(level: Level) {
        let g = square(1, 4, 6, 8, 3, 1, 1);
        let (x, weight, mut y) = (vec![0.0; g.x_len()], vec![0.0; g.weight_len()], vec![0.0; g.y_len()]);
        let short = &x[1..];
        let declined = PackedWeights::with_algorithm(level, &g, Layout::Nhwc, &weight, Algorithm::Pointwise);
        let reason = declined.map(|_| ()).unwrap_err().to_string();
        assert_eq!(reason, "conv2d: algorithm is pointwise, but it declines this convolution");
        assert!(forward(level, &g, short, &weight, &Epilogue::NONE, &mut y).is_err());
        assert!(forward(level, &g, &x, &weight[1..], &Epilogue::NONE, &mut y).is_err());
        assert!(forward(level, &g, &x, &weight, &Epilogue::NONE, &mut y[1..]).is_err());
        let epilogue = Epilogue::NONE.bias(Some(&x[..7]));
        assert!(forward(level, &g, &x, &weight, &epilogue, &mut y).is_err());
        assert!(backward_input(level, &g, &y, &weight, &mut x.clone()[1..]).is_err());
        assert!(backward_weight(level, &g, short, &y, &mut weight.clone()).is_err());
        assert!(backward_bias(level, &g, &y, &mut [0.0; 7]).is_err());
    }
}
