//! The functions of [`Unary`] on vectors: values and, as `dy * derivative`, gradients.

use super::Unary;
use crate::lanes::{maximum, minimum, update};
use striate_simd::math::{exp, exp_m1, log, log_1p, sigmoid, tanh};
use striate_simd::{Level, Simd, dispatch};

/// `y = op(x)`, or `y = op(y)` without `x`; false, and nothing done, if `op` has no vector form.
pub(super) fn unary(level: Level, op: Unary, x: Option<&[f32]>, y: &mut [f32]) -> bool {
    dispatch!(level, s => value(s, op, x, y))
}

/// `y = op(y)`, for a caller that has a vector in hand; nothing is done if `op` has no vector form.
#[inline(always)]
pub(crate) fn assign<S: Simd>(s: S, op: Unary, y: &mut [f32]) {
    value(s, op, None, y);
}

/// `x * min(max(x + 3, 0), 6) / 6`, as [`assign`] computes it.
#[inline(always)]
pub(crate) fn hard_swish<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let [zero, three, six] = [c(s, 0.0), c(s, 3.0), c(s, 6.0)];
    let gate = s.min(six, s.max(zero, s.add(x, three)));
    s.mul(x, s.mul(gate, c(s, 1.0 / 6.0)))
}

/// `dx = dy * op'(saved)`, or `dx = dx * op'(saved)` without `dy`; false, and nothing done, if `op` has no vector form.
pub(super) fn unary_backward(
    level: Level,
    op: Unary,
    saved: &[f32],
    dy: Option<&[f32]>,
    dx: &mut [f32],
) -> bool {
    dispatch!(level, s => gradient(s, op, saved, dy, dx))
}

/// Compiled once for a level, for all that use it.
#[inline(never)]
fn value<S: Simd>(s: S, op: Unary, x: Option<&[f32]>, y: &mut [f32]) -> bool {
    s.vectorize(
        #[inline(always)]
        || vector_value(s, op, x, y),
    )
}

#[inline(always)]
fn vector_value<S: Simd>(s: S, op: Unary, x: Option<&[f32]>, y: &mut [f32]) -> bool {
    macro_rules! each {
        (|$x:ident| $value:expr) => {{
            update(
                s,
                x,
                [],
                y,
                #[inline(always)]
                |$x, []| $value,
            );
            true
        }};
    }
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let [three, six, sixth] = [c(s, 3.0), c(s, 6.0), c(s, 1.0 / 6.0)];
    match op {
        Unary::Neg => each!(|x| s.neg(x)),
        Unary::Abs => each!(|x| s.abs(x)),
        Unary::Exp => each!(|x| exp(s, x)),
        Unary::Log => each!(|x| log(s, x)),
        Unary::Sqrt => each!(|x| s.sqrt(x)),
        Unary::Rsqrt => each!(|x| s.div(one, s.sqrt(x))),
        Unary::Reciprocal => each!(|x| s.div(one, x)),
        Unary::Square => each!(|x| s.mul(x, x)),
        Unary::Affine { scale, shift } => {
            let (scale, shift) = (c(s, scale), c(s, shift));
            each!(|x| s.mul_add(scale, x, shift))
        }
        Unary::Clamp { min, max } => {
            let (min, max) = (c(s, min), c(s, max));
            each!(|x| minimum(s, maximum(s, x, min), max))
        }
        // A NaN passes as the second operand.
        Unary::Relu => each!(|x| s.max(zero, x)),
        Unary::Relu6 => each!(|x| s.min(six, s.max(zero, x))),
        Unary::LeakyRelu { slope } => {
            let slope = c(s, slope);
            each!(|x| s.select(s.gt(x, zero), x, s.mul(slope, x)))
        }
        Unary::Elu { alpha } => {
            let alpha = c(s, alpha);
            each!(|x| s.select(s.gt(x, zero), x, s.mul(alpha, exp_m1(s, x))))
        }
        Unary::Sigmoid => each!(|x| sigmoid(s, x)),
        Unary::Tanh => each!(|x| tanh(s, x)),
        Unary::Silu => each!(|x| s.mul(x, sigmoid(s, x))),
        Unary::Gelu => each!(|x| s.mul(x, normal_cdf(s, x))),
        Unary::GeluTanh => each!(|x| s.mul(x, sigmoid(s, gelu_tanh_argument(s, x)))),
        Unary::Mish => each!(|x| {
            let MishParts { upper, whole, .. } = mish_parts(s, x);
            s.mul(x, s.div(upper, whole))
        }),
        Unary::HardSwish => each!(|x| hard_swish(s, x)),
        Unary::HardSigmoid => each!(|x| { s.mul(s.min(six, s.max(zero, s.add(x, three))), sixth) }),
        Unary::Softplus { beta, threshold } => {
            let [beta, threshold, inverse] = [c(s, beta), c(s, threshold), c(s, 1.0 / beta)];
            each!(|x| {
                let z = s.mul(x, beta);
                let tail = log_1p(s, exp(s, s.neg(s.abs(z))));
                let soft = s.mul(s.add(s.max(zero, z), tail), inverse);
                s.select(s.gt(z, threshold), x, soft)
            })
        }
        Unary::Sin | Unary::Cos | Unary::Powf { .. } => false,
    }
}

