//! Every implementation applies every epilogue, gated or not.

use super::tests::{Problem, square};
use super::*;
use crate::epilogue::Activation;
use crate::testing::{Random, on_threads, to_f64, worst_error};
use proptest::prelude::*;
use proptest::sample::select;
use striate_simd::test_each_level;

/// Convolutions such that every algorithm accepts some, with tails in every direction.
fn geometries() -> [Conv2dGeometry; 12] {
    let strided = |groups| {
        let (c, o) = (groups * 8, groups * 5);
        Conv2dGeometry::new(
            2,
            c,
            [9, 8],
            o,
            [3, 2],
            [2, 1],
            [2, 0, 1, 1],
            [1, 2],
            groups,
        )
        .unwrap()
    };
    [
        square(2, 5, 9, 37, 1, 1, 1),
        square(2, 9, 3, 70, 1, 1, 1),
        square(2, 16, 7, 35, 3, 1, 1),
        square(1, 12, 6, 34, 3, 1, 2),
        square(5, 24, 2, 70, 3, 1, 1),
        square(2, 3, 11, 21, 3, 2, 1),
        square(1, 1, 31, 35, 7, 2, 1),
        square(2, 20, 9, 4, 3, 1, 1),
        square(2, 21, 6, 21, 3, 1, 21),
        square(1, 24, 7, 24, 3, 1, 6),
        strided(1),
        strided(3),
    ]
}

fn activations() -> impl Strategy<Value = Activation> {
    select(vec![
        Activation::None,
        Activation::Relu,
        Activation::Relu6,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Silu,
        Activation::Gelu,
        Activation::Mish,
        Activation::HardSwish,
        Activation::HardSigmoid,
        Activation::Softplus,
    ])
}

/// Compares with the steps applied to the sums of the same implementation without an epilogue.
fn check(
    packed: &PackedWeights,
    g: &Conv2dGeometry,
    [x, gated_x]: [&[f32]; 2],
    gate: &[f32],
    epilogue: &Epilogue<'_>,
) {
    let mut sums = vec![f32::NAN; g.y_len()];
    packed
        .forward(g, gated_x, &Epilogue::NONE, &mut sums)
        .unwrap();
    let mut y = vec![f32::NAN; g.y_len()];
    packed.forward_gated(g, x, gate, epilogue, &mut y).unwrap();
    let mut exact = to_f64(&sums);
    let mut magnitudes: Vec<f64> = exact.iter().map(|sum| sum.abs()).collect();
    epilogue.apply(g.out_channels(), [&mut exact, &mut magnitudes]);
    let worst = worst_error(&y, &exact, |i| magnitudes[i] + exact[i].abs());
    let (name, level) = (packed.algorithm().family(), packed.level());
    assert!(
        worst < 4.0,
        "{name} on {level}, {epilogue:?}: off by {worst} units for {g:?}"
    );
    packed.forward(g, gated_x, epilogue, &mut sums).unwrap();
    assert_eq!(
        sums, y,
        "{name} on {level}: a gate of powers of two is exact for {g:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_implementation_applies_every_epilogue(
        [scaled, biased, added] in any::<[bool; 3]>(),
        activation in activations(),
        g in select(geometries().to_vec()),
        layout in select(vec![Layout::Nhwc, Layout::Nchw]),
    ) {
        let p = Problem::new(g, Random::normals);
        let mut random = Random::new(6);
        let [scale, bias] = [g.out_channels(); 2].map(|len| random.normals(len));
        let residual = random.normals(g.y_len());
        // Powers of two, so that multiplying the weights or the input by them gives the same bits.
        let gates = g.batch() * g.in_channels();
        let gate: Vec<f32> = (0..gates).map(|_| [0.5, 1.0, -2.0][random.below(3)]).collect();
        let (c, pixels) = (g.in_channels(), g.in_size()[0] * g.in_size()[1]);
        let gated_x: Vec<f32> = p.x.iter().enumerate().map(|(i, x)| x * match layout {
            Layout::Nhwc => gate[i / (c * pixels) * c + i % c],
            Layout::Nchw => gate[i / pixels],
        }).collect();
        let epilogue = Epilogue::NONE
            .scale(scaled.then_some(&scale))
            .bias(biased.then_some(&bias))
            .residual(added.then_some(&residual))
            .activation(activation);
        for level in Level::available() {
            for &algorithm in implementations().iter().filter(|a| a.accepts(&g, layout, level)) {
                let packed = PackedWeights::with_algorithm(level, &g, layout, &p.weight, algorithm);
                check(&packed.unwrap(), &g, [&p.x, &gated_x], &gate, &epilogue);
            }
        }
    }
}

