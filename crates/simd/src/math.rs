//! Elementary functions on vectors, with stated errors.
//!
//! Errors are in units in the last place (ULP) of the exact result, over all inputs, on every level:
//! fused multiply-add changes the last bits, not the bounds. Subnormal results are rounded like any
//! other; only what [`normal_or_zero`] and [`exp_normal`] give is never subnormal. NaN gives NaN.
//!
//! | function | ULP |
//! |---|---|
//! | [`exp`] | 1.1 |
//! | [`exp_m1`] | 1.7 |
//! | [`log`] | 0.9 |
//! | [`log_1p`] | 1.6 |
//! | [`sigmoid`] | 2.5 |
//! | [`tanh`] | 2.7 |
//! | [`erf`] | 1.3 |
//!
//! The polynomials are minimax fits of relative error (Remez exchange), rounded to `f32`.

use crate::Simd;
use std::f32::consts::LOG2_E;

/// `ln 2` in two parts; the first has so few bits that its product with an exponent is exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// `c[0] + c[1] x + c[2] x^2 + ...`
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F32, c: [f32; N]) -> S::F32 {
    let mut y = s.splat(c[N - 1]);
    for k in (0..N - 1).rev() {
        y = s.mul_add(y, x, s.splat(c[k]));
    }
    y
}

/// `(n, e^r - 1)` with `x = n ln 2 + r`, `n` integral and `|r| <= ln 2 / 2`.
#[inline(always)]
fn reduced_exp_m1<S: Simd>(s: S, x: S::F32) -> (S::F32, S::F32) {
    let n = s.round(s.mul(x, s.splat(LOG2_E)));
    let r = s.neg_mul_add(n, s.splat(LN_2[0]), x);
    let r = s.neg_mul_add(n, s.splat(LN_2[1]), r);
    let q = polynomial(
        s,
        r,
        [
            0.499_999_97,
            0.166_665_39,
            0.041_667_752,
            0.008_367_041,
            0.001_383_897_4,
        ],
    );
    (n, s.mul_add(s.mul(r, r), q, r))
}

/// `e^x`: 0 at minus infinity and below -103.98, infinity above 88.73, subnormal below -87.34.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    exp_from(s, -104.0, x)
}

/// `e^x` for `x` from `least` on, and `e^least` below.
#[inline(always)]
fn exp_from<S: Simd>(s: S, least: f32, x: S::F32) -> S::F32 {
    // Above 89 the result is infinity all the same. NaN passes as second operand.
    let x = s.min(s.splat(89.0), s.max(s.splat(least), x));
    let (n, p) = reduced_exp_m1(s, x);
    s.mul_pow2(s.add(p, s.splat(1.0)), n)
}

/// `e^x` where that is a normal number, below about -87.34 zero.
///
/// For weights: products with subnormal numbers take processors many times as long as others, and no sum that has a
/// term near 1 notices them.
#[inline(always)]
pub fn exp_normal<S: Simd>(s: S, x: S::F32) -> S::F32 {
    /// The smallest `f32` whose exponential is normal.
    const LEAST: f32 = -87.336_54;
    let y = exp_from(s, LEAST, x);
    s.select(s.lt(x, s.splat(LEAST)), s.splat(0.0), y)
}

/// `x`, or zero if it is subnormal.
#[inline(always)]
pub fn normal_or_zero<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let tiny = s.lt(s.abs(x), s.splat(f32::MIN_POSITIVE));
    s.select(tiny, s.splat(0.0), x)
}

/// `e^x - 1`, exact in relative terms near 0; keeps the sign of zero; -1 at minus infinity.
#[inline(always)]
pub fn exp_m1<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let y = bounded_exp_m1(s, s.min(s.splat(89.0), s.max(s.splat(-40.0), x)));
    with_sign_of(s, y, x)
}

/// `e^x - 1` for `x` in `-40..=89`.
#[inline(always)]
fn bounded_exp_m1<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (n, p) = reduced_exp_m1(s, x);
    // 2^(n-1), doubled at the end: 2^128 is no float.
    let exponent = s.add_i32(s.to_i32(n), s.splat_i32(126));
    let scale = s.from_bits(s.shl_i32::<23>(exponent));
    let y = s.mul_add(scale, p, s.sub(scale, s.splat(0.5)));
    s.add(y, y)
}

/// `y`, negative where `x` is; `y` must not be negative elsewhere.
#[inline(always)]
fn with_sign_of<S: Simd>(s: S, y: S::F32, x: S::F32) -> S::F32 {
    let sign = s.and_i32(s.bits(x), s.splat_i32(i32::MIN));
    s.from_bits(s.or_i32(s.bits(y), sign))
}