#[inline(always)]
fn gradient<S: Simd>(s: S, op: Unary, saved: &[f32], dy: Option<&[f32]>, dx: &mut [f32]) -> bool {
    macro_rules! each {
        (|$v:ident, $dy:ident| $value:expr) => {{
            update(
                s,
                dy,
                [saved],
                dx,
                #[inline(always)]
                |$dy, [$v]| $value,
            );
            true
        }};
    }
    macro_rules! times {
        (|$v:ident| $derivative:expr) => {
            each!(|$v, dy| s.mul(dy, $derivative))
        };
    }
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let [half, three, six] = [c(s, 0.5), c(s, 3.0), c(s, 6.0)];
    match op {
        Unary::Neg => scale_gradient(s, -1.0, dy, dx),
        Unary::Affine { scale, .. } => scale_gradient(s, scale, dy, dx),
        Unary::Abs => times!(|x| {
            let sign = s.select(s.gt(x, zero), one, s.mul(x, zero));
            s.select(s.lt(x, zero), s.neg(one), sign)
        }),
        Unary::Exp => times!(|y| y),
        Unary::Log => each!(|x, dy| s.div(dy, x)),
        Unary::Sqrt => times!(|y| s.div(half, y)),
        Unary::Rsqrt => times!(|y| s.mul(s.neg(half), s.mul(y, s.mul(y, y)))),
        Unary::Reciprocal => times!(|y| s.neg(s.mul(y, y))),
        Unary::Square => times!(|x| s.add(x, x)),
        Unary::Clamp { min, max } => {
            let (min, max) = (c(s, min), c(s, max));
            each!(|x, dy| s.select(s.mask_and(s.ge(x, min), s.le(x, max)), dy, zero))
        }
        Unary::Relu => each!(|y, dy| s.select(s.le(y, zero), zero, dy)),
        Unary::Relu6 => {
            each!(|y, dy| s.select(s.mask_or(s.le(y, zero), s.ge(y, six)), zero, dy))
        }
        Unary::LeakyRelu { slope } => {
            let slope = c(s, slope);
            times!(|x| s.select(s.gt(x, zero), one, slope))
        }
        Unary::Elu { alpha } => {
            let alpha = c(s, alpha);
            times!(|x| s.select(s.gt(x, zero), one, s.mul(alpha, exp(s, x))))
        }
        Unary::Sigmoid => times!(|y| s.neg_mul_add(y, y, y)),
        Unary::Tanh => times!(|y| s.neg_mul_add(y, y, one)),
        Unary::Silu => times!(|x| {
            let g = sigmoid(s, x);
            s.mul(g, s.mul_add(x, s.sub(one, g), one))
        }),
        Unary::Gelu => {
            let scale = c(s, SQRT_1_2PI);
            times!(|x| {
                let density = s.mul(scale, exp(s, s.mul(s.neg(half), s.mul(x, x))));
                s.mul_add(x, density, normal_cdf(s, x))
            })
        }
        Unary::GeluTanh => {
            let [linear, square] = [1.0, 3.0 * 0.044_715].map(|f| (2.0 * SQRT_2_PI * f) as f32);
            times!(|x| {
                let g = sigmoid(s, gelu_tanh_argument(s, x));
                let slope = s.mul_add(s.splat(square), s.mul(x, x), s.splat(linear));
                s.mul_add(s.mul(x, s.neg_mul_add(g, g, g)), slope, g)
            })
        }
        Unary::Mish => times!(|x| {
            let MishParts {
                upper,
                lower,
                whole,
                gate,
            } = mish_parts(s, x);
            let t = s.div(upper, whole);
            // 1 - t^2 = (1 - t) (1 + t), with the first factor free of cancellation.
            let falling = s.mul(s.div(lower, whole), s.add(one, t));
            s.mul_add(s.mul(x, gate), falling, t)
        }),
        Unary::HardSwish => {
            let third = c(s, 1.0 / 3.0);
            each!(|x, dy| {
                let middle = s.mul(dy, s.mul_add(x, third, half));
                let right = s.select(s.ge(x, three), dy, middle);
                s.select(s.le(x, s.neg(three)), zero, right)
            })
        }
        Unary::HardSigmoid => {
            let sixth = c(s, 1.0 / 6.0);
            each!(|y, dy| {
                s.select(
                    s.mask_and(s.gt(y, zero), s.lt(y, one)),
                    s.mul(dy, sixth),
                    zero,
                )
            })
        }
        Unary::Softplus { beta, threshold } => {
            let (beta, threshold) = (c(s, beta), c(s, threshold));
            times!(|x| {
                let z = s.mul(x, beta);
                s.select(s.gt(z, threshold), one, sigmoid(s, z))
            })
        }
        Unary::Sin | Unary::Cos | Unary::Powf { .. } => false,
    }
}

