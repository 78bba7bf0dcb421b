//! Values and gradients of every function on every level, and broadcasting in any strides.

use super::*;
use crate::testing::{Random, assert_same_on_threads, to_f64, worst_error};
use proptest::prelude::*;
use striate_simd::test_each_level;

/// Every function, with the range that its arguments are drawn from.
fn functions() -> Vec<(Unary, f64, f64)> {
    let everywhere = |op| (op, -20.0, 20.0);
    vec![
        everywhere(Unary::Neg),
        everywhere(Unary::Abs),
        (Unary::Exp, -80.0, 80.0),
        (Unary::Log, 1e-6, 1e6),
        (Unary::Sqrt, 1e-6, 1e6),
        (Unary::Rsqrt, 1e-3, 1e6),
        (Unary::Reciprocal, 0.01, 100.0),
        everywhere(Unary::Square),
        everywhere(Unary::Sin),
        everywhere(Unary::Cos),
        (Unary::Powf { exponent: 2.5 }, 0.01, 20.0),
        (Unary::Powf { exponent: 3.0 }, -5.0, 5.0),
        everywhere(Unary::Affine {
            scale: -1.5,
            shift: 0.25,
        }),
        everywhere(Unary::Clamp {
            min: -3.5,
            max: 7.25,
        }),
        everywhere(Unary::Relu),
        everywhere(Unary::Relu6),
        everywhere(Unary::LeakyRelu { slope: 0.1 }),
        everywhere(Unary::Elu { alpha: 1.5 }),
        everywhere(Unary::Sigmoid),
        everywhere(Unary::Tanh),
        everywhere(Unary::Silu),
        everywhere(Unary::Gelu),
        (Unary::GeluTanh, -6.0, 6.0),
        everywhere(Unary::Mish),
        everywhere(Unary::HardSwish),
        everywhere(Unary::HardSigmoid),
        everywhere(Unary::Softplus {
            beta: 2.0,
            threshold: 20.0,
        }),
    ]
}

/// What an error of the value or the derivative at `x` is measured by: the value itself, except where the formula has
/// a sum that cancels.
fn scale(op: Unary, x: f64, result: f64) -> f64 {
    let cancels = match op {
        Unary::Gelu => 1.0 + x.abs(),
        Unary::Affine { .. } | Unary::Elu { .. } | Unary::HardSwish | Unary::HardSigmoid => 1.0,
        // The error of the argument, a few units, is magnified by its own size.
        Unary::Silu | Unary::Mish => x.abs() * result.abs(),
        Unary::GeluTanh => (1.6 * x.abs() + 0.08 * x.abs().powi(3)) * result.abs(),
        _ => 0.0,
    };
    result.abs().max(cancels).max(f64::from(f32::MIN_POSITIVE))
}

/// Writes `y` from `x` and `dy`.
type Whole<'a> = dyn Fn(&[f32], &[f32], &mut [f32]) + 'a;