/// Natural logarithm: NaN below 0, minus infinity at 0 of either sign, infinity at infinity.
#[inline(always)]
pub fn log<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // A subnormal x is scaled by 2^23 first.
    let tiny = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let scaled = s.select(tiny, s.mul(x, s.splat(8_388_608.0)), x);
    let bias = s.select_i32(tiny, s.splat_i32(127 + 23), s.splat_i32(127));

    // x = 2^e m with m in [2/3, 4/3): the offset carries into the exponent from 4/3 on.
    let offset = 0x3f80_0000 - 0x3f2a_aaab;
    let shifted = s.add_i32(s.bits(scaled), s.splat_i32(offset));
    let e = s.to_f32(s.sub_i32(s.shr_i32::<23>(shifted), bias));
    let mantissa = s.and_i32(shifted, s.splat_i32(0x007f_ffff));
    let m = s.from_bits(s.add_i32(mantissa, s.splat_i32(0x3f2a_aaab)));

    // log(1 + f) = f - f^2/2 + f^3 P(f), the smaller terms first.
    let f = s.sub(m, s.splat(1.0));
    let f2 = s.mul(f, f);
    let p = polynomial(
        s,
        f,
        [
            0.333_332_15,
            -0.249_997_97,
            0.200_104_06,
            -0.166_804_93,
            0.140_058_73,
            -0.121_842,
            0.139_844_3,
            -0.128_919_24,
        ],
    );
    let y = s.mul(s.mul(f2, f), p);
    let y = s.mul_add(e, s.splat(LN_2[1]), y);
    let y = s.neg_mul_add(s.splat(0.5), f2, y);
    let y = s.mul_add(e, s.splat(LN_2[0]), s.add(f, y));

    let zero = s.splat(0.0);
    let infinity = s.splat(f32::INFINITY);
    let not_positive = s.select(s.eq(x, zero), s.neg(infinity), s.splat(f32::NAN));
    let special = s.select(s.gt(x, zero), infinity, not_positive);
    s.select(s.mask_and(s.gt(x, zero), s.lt(x, infinity)), y, special)
}

/// `log(1 + x)`, exact in relative terms near 0; keeps the sign of zero; NaN below -1.
#[inline(always)]
pub fn log_1p<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let u = s.add(x, one);
    // What the sum lost, to first order. From 2^24 on it no longer matters.
    let lost = s.div(
        s.sub(x, s.sub(u, one)),
        s.max(u, s.splat(f32::MIN_POSITIVE)),
    );
    let small = s.lt(s.abs(x), s.splat(16_777_216.0));
    let y = s.add(log(s, u), s.select(small, lost, s.splat(0.0)));
    s.select(s.eq(x, s.splat(0.0)), x, y)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    // e^-|x| cannot overflow, and e/(1 + e) keeps the small results of negative x.
    let e = exp(s, s.neg(s.abs(x)));
    let numerator = s.select(s.lt(x, s.splat(0.0)), e, one);
    s.div(numerator, s.add(one, e))
}

/// Hyperbolic tangent: keeps the sign of zero; 1 in magnitude from 9.02 on.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // t / (t + 2) with t = e^2|x| - 1: no cancellation anywhere.
    let a = s.min(s.splat(10.0), s.abs(x));
    let t = bounded_exp_m1(s, s.add(a, a));
    with_sign_of(s, s.div(t, s.add(t, s.splat(2.0))), x)
}

/// The error function, `2/sqrt(pi)` times the integral of `e^-t^2` from 0 to `x`: keeps the sign of
/// zero; 1 in magnitude from 3.92 on.
#[inline(always)]
pub fn erf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let a = s.min(s.splat(4.0), s.abs(x));
    // Below 0.875: a + a P(a^2).
    let p = polynomial(
        s,
        s.mul(a, a),
        [
            0.128_379_15,
            -0.376_125_04,
            0.112_819_22,
            -0.026_770_487,
            0.004_998_932_6,
            -0.000_602_105_05,
        ],
    );
    let near = s.mul_add(a, p, a);
    // Above: 1 - e^(a Q(a)).
    let q = polynomial(
        s,
        a,
        [
            -1.128_525_6,
            -0.635_68,
            -0.105_312_58,
            0.022_922_652,
            -0.003_225_192_2,
            0.000_215_231_27,
        ],
    );
    let (n, e) = reduced_exp_m1(s, s.mul(a, q));
    let far = s.sub(s.splat(1.0), s.mul_pow2(s.add(e, s.splat(1.0)), n));
    with_sign_of(s, s.select(s.lt(a, s.splat(0.875)), near, far), x)
}
