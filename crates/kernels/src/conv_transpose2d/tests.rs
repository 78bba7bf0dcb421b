use super::*;
use crate::conv2d::Conv2dGeometry;
use crate::epilogue::Activation;
use crate::testing::{Random, assert_close, on_threads};
use crate::view::{View, ViewMut};
use proptest::prelude::*;
use proptest::sample::select;
use striate_simd::test_each_level;

type Geometry = ConvTranspose2dGeometry;

/// A transposed convolution with its operands, and what its gradients are compared with.
struct Problem {
    g: Geometry,
    x: Vec<f32>,
    weight: Vec<f32>,
    dy: Vec<f32>,
}

impl Problem {
    fn new(g: Geometry, draw: fn(&mut Random, usize) -> Vec<f32>) -> Self {
        let mut random = Random::new(g.x_len() as u64 * 31 + g.weight_len() as u64);
        let [x, weight, dy] =
            [g.x_len(), g.weight_len(), g.y_len()].map(|len| draw(&mut random, len));
        Self { g, x, weight, dy }
    }

    /// `[y, dx, dw, db]` in double precision, of the operands or of their magnitudes.
    fn exact(&self, magnitudes: bool) -> [Vec<f64>; 4] {
        let convert = |v: &[f32]| -> Vec<f64> {
            let value = |&v: &f32| f64::from(if magnitudes { v.abs() } else { v });
            v.iter().map(value).collect()
        };
        let g = &self.g;
        let [x, weight, dy] = [&self.x, &self.weight, &self.dy].map(|v| convert(v));
        let x = View::nhwc(&x, g.x_shape()).unwrap();
        let weight = View::nchw(&weight, g.weight_shape()).unwrap();
        let dy = View::nhwc(&dy, g.y_shape()).unwrap();
        let lens = [g.y_len(), g.x_len(), g.weight_len(), g.out_channels()];
        let mut out = lens.map(|len| vec![f64::NAN; len]);
        let [y, dx, dw, db] = &mut out;
        let mut y = ViewMut::nhwc(y, g.y_shape()).unwrap();
        reference::forward(g, &x, &weight, None, &mut y).unwrap();
        let mut dx = ViewMut::nhwc(dx, g.x_shape()).unwrap();
        reference::backward_input(g, &dy, &weight, &mut dx).unwrap();
        let mut dw = ViewMut::nchw(dw, g.weight_shape()).unwrap();
        reference::backward_weight(g, &x, &dy, &mut dw).unwrap();
        reference::backward_bias(g, &dy, db).unwrap();
        out
    }

    /// `[y, dx, dw, db]` by the kernels.
    fn computed(&self, policy: impl Into<Policy>) -> [Vec<f32>; 4] {
        let (g, policy) = (&self.g, policy.into());
        let lens = [g.y_len(), g.x_len(), g.weight_len(), g.out_channels()];
        let mut out = lens.map(|len| vec![f32::NAN; len]);
        let [y, dx, dw, db] = &mut out;
        forward(policy, g, &self.x, &self.weight, &Epilogue::NONE, y).unwrap();
        backward_input(policy, g, &self.dy, &self.weight, dx).unwrap();
        backward_weight(policy, g, &self.x, &self.dy, dw).unwrap();
        backward_bias(policy.level, g, &self.dy, db).unwrap();
        out
    }
}

/// Without Winograd's algorithms.
fn strict(level: Level) -> Policy {
    Policy {
        level,
        accuracy: Accuracy::Strict,
    }
}

fn check_all_passes(level: Level, p: &Problem) {
    let (exact, magnitudes) = (p.exact(false), p.exact(true));
    let g = &p.g;
    let pixels = |len: usize, channels: usize| len / channels;
    // The most terms that an element can have.
    let terms = [
        g.group_in_channels() * g.taps(),
        g.group_out_channels() * g.taps(),
        pixels(g.x_len(), g.in_channels()),
        pixels(g.y_len(), g.out_channels()),
    ];
    for (which, got) in p.computed(strict(level)).iter().enumerate() {
        for (i, &got) in got.iter().enumerate() {
            let place = || format!("result {which} on {level}, element {i} of {g:?}");
            let (exact, magnitude) = (exact[which][i], magnitudes[which][i]);
            assert_close(got, exact, magnitude, terms[which], place);
        }
    }
}