test_each_level! {
    fn values_agree_with_the_formulas(level: Level) {
        let mut numbers = Random::new(1);
        for (op, low, high) in functions() {
            let x: Vec<f32> = (0..4000).map(|_| numbers.uniform(low, high) as f32).collect();
            let mut y = vec![0.0; x.len()];
            unary(level, op, &x, &mut y).unwrap();
            let expected: Vec<f64> = to_f64(&x).into_iter().map(|x| op.value(x)).collect();
            let worst = worst_error(&y, &expected, |i| scale(op, f64::from(x[i]), expected[i]));
            assert!(worst <= 10.0, "{op:?}: {worst} roundings");
        }
    }

    fn gelu_is_within_its_bound(level: Level) {
        let x: Vec<f32> = (-40_000..=40_000).map(|i| i as f32 / 5000.0).collect();
        let mut y = vec![0.0; x.len()];
        unary(level, Unary::Gelu, &x, &mut y).unwrap();
        let expected: Vec<f64> = to_f64(&x).into_iter().map(|x| Unary::Gelu.value(x)).collect();
        let worst = worst_error(&y, &expected, |i| f64::from(x[i].abs()));
        assert!(worst <= 4.0, "{worst} roundings");
    }

    fn gradients_agree_with_the_formulas(level: Level) {
        let mut numbers = Random::new(2);
        for (op, low, high) in functions() {
            let n = 4000;
            let x: Vec<f32> = (0..n).map(|_| numbers.uniform(low, high) as f32).collect();
            let mut saved = x.clone();
            if op.saved() == Saved::Output {
                unary(level, op, &x, &mut saved).unwrap();
            }
            let dy = numbers.floats(n);
            let mut dx = vec![0.0; n];
            unary_backward(level, op, &saved, &dy, &mut dx).unwrap();
            let expected: Vec<f64> =
                (0..n).map(|i| op.gradient(f64::from(saved[i]), f64::from(dy[i]))).collect();
            let worst = worst_error(&dx, &expected, |i| {
                let dy = f64::from(dy[i]).abs();
                let [v, derivative] = [f64::from(saved[i]), expected[i] / dy];
                // One minus something near one has the rounding error of one.
                let cancels = match op {
                    Unary::Sigmoid | Unary::Tanh | Unary::Mish | Unary::Silu | Unary::GeluTanh => 1.0,
                    _ => 0.0,
                };
                dy * scale(op, v, derivative).max(cancels)
            });
            assert!(worst <= 12.0, "{op:?}: {worst} roundings");
        }
    }

    fn results_beyond_the_caches_are_the_same(level: Level) {
        let mut numbers = Random::new(9);
        let n = 3 * FAR + 77;
        let (x, dy) = (numbers.floats(n), numbers.floats(n));
        let near = |f: &Whole<'_>| {
            let mut y = vec![0.0; n];
            let parts = x.chunks(1000).zip(dy.chunks(1000));
            parts.zip(y.chunks_mut(1000)).for_each(|((x, dy), y)| f(x, dy, y));
            y
        };
        for op in [Unary::Relu, Unary::HardSwish, Unary::Gelu, Unary::Sin] {
            let (mut y, mut dx) = (vec![0.0; n], vec![0.0; n]);
            unary(level, op, &x, &mut y).unwrap();
            assert_eq!(y, near(&|x, _, y| unary(level, op, x, y).unwrap()), "{op:?}");
            unary_backward(level, op, &x, &dy, &mut dx).unwrap();
            let gradient = near(&|x, dy, dx| unary_backward(level, op, x, dy, dx).unwrap());
            assert_eq!(dx, gradient, "gradient of {op:?}");
        }
        let flat = BinaryGeometry::new(&[n], &[1], &[0], &[1]).unwrap();
        let mut y = vec![0.0; n];
        binary(level, Binary::Sub, &flat, &x, &dy, &mut y).unwrap();
        assert!(y.iter().zip(&x).all(|(y, x)| *y == x - dy[0]));
        let (rows, columns) = (FAR / 20, 37);
        let g = BinaryGeometry::new(&[rows, columns], &[columns, 1], &[0, 1], &[columns, 1]).unwrap();
        let mut y = vec![0.0; rows * columns];
        binary(level, Binary::Mul, &g, &x, &dy, &mut y).unwrap();
        let product = |(i, y): (usize, &f32)| *y == x[i] * dy[i % columns];
        assert!(y.iter().enumerate().all(product));
        assert_same_on_threads(|| {
            let mut y = vec![0.0; rows * columns];
            binary(level, Binary::Mul, &g, &x, &dy, &mut y).unwrap();
            y
        });
    }

    fn in_place_is_the_same(level: Level) {
        let mut numbers = Random::new(3);
        for (op, low, high) in functions() {
            for n in [0, 1, 3, 15, 16, 17, 63, 64, 65, 100] {
                let x: Vec<f32> = (0..n).map(|_| numbers.uniform(low, high) as f32).collect();
                let dy = numbers.floats(n);
                let (mut y, mut dx) = (vec![0.0; n], vec![0.0; n]);
                unary(level, op, &x, &mut y).unwrap();
                unary_backward(level, op, &x, &dy, &mut dx).unwrap();
                let (mut x_y, mut dy_dx) = (x.clone(), dy.clone());
                unary_assign(level, op, &mut x_y);
                unary_backward_assign(level, op, &x, &mut dy_dx).unwrap();
                assert_eq!((x_y, dy_dx), (y, dx), "{op:?} of {n} numbers");
            }
        }
    }

    fn special_values_follow_the_formulas(level: Level) {
        let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e30, -1e30, 1e-40];
        for (op, _, _) in functions() {
            let mut y = [0.0; 8];
            unary(level, op, &x, &mut y).unwrap();
            for (&x, &y) in x.iter().zip(&y) {
                let expected = op.value(f64::from(x)) as f32;
                let same = y == expected
                    || (y.is_nan() && expected.is_nan())
                    || (y - expected).abs() <= expected.abs() * 1e-6 + 1e-38;
                assert!(same, "{op:?} at {x}: {y}, not {expected}");
            }
            assert!(y[0].is_nan(), "{op:?} of NaN");
        }
    }

    fn binary_functions_broadcast(level: Level) {
        let ops = [
            Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min,
            Binary::AddRelu,
        ];
        let strategy = (
            proptest::collection::vec((1_usize..5, 0..4_u8), 0..5),
            1_usize..40,
            any::<u64>(),
        );
        proptest!(ProptestConfig::with_cases(48), |((mut dims, last, seed) in strategy)| {
            dims.push((last, (seed % 4) as u8));
            let mut numbers = Random::new(seed);
            let shape: Vec<usize> = dims.iter().map(|d| d.0).collect();
            let out = strides(&shape, &mut numbers, |_| false);
            let a = strides(&shape, &mut numbers, |d| dims[d].1 == 1);
            let b = strides(&shape, &mut numbers, |d| dims[d].1 == 2);
            let g = BinaryGeometry::new(&shape, &a, &b, &out).unwrap();
            let a = numbers.integers(g.nest.extent(1));
            let b = numbers.integers(g.nest.extent(2));
            for op in ops {
                let canary = 1234.5;
                let mut y = vec![canary; g.nest.extent(0)];
                let mut expected = y.clone();
                binary(level, op, &g, &a, &b, &mut y).unwrap();
                reference::for_each_element(&g.nest, 0..g.len(), |[o, i, j]| {
                    expected[o] = op.value(a[i], b[j]);
                });
                for (y, e) in y.iter().zip(&expected) {
                    prop_assert!(y == e || y.is_nan() && e.is_nan(), "{:?}: {} not {}", op, y, e);
                }
            }
        });
    }

    fn accumulation_sums_what_is_broadcast(level: Level) {
        let strategy = (proptest::collection::vec((1_usize..5, 0..4_u8), 1..5), any::<u64>());
        proptest!(ProptestConfig::with_cases(48), |((dims, seed) in strategy)| {
            let mut numbers = Random::new(seed);
            let shape: Vec<usize> = dims.iter().map(|d| d.0).collect();
            let dst = strides(&shape, &mut numbers, |d| dims[d].1 == 1);
            let src = strides(&shape, &mut numbers, |d| dims[d].1 == 2);
            let nest = LoopNest::new("accumulate", &shape, [&dst, &src]).unwrap();
            let src = numbers.integers(nest.extent(1));
            let mut y = numbers.integers(nest.extent(0));
            let mut expected = y.clone();
            reference::for_each_element(&nest, 0..nest.len(), |[o, i]| expected[o] += 2.0 * src[i]);
            accumulate(level, &nest, 2.0, &src, &mut y).unwrap();
            prop_assert_eq!(y, expected);
        });
    }

    fn gates_of_attention_have_vector_rows(level: Level) {
        let (shape, n) = ([2, 24, 5, 7], 2 * 24 * 35);
        let mut numbers = Random::new(5);
        let x = numbers.floats(n);
        for x_strides in [[840, 35, 7, 1], [840, 1, 168, 24]] {
            for (gate_strides, len) in [([24, 1, 0, 0], 48), ([35, 0, 7, 1], 70)] {
                let gate = numbers.floats(len);
                let g = BinaryGeometry::new(&shape, &x_strides, &gate_strides, &x_strides).unwrap();
                assert!(binary_f32::has_vector_rows(&g.nest), "{x_strides:?} {gate_strides:?}");
                let mut y = vec![0.0; n];
                binary(level, Binary::Mul, &g, &x, &gate, &mut y).unwrap();
                for i in 0..n {
                    let at = [i / 840, i / 35 % 24, i / 7 % 5, i % 7];
                    let offset = |s: [usize; 4]| (0..4).map(|d| s[d] * at[d]).sum::<usize>();
                    let o = offset(x_strides);
                    assert_eq!(y[o], x[o] * gate[offset(gate_strides)], "at {at:?}");
                }
            }
        }
    }

    fn maxima_keep_not_a_number(level: Level) {
        let g = BinaryGeometry::new(&[3], &[1], &[1], &[1]).unwrap();
        let (a, b) = ([f32::NAN, 1.0, f32::NAN], [2.0, f32::NAN, f32::NAN]);
        for op in [Binary::Max, Binary::Min, Binary::AddRelu] {
            let mut y = [0.0; 3];
            binary(level, op, &g, &a, &b, &mut y).unwrap();
            assert!(y.iter().all(|y| y.is_nan()), "{op:?}: {y:?}");
        }
    }

    fn threads_do_not_change_bits(level: Level) {
        let n = 200_003;
        let mut numbers = Random::new(6);
        let (a, b) = (numbers.floats(n), numbers.floats(n));
        let g = BinaryGeometry::new(&[n], &[1], &[1], &[1]).unwrap();
        assert_same_on_threads(|| {
            let mut y = vec![0.0; n];
            binary(level, Binary::Div, &g, &a, &b, &mut y).unwrap();
            unary_assign(level, Unary::Gelu, &mut y);
            y
        });
    }
}