/// The statistics of an output and those of its elements in double precision.
fn check_statistics(packed: &PackedWeights, p: &Problem, epilogue: &Epilogue<'_>) {
    let (g, channels) = (&p.g, p.g.out_channels());
    let results = on_threads(|| {
        let mut y = vec![f32::NAN; g.y_len()];
        let statistics = packed
            .forward_with_statistics(g, &p.x, epilogue, &mut y)
            .unwrap();
        (y, statistics)
    });
    let name = format!(
        "{} on {}, {g:?}",
        packed.algorithm().family(),
        packed.level()
    );
    assert!(
        results.iter().all(|r| r == &results[0]),
        "{name}: threads change bits"
    );
    let (y, [mean, variance]) = &results[0];
    let mut plain = vec![f32::NAN; g.y_len()];
    packed.forward(g, &p.x, epilogue, &mut plain).unwrap();
    assert_eq!(y, &plain, "{name}: what is observed is changed");
    for c in 0..channels {
        let values: Vec<f64> = y
            .iter()
            .skip(c)
            .step_by(channels)
            .map(|&y| f64::from(y))
            .collect();
        let count = values.len() as f64;
        let exact_mean = values.iter().sum::<f64>() / count;
        let exact = values.iter().map(|y| (y - exact_mean).powi(2)).sum::<f64>() / count;
        let mean_error = (mean[c] - exact_mean).abs() / exact.sqrt();
        let error = (variance[c] / exact - 1.0).abs();
        assert!(
            mean_error < 1e-6 && error < 2e-6,
            "{name}: {mean_error:e}, {error:e}"
        );
    }
}

test_each_level! {
    fn statistics_are_accurate_far_from_zero(level: Level) {
        // A thousand deviations from zero; long enough for several tiles and strips.
        let bias = vec![1e4; 70];
        for g in geometries().into_iter().chain([square(2, 64, 30, 70, 1, 1, 1), square(1, 16, 40, 20, 3, 1, 1)]) {
            let p = Problem::new(g, Random::normals);
            for &algorithm in implementations().iter().filter(|a| a.accepts(&g, Layout::Nhwc, level)) {
                let packed = PackedWeights::with_algorithm(level, &g, Layout::Nhwc, &p.weight, algorithm).unwrap();
                check_statistics(&packed, &p, &Epilogue::NONE);
                check_statistics(&packed, &p, &Epilogue::NONE.bias(Some(&bias[..g.out_channels()])));
            }
        }
    }
}

#[test]
fn nothing_has_no_statistics() {
    let g = Conv2dGeometry::new(0, 5, [4; 2], 9, [1; 2], [1; 2], [0; 4], [1; 2], 1).unwrap();
    let level = Level::selected().unwrap();
    let packed = PackedWeights::new(level, &g, Layout::Nhwc, &[1.0; 45]).unwrap();
    let [mean, variance] = packed
        .forward_with_statistics(&g, &[], &Epilogue::NONE, &mut [])
        .unwrap();
    assert!(mean.len() == 9 && mean.iter().chain(&variance).all(|x| x.is_nan()));
}

#[test]
fn every_implementation_is_tested() {
    for &algorithm in implementations() {
        for level in Level::available() {
            let accepts = |g| algorithm.accepts(g, Layout::Nhwc, level);
            let tested = geometries().iter().any(accepts);
            // One lane has no groups to spread over it.
            assert!(tested || level.lanes() == 1, "{algorithm:?} on {level}");
        }
    }
}

#[test]
fn a_gate_of_another_length_is_refused() {
    let g = square(2, 5, 9, 37, 1, 1, 1);
    let p = Problem::new(g, Random::normals);
    let level = Level::selected().unwrap();
    let packed = PackedWeights::new(level, &g, Layout::Nhwc, &p.weight).unwrap();
    let mut y = vec![0.0; g.y_len()];
    assert!(
        packed
            .forward_gated(&g, &p.x, &[1.0; 5], &Epilogue::NONE, &mut y)
            .is_err()
    );
}