/// The gradient of a function whose derivative is `scale`.
#[inline(always)]
fn scale_gradient<S: Simd>(s: S, scale: f64, dy: Option<&[f32]>, dx: &mut [f32]) -> bool {
    let scale = c(s, scale);
    update(
        s,
        dy,
        [],
        dx,
        #[inline(always)]
        |dy, []| s.mul(dy, scale),
    );
    true
}

/// A parameter in every lane.
#[inline(always)]
fn c<S: Simd>(s: S, x: f64) -> S::F32 {
    s.splat(x as f32)
}

/// `sqrt(2 / pi)`
const SQRT_2_PI: f64 = 0.797_884_560_802_865_4;
/// `1 / sqrt(2 pi)`
const SQRT_1_2PI: f64 = 0.398_942_280_401_432_7;

/// Where `|x|` times what a normal variable has beyond is below the rounding error of one.
const TAIL_END: f32 = 6.0;

/// `(1 + erf(x / sqrt(2))) / 2`, the probability that a normal variable is below `x`: so that `x` times it is off by no more
/// than `4 * 2^-24 |x|`, and exactly 0 or 1 from the end of the tail on.
#[inline(always)]
fn normal_cdf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let end = s.splat(TAIL_END);
    let a = s.min(end, s.abs(x));
    // The probability that it is beyond |x|: first its binary logarithm.
    let log = horner(
        s,
        a,
        [
            -1.0,
            -1.151_107,
            -0.459_189_03,
            -0.052_562_345,
            0.007_167_278_3,
            -0.000_221_173_06,
            -0.000_149_778_88,
            3.145_823_2e-5,
            -2.156_031_8e-6,
        ],
    );
    let n = s.round(log);
    // Two to the power of the fraction.
    let power = horner(
        s,
        s.sub(log, n),
        [
            1.000_000_1,
            0.693_146_94,
            0.240_221_2,
            0.055_507_13,
            0.009_675_541,
            0.001_327_647_1,
        ],
    );
    // Far from the smallest of exponents, which can be added to.
    let exponent = s.shl_i32::<23>(s.to_i32(n));
    let tail = s.from_bits(s.add_i32(s.bits(power), exponent));
    let tail = s.select(s.lt(a, end), tail, s.splat(0.0));
    s.select(s.gt(x, s.splat(0.0)), s.sub(s.splat(1.0), tail), tail)
}

/// `c[0] + c[1] x + ...`
#[inline(always)]
fn horner<S: Simd, const N: usize>(s: S, x: S::F32, c: [f32; N]) -> S::F32 {
    let mut y = s.splat(c[N - 1]);
    for k in (0..N - 1).rev() {
        y = s.mul_add(y, x, s.splat(c[k]));
    }
    y
}

/// Twice the argument of the hyperbolic tangent: `(1 + tanh(u)) / 2 = sigmoid(2 u)`.
#[inline(always)]
fn gelu_tanh_argument<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let linear = s.splat((2.0 * SQRT_2_PI) as f32);
    let cubic = s.splat((2.0 * SQRT_2_PI * 0.044_715) as f32);
    s.mul(x, s.mul_add(cubic, s.mul(x, x), linear))
}

/// `tanh(ln(1 + e^x)) = upper / whole` and `1 - tanh(ln(1 + e^x)) = lower / whole`.
struct MishParts<V> {
    upper: V,
    lower: V,
    whole: V,
    /// `sigmoid(x)`
    gate: V,
}

/// With `m = e^-|x|`, the fraction is `(1 + 2m) / (1 + 2m + 2m^2)` for positive `x` and `(m^2 + 2m) / (m^2 + 2m + 2)` for
/// others: nothing overflows and nothing cancels.
#[inline(always)]
fn mish_parts<S: Simd>(s: S, x: S::F32) -> MishParts<S::F32> {
    let (one, two) = (s.splat(1.0), s.splat(2.0));
    let m = exp(s, s.neg(s.abs(x)));
    let square = s.mul(m, m);
    let negative = s.lt(x, s.splat(0.0));
    let upper = s.add(s.add(m, m), s.select(negative, square, one));
    let lower = s.select(negative, two, s.add(square, square));
    let gate = s.div(s.select(negative, m, one), s.add(one, m));
    MishParts {
        upper,
        lower,
        whole: s.add(upper, lower),
        gate,
    }
}