/// Strides of an array whose dimensions are in a random order with random gaps; those that `repeats` names are zero.
fn strides(shape: &[usize], numbers: &mut Random, repeats: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..shape.len()).collect();
    if numbers.below(2) == 0 {
        for i in (1..order.len()).rev() {
            order.swap(i, numbers.below(i + 1));
        }
    }
    let gaps = numbers.below(3) == 0;
    let mut strides = vec![0; shape.len()];
    let mut next = 1;
    for &d in order.iter().rev() {
        if !repeats(d) {
            strides[d] = next;
            next = next * shape[d] + if gaps { numbers.below(3) } else { 0 };
        }
    }
    strides
}

#[test]
fn derivatives_agree_with_finite_differences() {
    let mut numbers = Random::new(4);
    for (op, low, high) in functions() {
        for _ in 0..200 {
            let x = numbers.uniform(low, high);
            let kinks = [0.0, 6.0, -3.0, 3.0, -3.5, 7.25];
            if kinks.iter().any(|k| (x - k).abs() < 1e-3) {
                continue;
            }
            let h = 1e-6 * x.abs().max(1e-2);
            let slope = (op.value(x + h) - op.value(x - h)) / (2.0 * h);
            let v = if op.saved() == Saved::Output {
                op.value(x)
            } else {
                x
            };
            let error = (op.derivative(v) - slope).abs();
            let largest = slope.abs().max(op.value(x).abs()).max(1.0);
            assert!(
                error < 1e-8 * largest,
                "{op:?} at {x}: {} not {slope}",
                op.derivative(v)
            );
        }
    }
}

