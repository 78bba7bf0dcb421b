//! Sums, products, quotients, roots and signs.

use crate::{VALUES, assert_bits, assert_same, lanes, pairs};
use striate_simd::{Level, test_each_level};

/// The elements of `f` over two lists.
fn zip(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()
}

/// Whether `mul_add` rounds once.
fn fused(level: Level) -> bool {
    !matches!(level.name(), "scalar" | "portable")
}

/// `a * b + c` rounded once: exact in double precision but for the last addition, whose rounding to
/// odd keeps the later rounding to single precision right.
fn fused_mul_add(a: f32, b: f32, c: f32) -> f32 {
    let (p, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = p + c;
    let back = sum - p;
    let lost = (p - (sum - back)) + (c - back);
    if !sum.is_finite() || lost == 0.0 || sum.to_bits() & 1 == 1 {
        return sum as f32;
    }
    let away = (lost > 0.0) == (sum > 0.0);
    f64::from_bits(if away {
        sum.to_bits() + 1
    } else {
        sum.to_bits() - 1
    }) as f32
}

test_each_level! {
    fn add_sub_mul_div_are_ieee(level: Level) {
        let (a, b) = pairs();
        assert_same(&lanes!(level, |s, a, b| s.add(a, b)), &zip(&a, &b, |a, b| a + b), &[&a, &b]);
        assert_same(&lanes!(level, |s, a, b| s.sub(a, b)), &zip(&a, &b, |a, b| a - b), &[&a, &b]);
        assert_same(&lanes!(level, |s, a, b| s.mul(a, b)), &zip(&a, &b, |a, b| a * b), &[&a, &b]);
        assert_same(&lanes!(level, |s, a, b| s.div(a, b)), &zip(&a, &b, |a, b| a / b), &[&a, &b]);
    }

    fn mul_add_rounds_once_where_it_says_so(level: Level) {
        for c in VALUES {
            let (a, b) = pairs();
            let c = vec![c; a.len()];
            let expected: Vec<(f32, f32)> = (0..a.len())
                .map(|i| {
                    let (a, b, c) = (a[i], b[i], c[i]);
                    if fused(level) {
                        (fused_mul_add(a, b, c), fused_mul_add(-a, b, c))
                    } else {
                        (a * b + c, c - a * b)
                    }
                })
                .collect();
            let (plus, minus): (Vec<f32>, Vec<f32>) = expected.into_iter().unzip();
            let inputs: [&[f32]; 3] = [&a, &b, &c];
            assert_same(&lanes!(level, |s, a, b, c| s.mul_add(a, b, c)), &plus, &inputs);
            assert_same(&lanes!(level, |s, a, b, c| s.neg_mul_add(a, b, c)), &minus, &inputs);
        }
    }

    fn mul_add_keeps_what_a_product_loses(level: Level) {
        // (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24: the last term does not fit.
        let a = vec![1.0 + 2f32.powi(-12); 5];
        let c = vec![-(1.0 + 2f32.powi(-11)); 5];
        let rest = if fused(level) { 2f32.powi(-24) } else { 0.0 };
        assert_eq!(lanes!(level, |s, a, c| s.mul_add(a, a, c)), [rest; 5]);
    }

    fn abs_and_neg_touch_the_sign_alone(level: Level) {
        let a = VALUES.to_vec();
        let bits = VALUES.map(f32::to_bits);
        assert_bits(&lanes!(level, |s, a| s.abs(a)), bits.map(|b| b & 0x7fff_ffff));
        assert_bits(&lanes!(level, |s, a| s.neg(a)), bits.map(|b| b ^ 0x8000_0000));
    }

    fn sqrt_is_ieee(level: Level) {
        let a = VALUES.to_vec();
        assert_same(&lanes!(level, |s, a| s.sqrt(a)), &VALUES.map(f32::sqrt), &[&a]);
    }

    fn mul_pow2_scales_into_overflow_and_subnormals(level: Level) {
        let n: Vec<f32> = (-252..=254).map(|n| n as f32).collect();
        for m in [1.0, -1.25, 0.7, 1.999_999_9, f32::INFINITY, 0.0, -0.0, f32::NAN] {
            let a = vec![m; n.len()];
            let exact = |n: &f32| (f64::from(m) * 2f64.powi(*n as i32)) as f32;
            let expected: Vec<f32> = n.iter().map(exact).collect();
            assert_same(&lanes!(level, |s, a, n| s.mul_pow2(a, n)), &expected, &[&a, &n]);
        }
    }
}

#[test]
fn the_oracle_of_fused_products_rounds_once() {
    // 1 + 2^-24 + 2^-60 is above the midpoint of 1 and its successor; rounding to double first
    // would lose the 2^-60 and then tie to even.
    let a = 2f32.powi(-30) * (1.0 + 2f32.powi(-23));
    let c = 1.0 + f32::EPSILON;
    assert_eq!(fused_mul_add(a, 2f32.powi(6), c), 1.0 + 2.0 * f32::EPSILON);
    assert_eq!(fused_mul_add(-a, 2f32.powi(6), c), 1.0);
}
