//! The errors that `math` states, on every level, against double precision.

use striate_simd::{Level, Simd, dispatch, math, test_each_level};

/// The bounds in ULP of the table in `math`.
const EXP: f64 = 1.1;
const EXP_M1: f64 = 1.7;
const LOG: f64 = 0.9;
const LOG_1P: f64 = 1.6;
const SIGMOID: f64 = 2.5;
const TANH: f64 = 2.7;
const ERF: f64 = 1.3;

/// About three million inputs: bit patterns of every exponent and both signs, the range where the
/// functions bend, and the edges of every case distinction.
fn samples() -> Vec<f32> {
    let mut x = vec![
        0.0,
        -0.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        -f32::NAN,
    ];
    let edges = [
        f32::MIN_POSITIVE,
        f32::MAX,
        f32::from_bits(1),
        0.5,
        2.0 / 3.0,
        0.875,
        1.0,
        4.0 / 3.0,
        3.92,
        4.0,
        9.02,
        10.0,
        87.336_54,
        88.722_84,
        89.0,
        103.972_08,
        104.0,
        16_777_216.0,
    ];
    for edge in edges {
        let mut y = edge;
        for _ in 0..20 {
            y = y.next_down();
        }
        for _ in 0..40 {
            x.extend([y, -y]);
            y = y.next_up();
        }
    }
    x.extend((0..u32::MAX).step_by(STEP).map(f32::from_bits));
    x.extend((-1_000_000..=1_000_000).map(|i| i as f32 * 1.1e-4));
    x
}
const STEP: usize = 4099;

/// Distance from the exact result in units of its last place as an `f32`.
fn ulp_error(got: f32, exact: f64) -> f64 {
    if got.is_nan() && exact.is_nan() {
        return 0.0;
    }
    // Beyond the midpoint between the largest float and 2^128, infinity is the right rounding.
    let limit = 2f64.powi(128) - 2f64.powi(103);
    if got.is_infinite() {
        return if exact * f64::from(got.signum()) >= limit {
            0.0
        } else {
            f64::INFINITY
        };
    }
    if exact.abs() >= limit {
        return f64::INFINITY;
    }
    let exponent = (exact.abs().to_bits() >> 52) as i32 - 1023;
    let ulp = 2f64.powi(exponent.max(-126) - 23);
    (f64::from(got) - exact).abs() / ulp
}

/// `erf` in double precision: `2/sqrt(pi) e^(-x^2) (x + 2x^3/3 + 4x^5/15 + ...)`, all terms of one
/// sign.
fn erf(x: f64) -> f64 {
    if x.is_nan() || x.abs() > 6.0 {
        return if x.is_nan() { x } else { x.signum() };
    }
    let (mut term, mut sum, mut k) = (x, x, 1.0);
    while term.abs() > sum.abs() * 1e-18 {
        term *= 2.0 * x * x / (2.0 * k + 1.0);
        sum += term;
        k += 1.0;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// `1 / (1 + e^-x)` in double precision.
fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Applies a vector function to every element.
macro_rules! apply {
    ($level:expr, $f:path, $x:expr) => {{
        #[inline(always)]
        fn run<S: Simd>(s: S, x: &[f32], y: &mut [f32]) {
            for (x, y) in x.chunks(S::LANES).zip(y.chunks_mut(S::LANES)) {
                s.store_partial($f(s, s.load_partial(x)), y);
            }
        }
        let x: &[f32] = $x;
        let mut y = vec![0.0; x.len()];
        dispatch!($level, s => run(s, x, &mut y));
        y
    }};
}

/// A test that a function is within a bound of its reference on every level.
macro_rules! sweep {
    ($name:ident, $f:path, $reference:expr, $bound:expr) => {
        #[test]
        fn $name() {
            let x = samples();
            let exact: Vec<f64> = x.iter().map(|x| $reference(f64::from(*x))).collect();
            striate_simd::test_each_level::run(|level| {
                let y = apply!(level, $f, &x);
                let mut worst = (0.0, 0.0, 0.0);
                for ((x, y), exact) in x.iter().zip(&y).zip(&exact) {
                    let error = ulp_error(*y, *exact);
                    if error > worst.0 {
                        worst = (error, *x, *y);
                    }
                    if *exact == 0.0 && *x == 0.0 {
                        let sign = exact.is_sign_negative();
                        assert_eq!(y.is_sign_negative(), sign, "sign of zero at {x:?}");
                    }
                }
                let (error, x, y) = worst;
                eprintln!("{}: {error:.3} ulp at {x:?}", stringify!($name));
                assert!(
                    error <= $bound,
                    "{level}: {error:.3} ulp at {x:?}: got {y:?}"
                );
            });
        }
    };
}

sweep!(exp_is_within_its_bound, math::exp, f64::exp, EXP);
sweep!(
    exp_m1_is_within_its_bound,
    math::exp_m1,
    f64::exp_m1,
    EXP_M1
);
sweep!(log_is_within_its_bound, math::log, f64::ln, LOG);
sweep!(log_1p_is_within_its_bound, math::log_1p, f64::ln_1p, LOG_1P);
sweep!(sigmoid_is_within_its_bound, math::sigmoid, sigmoid, SIGMOID);
sweep!(tanh_is_within_its_bound, math::tanh, f64::tanh, TANH);
sweep!(erf_is_within_its_bound, math::erf, erf, ERF);

test_each_level! {
    fn weights_are_normal_or_zero(level: Level) {
        let x = samples();
        let (all, weights) = (apply!(level, math::exp, &x), apply!(level, math::exp_normal, &x));
        let kept = apply!(level, math::normal_or_zero, &x);
        for i in 0..x.len() {
            let [x, all, weight, kept] = [x[i], all[i], weights[i], kept[i]];
            let expected = if all.is_normal() || !all.is_finite() { all } else { 0.0 };
            assert_eq!(weight.to_bits(), expected.to_bits(), "e^{x}");
            let expected = if x.is_subnormal() { 0.0 } else { x };
            assert!(kept == expected || x.is_nan() && kept.is_nan(), "{x}: {kept}");
        }
    }
}

test_each_level! {
    fn limits_are_exact(level: Level) {
        let inf = f32::INFINITY;
        let x = [0.0, -0.0, inf, -inf];
        let bits = |y: &[f32]| y.iter().map(|y| y.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&apply!(level, math::exp, &x)), bits(&[1.0, 1.0, inf, 0.0]));
        assert_eq!(bits(&apply!(level, math::exp_m1, &x)), bits(&[0.0, -0.0, inf, -1.0]));
        assert_eq!(bits(&apply!(level, math::log, &x[..3])), bits(&[-inf, -inf, inf]));
        assert_eq!(bits(&apply!(level, math::log_1p, &x[..3])), bits(&[0.0, -0.0, inf]));
        assert_eq!(bits(&apply!(level, math::sigmoid, &x)), bits(&[0.5, 0.5, 1.0, 0.0]));
        assert_eq!(bits(&apply!(level, math::tanh, &x)), bits(&[0.0, -0.0, 1.0, -1.0]));
        assert_eq!(bits(&apply!(level, math::erf, &x)), bits(&[0.0, -0.0, 1.0, -1.0]));
        assert!(apply!(level, math::log, &[-inf])[0].is_nan(), "log of minus infinity");
        assert!(apply!(level, math::log, &[-1e-45])[0].is_nan(), "log of a negative number");
        assert!(apply!(level, math::log_1p, &[-1.5])[0].is_nan(), "log_1p below -1");
        assert_eq!(apply!(level, math::log_1p, &[-1.0]), [-inf]);
    }
}