#[test]
fn derivatives_at_kinks_are_those_of_pytorch() {
    let cases = [
        (Unary::Abs, 0.0, 0.0),
        (Unary::Relu, 0.0, 0.0),
        (Unary::Relu6, 0.0, 0.0),
        (Unary::Relu6, 6.0, 0.0),
        (Unary::LeakyRelu { slope: 0.1 }, 0.0, 0.1),
        (Unary::Elu { alpha: 2.0 }, 0.0, 2.0),
        (
            Unary::Clamp {
                min: -1.0,
                max: 2.0,
            },
            -1.0,
            1.0,
        ),
        (
            Unary::Clamp {
                min: -1.0,
                max: 2.0,
            },
            2.0,
            1.0,
        ),
        (Unary::HardSigmoid, 0.0, 0.0),
        (Unary::HardSigmoid, 1.0, 0.0),
        (Unary::HardSwish, -3.0, 0.0),
        (Unary::HardSwish, 3.0, 1.0),
        (Unary::Powf { exponent: 0.0 }, 0.0, 0.0),
    ];
    for (op, v, expected) in cases {
        assert_eq!(op.derivative(v), expected, "{op:?} at {v}");
    }
}

#[test]
fn a_flat_part_stops_an_infinite_gradient() {
    let mut dx = [1.0_f32];
    for level in Level::available() {
        unary_backward(level, Unary::Relu, &[0.0], &[f32::INFINITY], &mut dx).unwrap();
        assert_eq!(dx, [0.0]);
    }
    assert_eq!(Unary::Relu.gradient(0.0, f64::INFINITY), 0.0);
}

#[test]
fn wrong_lengths_are_refused() {
    let level = Level::detect();
    assert!(unary(level, Unary::Relu, &[1.0], &mut [0.0; 2]).is_err());
    assert!(unary_backward(level, Unary::Relu, &[], &[1.0], &mut [0.0]).is_err());
    assert!(unary_backward(level, Unary::Neg, &[], &[1.0], &mut [0.0]).is_ok());
    assert!(unary_backward_assign(level, Unary::Relu, &[1.0; 2], &mut [0.0]).is_err());
    let g = BinaryGeometry::new(&[2, 3], &[3, 1], &[0, 1], &[3, 1]).unwrap();
    assert!(binary(level, Binary::Add, &g, &[1.0; 6], &[1.0; 3], &mut [0.0; 6]).is_ok());
    assert!(binary(level, Binary::Add, &g, &[1.0; 5], &[1.0; 3], &mut [0.0; 6]).is_err());
    assert!(binary(level, Binary::Add, &g, &[1.0; 6], &[1.0; 2], &mut [0.0; 6]).is_err());
    assert!(binary(level, Binary::Add, &g, &[1.0; 6], &[1.0; 3], &mut [0.0; 5]).is_err());
}
