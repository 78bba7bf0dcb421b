//! Lines of contiguous elements, a vector along the line.

use crate::lanes::{fold, fold_in_turn, map, maximum, update};
use striate_simd::Simd;
use striate_simd::math::{exp, exp_normal, log, normal_or_zero};

/// The largest element, and the logarithm of the sum of the exponentials of the differences to it.
#[inline(always)]
pub(super) fn log_sum<S: Simd>(s: S, x: &[f32]) -> (f32, f32) {
    let max = max_of(s, x);
    let top = s.splat(max);
    let sum = fold_in_turn(
        s,
        [x],
        0.0,
        #[inline(always)]
        |sum, [x]| s.add(sum, exp(s, s.sub(x, top))),
        #[inline(always)]
        |a, b| s.add(a, b),
    );
    (max, s.max_lane(log(s, s.splat(s.sum(sum)))))
}

/// Lines of a few vectors stay in registers, where these are more than the constants of an exponential need.
#[inline(always)]
pub(super) fn softmax<S: Simd>(s: S, x: &[f32], y: &mut [f32]) {
    match x.len().div_ceil(S::LANES) {
        0 => {}
        1 if S::LANES == 16 => short::<S, 1>(s, x, y),
        2 if S::LANES == 16 => short::<S, 2>(s, x, y),
        3 | 4 if S::LANES == 16 => short::<S, 4>(s, x, y),
        _ => long(s, x, y),
    }
}

/// A line of at most `V` vectors.
#[inline(always)]
fn short<S: Simd, const V: usize>(s: S, x: &[f32], y: &mut [f32]) {
    let n = x.len().min(y.len());
    let part = |v: usize| (v * S::LANES).min(n)..((v + 1) * S::LANES).min(n);
    let mut e = [s.splat(f32::NEG_INFINITY); V];
    for v in 0..V {
        let inside = s.lt(s.iota(), s.splat(part(v).len() as f32));
        e[v] = s.select(inside, s.load_partial(&x[part(v)]), e[v]);
    }
    let mut max = e[0];
    for v in 1..V {
        max = maximum(s, e[v], max);
    }
    let top = s.splat(largest(s, max));
    let mut sum = s.splat(0.0);
    for v in 0..V {
        // Lanes beyond the end are minus infinity, whose exponential is zero.
        e[v] = exp_normal(s, s.sub(e[v], top));
        sum = s.add(sum, e[v]);
    }
    let scale = s.splat(1.0 / s.sum(sum));
    for v in 0..V {
        let value = normal_or_zero(s, s.mul(e[v], scale));
        s.store_partial(value, &mut y[part(v)]);
    }
}

#[inline(always)]
fn long<S: Simd>(s: S, x: &[f32], y: &mut [f32]) {
    let top = s.splat(max_of(s, x));
    map(
        s,
        [x],
        y,
        #[inline(always)]
        |[x]| exp_normal(s, s.sub(x, top)),
    );
    let scale = s.splat(
        1.0 / sum_of(
            s,
            [y],
            #[inline(always)]
            |[y]| y,
        ),
    );
    update(
        s,
        None,
        [],
        y,
        #[inline(always)]
        |y, []| normal_or_zero(s, s.mul(y, scale)),
    );
}

#[inline(always)]
pub(super) fn log_softmax<S: Simd>(s: S, x: &[f32], y: &mut [f32]) {
    let (max, log_sum) = log_sum(s, x);
    let (max, log_sum) = (s.splat(max), s.splat(log_sum));
    map(
        s,
        [x],
        y,
        #[inline(always)]
        |[x]| s.sub(s.sub(x, max), log_sum),
    );
}

#[inline(always)]
pub(super) fn softmax_backward<S: Simd>(s: S, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    let dot = s.splat(sum_of(
        s,
        [y, dy],
        #[inline(always)]
        |[y, dy]| s.mul(y, dy),
    ));
    map(
        s,
        [y, dy],
        dx,
        #[inline(always)]
        |[y, dy]| normal_or_zero(s, s.mul(y, s.sub(dy, dot))),
    );
}

#[inline(always)]
pub(super) fn log_softmax_backward<S: Simd>(s: S, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    let sum = s.splat(sum_of(
        s,
        [dy],
        #[inline(always)]
        |[dy]| dy,
    ));
    map(
        s,
        [y, dy],
        dx,
        #[inline(always)]
        |[y, dy]| s.neg_mul_add(exp(s, y), sum, dy),
    );
}

/// The largest element; NaN if any is.
#[inline(always)]
fn max_of<S: Simd>(s: S, x: &[f32]) -> f32 {
    let lanes = fold(
        s,
        [x],
        f32::NEG_INFINITY,
        #[inline(always)]
        |max, [x]| maximum(s, x, max),
        #[inline(always)]
        |a, b| maximum(s, a, b),
    );
    largest(s, lanes)
}

/// The largest lane; NaN if any is.
#[inline(always)]
fn largest<S: Simd>(s: S, lanes: S::F32) -> f32 {
    if s.any(s.mask_not(s.eq(lanes, lanes))) {
        f32::NAN
    } else {
        s.max_lane(lanes)
    }
}

/// The sum of `f` over the elements.
#[inline(always)]
fn sum_of<S: Simd, const K: usize>(s: S, x: [&[f32]; K], f: impl Fn([S::F32; K]) -> S::F32) -> f32 {
    let sum = fold(
        s,
        x,
        0.0,
        #[inline(always)]
        |sum, x| s.add(sum, f(x)),
        #[inline(always)]
        |a, b| s.add(a, b),
    );
    s.sum(sum)
}