/// Geometries with every attribute, among them strides beyond the kernel, whose pixels between are
/// reached by no tap, output paddings beyond the stride, padding beyond the kernel, and empty batches.
fn geometries() -> impl Strategy<Value = Geometry> {
    let channels = || select(vec![1, 2, 3, 5, 8, 15, 16, 17, 32, 33, 65]);
    let small = || select(vec![1, 2, 3, 4, 6]);
    let depthwise = select(vec![2, 3, 8, 16, 17, 33]).prop_map(|c| (c, c, c));
    let grouped = (1_usize..5, small(), small()).prop_map(|(g, i, o)| (g, g * i, g * o));
    let dense = (channels(), channels()).prop_map(|(i, o)| (1, i, o));
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    (
        select(vec![1, 1, 2, 3, 0]),
        pair(1..10),
        pair(1..5),
        pair(1..4),
        [0_usize..6, 0..6, 0..6, 0..6],
        pair(0..3),
        pair(1..4),
        prop_oneof![3 => dense, 2 => grouped, 1 => depthwise],
    )
        .prop_filter_map(
            "a possible transposed convolution",
            |(n, size, kernel, stride, pad, extra, dilation, c)| {
                let (groups, inputs, outputs) = c;
                let built = Geometry::new(
                    n, inputs, size, outputs, kernel, stride, pad, extra, dilation, groups,
                );
                built.ok()
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

    #[test]
    fn the_epilogue_reaches_every_output_once(g in geometries()) {
        let p = Problem::new(g, Random::integers);
        let mut random = Random::new(6);
        let (bias, residual) = (random.integers(g.out_channels()), random.integers(g.y_len()));
        let epilogue = Epilogue::NONE
            .bias(Some(&bias))
            .residual(Some(&residual))
            .activation(Activation::Relu);
        let [exact, ..] = p.exact(false);
        let expected: Vec<f32> = exact
            .iter()
            .enumerate()
            .map(|(i, &sum)| (sum as f32 + bias[i % g.out_channels()] + residual[i]).max(0.0))
            .collect();
        for level in Level::available() {
            let mut y = vec![f32::NAN; g.y_len()];
            forward(strict(level), &g, &p.x, &p.weight, &epilogue, &mut y).unwrap();
            assert_eq!(y, expected, "packed once, {level}, {g:?}");
            let packed = PackedWeights::new(strict(level), &g, &p.weight).unwrap();
            y.fill(f32::NAN);
            packed.forward(&g, &p.x, &epilogue, &mut y).unwrap();
            assert_eq!(y, expected, "packed before, {level}, {g:?}");
        }
    }
}

/// `[inputs, outputs, groups]`, `[kernel, stride, padding, output padding]`, the same on both axes.
fn square(
    batch: usize,
    [inputs, outputs, groups]: [usize; 3],
    size: usize,
    [kernel, stride, padding, extra]: [usize; 4],
) -> Geometry {
    let (kernel, stride, padding) = ([kernel; 2], [stride; 2], [padding; 4]);
    Geometry::new(
        batch, inputs, [size; 2], outputs, kernel, stride, padding, [extra; 2], [1; 2], groups,
    )
    .unwrap()
}

/// Layers as decoders and generators have them.
fn layers() -> [Geometry; 6] {
    [
        square(1, [64, 40, 1], 14, [4, 2, 1, 0]),
        square(2, [24, 70, 1], 9, [3, 2, 1, 1]),
        square(1, [48, 33, 1], 12, [2, 2, 0, 0]),
        square(1, [32, 64, 8], 10, [4, 2, 1, 0]),
        square(2, [40, 40, 40], 9, [4, 2, 1, 0]),
        square(1, [64, 3, 1], 16, [4, 2, 1, 0]),
    ]
}

test_each_level! {
    fn layers_of_real_networks_agree_with_double_precision(level: Level) {
        for g in layers() {
            check_all_passes(level, &Problem::new(g, Random::normals));
        }
    }

    fn small_integers_are_exact(level: Level) {
        for g in layers() {
            let p = Problem::new(g, Random::integers);
            for (got, exact) in p.computed(strict(level)).iter().zip(p.exact(false)) {
                assert!(got.iter().zip(&exact).all(|(&a, &b)| f64::from(a) == b), "{g:?}");
            }
        }
    }

    fn the_number_of_threads_changes_no_bit(level: Level) {
        for g in layers() {
            let p = Problem::new(g, Random::normals);
            let results = on_threads(|| p.computed(level));
            assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{g:?}");
        }
    }

    fn it_is_the_adjoint_of_a_convolution(level: Level) {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        // `<transposed(x), u> = <x, convolved(u)>` for every image `u` of the output's shape.
        for (g, pad) in [(layers()[0], 1), (layers()[1], 1), (layers()[3], 1)] {
            let p = Problem::new(g, Random::normals);
            let [_, outputs, oh, ow] = g.y_shape();
            let convolution = Conv2dGeometry::new(
                g.batch(), outputs, [oh, ow], g.in_channels(), g.kernel(), g.stride(), [pad; 4], [1; 2],
                g.groups(),
            )
            .unwrap();
            assert_eq!(convolution.y_shape(), g.x_shape());
            let (mut y, mut convolved) = (vec![0.0; g.y_len()], vec![0.0; g.x_len()]);
            forward(level, &g, &p.x, &p.weight, &Epilogue::NONE, &mut y).unwrap();
            conv2d::forward(level, &convolution, &p.dy, &p.weight, &Epilogue::NONE, &mut convolved)
                .unwrap();
            let [mut dx, mut dw] = [vec![0.0; g.x_len()], vec![0.0; g.weight_len()]];
            backward_input(level, &g, &p.dy, &p.weight, &mut dx).unwrap();
            backward_weight(level, &g, &p.x, &p.dy, &mut dw).unwrap();
            let scale = dot(&y, &y).sqrt() * dot(&p.dy, &p.dy).sqrt();
            let products = [dot(&y, &p.dy), dot(&p.x, &convolved), dot(&p.x, &dx), dot(&p.weight, &dw)];
            for product in products {
                let error = (product - products[0]).abs() / scale;
                assert!(error < 1e-5, "{products:?} differ by {error:e} of {scale:e}");
            }
        }
    }

    fn packed_weights_serve_other_sizes(level: Level) {
        for packed_for in layers() {
            let p = Problem::new(packed_for, Random::normals);
            let packed = PackedWeights::new(strict(level), &packed_for, &p.weight).unwrap();
            for size in [1, 2, 19] {
                let ([kernel, stride], pad) = ([packed_for.kernel(), packed_for.stride()], packed_for.padding());
                let g = Geometry::new(
                    2, packed_for.in_channels(), [size; 2], packed_for.out_channels(), kernel, stride,
                    pad, [1; 2], [1; 2], packed_for.groups(),
                )
                .unwrap();
                let q = Problem { weight: p.weight.clone(), ..Problem::new(g, Random::normals) };
                let (mut y, mut once) = (vec![f32::NAN; g.y_len()], vec![f32::NAN; g.y_len()]);
                packed.forward(&g, &q.x, &Epilogue::NONE, &mut y).unwrap();
                let algorithm = packed.arrangement().algorithm();
                PackedWeights::with_algorithm(strict(level), &g, &q.weight, algorithm)
                    .and_then(|packed| packed.forward(&g, &q.x, &Epilogue::NONE, &mut once))
                    .unwrap();
                assert_eq!(y, once, "{g:?}");
            }
            let other = square(1, [8, 8, 1], 6, [3, 3, 1, 0]);
            let (x, mut y) = (vec![0.0; other.x_len()], vec![0.0; other.y_len()]);
            assert!(packed.forward(&other, &x, &Epilogue::NONE, &mut y).is_err());
        }
    }

    fn every_candidate_agrees_with_double_precision(level: Level) {
        for g in layers() {
            let p = Problem::new(g, Random::normals);
            let (exact, magnitudes) = (p.exact(false), p.exact(true));
            let (residual, bias) = (&p.dy, &p.weight[..g.out_channels()]);
            let epilogue = Epilogue::NONE.bias(Some(bias)).residual(Some(residual));
            let candidates = candidates(strict(level), &g);
            assert!(candidates.iter().any(|c| c.algorithm == Algorithm::Direct));
            for Candidate { algorithm, cycles } in candidates {
                assert!(cycles.is_finite() && cycles > 0.0, "{algorithm:?} of {g:?}");
                let mut y = vec![f32::NAN; g.y_len()];
                PackedWeights::with_algorithm(strict(level), &g, &p.weight, algorithm)
                    .and_then(|packed| packed.forward(&g, &p.x, &epilogue, &mut y))
                    .unwrap();
                for (i, &got) in y.iter().enumerate() {
                    let others = [bias[i % g.out_channels()], residual[i]].map(f64::from);
                    let exact = exact[0][i] + others[0] + others[1];
                    let magnitude = magnitudes[0][i] + others[0].abs() + others[1].abs();
                    let terms = g.group_in_channels() * g.taps() + 2;
                    let place = || format!("{algorithm:?} on {level}, element {i} of {g:?}");
                    assert_close(got, exact, magnitude, terms, place);
                }
            }
        }
    }

    fn a_method_that_declines_says_so(level: Level) {
        let g = square(1, [8, 8, 1], 6, [3, 1, 1, 0]);
        let weight = vec![0.0; g.weight_len()];
        for algorithm in [Algorithm::Depthwise, Algorithm::Grouped] {
            assert!(PackedWeights::with_algorithm(level, &g, &weight, algorithm).is_err());
        }
        let winograd = PackedWeights::with_algorithm(strict(level), &g, &weight, Algorithm::Winograd);
        assert!(winograd.is_err());
    }

    fn many_channels_are_tiled(level: Level) {
        for (kernel, stride) in [(3, 1), (4, 2), (6, 2)] {
            let g = square(1, [64, 64, 1], 24, [kernel, stride, 1, 0]);
            let algorithm = choose(&g, level, Accuracy::Fast);
            assert_eq!(algorithm, Algorithm::Winograd);
            let expected = format!("f32-conv_transpose2d-winograd-{kernel}x{kernel}s{stride}-{level}");
            assert_eq!(name(algorithm, &g, level), expected);
            assert_eq!(choose(&g, level, Accuracy::Strict), Algorithm::Direct);
            let p = Problem::new(g, Random::normals);
            let (computed, exact, magnitudes) = (p.computed(level), p.exact(false), p.exact(true));
            let (mut y, bias) = (vec![f32::NAN; g.y_len()], &p.weight[..g.out_channels()]);
            let epilogue = Epilogue::NONE
                .bias(Some(bias))
                .residual(Some(&p.dy))
                .activation(Activation::Relu);
            forward(level, &g, &p.x, &p.weight, &epilogue, &mut y).unwrap();
            for (i, &sum) in computed[0].iter().enumerate() {
                let expected = sum + bias[i % g.out_channels()] + p.dy[i];
                assert_eq!(y[i], expected.max(0.0), "element {i} of {g:?}");
            }
            for which in 0..3 {
                let most = magnitudes[which].iter().fold(0.0, |most: f64, &m| most.max(m));
                for (&got, exact) in computed[which].iter().zip(&exact[which]) {
                    let error = (f64::from(got) - exact).abs() * f64::from(1 << 24);
                    assert!(error <= 40.0 * most, "result {which} of {g:?} on {level}: {got} is not {exact}");
                }
            }
        }
    }

    fn what_does_not_fit_is_refused(level: Level) {
        let g = square(1, [4, 6, 2], 6, [4, 2, 1, 0]);
        let (x, weight, mut y) = (vec![0.0; g.x_len()], vec![0.0; g.weight_len()], vec![0.0; g.y_len()]);
        let none = Epilogue::NONE;
        assert!(forward(level, &g, &x[1..], &weight, &none, &mut y).is_err());
        assert!(forward(level, &g, &x, &weight[1..], &none, &mut y).is_err());
        assert!(forward(level, &g, &x, &weight, &none, &mut y[1..]).is_err());
        let epilogue = none.bias(Some(&x[..4]));
        assert!(forward(level, &g, &x, &weight, &epilogue, &mut y).is_err());
        assert!(PackedWeights::new(level, &g, &weight[1..]).is_err());
        assert!(backward_input(level, &g, &y, &weight, &mut x.clone()[1..]).is_err());
        assert!(backward_weight(level, &g, &x[1..], &y, &mut weight.clone()).is_err());
        assert!(backward_bias(level, &g, &y, &mut [0.0; 4]).is_err());
    }
}
