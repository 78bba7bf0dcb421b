//! Loops over slices, a vector at a time.
//!
//! Everything here runs inside `dispatch!` and is `#[inline(always)]`; the closures it takes must be too.

use crate::array::{Slices, array};
use striate_simd::Simd;

/// Independent sums of [`fold`], so that it need not wait for each addition.
const UNROLL: usize = 4;

/// `y[i] = f(x[0][i], ..., x[K-1][i])`. Every `x` has at least the length of `y`.
#[inline(always)]
pub(crate) fn map<S: Simd, const K: usize>(
    s: S,
    x: [&[f32]; K],
    y: &mut [f32],
    f: impl Fn([S::F32; K]) -> S::F32,
) {
    let n = y.len();
    let x = up_to(n, x);
    let mut at = 0;
    // Written so that the compiler sees that no index is out of bounds.
    while at <= n && n - at >= S::LANES {
        let value = f(load(s, &x, at));
        s.store(value, &mut y[at..]);
        at += S::LANES;
    }
    if at < n {
        let value = f(load_partial(s, &x, at, n));
        s.store_partial(value, &mut y[at..]);
    }
}

/// The first `n` elements of each slice.
#[inline(always)]
fn up_to<const K: usize>(n: usize, mut x: [&[f32]; K]) -> [&[f32]; K] {
    for k in 0..K {
        x[k] = &x[k][..n];
    }
    x
}

/// `y[i] = f(first[i], x[0][i], ..., x[K-1][i])`, where no `first` stands for `y` itself. Every slice has at least the
/// length of `y`.
#[inline(always)]
pub(crate) fn update<S: Simd, const K: usize>(
    s: S,
    first: Option<&[f32]>,
    x: [&[f32]; K],
    y: &mut [f32],
    f: impl Fn(S::F32, [S::F32; K]) -> S::F32,
) {
    let n = y.len();
    let x = up_to(n, x);
    let mut at = 0;
    while at <= n && n - at >= S::LANES {
        let old = s.load(&first.unwrap_or(y)[at..]);
        let value = f(old, load(s, &x, at));
        s.store(value, &mut y[at..]);
        at += S::LANES;
    }
    if at < n {
        let old = s.load_partial(&first.unwrap_or(y)[at..n]);
        let value = f(old, load_partial(s, &x, at, n));
        s.store_partial(value, &mut y[at..]);
    }
}

/// `(y[0][i], ...) = f((y[0][i], ...), (x[0][i], ...))`. All slices have at least the length of `y[0]`.
#[inline(always)]
pub(crate) fn update_all<S: Simd, const M: usize, const K: usize>(
    s: S,
    x: [&[f32]; K],
    y: [&mut [f32]; M],
    f: impl Fn([S::F32; M], [S::F32; K]) -> [S::F32; M],
) {
    let n = y[0].len();
    for at in (0..n).step_by(S::LANES) {
        let end = (at + S::LANES).min(n);
        let mut old = [s.splat(0.0); M];
        for m in 0..M {
            old[m] = s.load_partial(&y[m][at..end]);
        }
        let new = f(old, load_partial(s, &x, at, end));
        for m in 0..M {
            s.store_partial(new[m], &mut y[m][at..end]);
        }
    }
}

/// `(y[0][i], ..., y[M-1][i]) = f(x[0][i], ..., x[K-1][i])` for `i < n`.
///
/// # Panics
/// If a slice has fewer than `n` elements.
#[inline(always)]
pub(crate) fn map_all<S: Simd, const K: usize, const M: usize>(
    s: S,
    n: usize,
    x: [&[f32]; K],
    y: &mut Slices<'_, f32, M>,
    f: impl Fn([S::F32; K]) -> [S::F32; M],
) {
    let mut y = y.reborrow();
    let enough = x.iter().all(|x| x.len() >= n) && (0..M).all(|m| y.get(m).len() >= n);
    assert!(enough, "a slice is shorter than {n}");
    let mut at = 0;
    while at + S::LANES <= n {
        let new = f(load(s, &x, at));
        for m in 0..M {
            s.store(new[m], &mut y.get(m)[at..]);
        }
        at += S::LANES;
    }
    if at < n {
        let new = f(load_partial(s, &x, at, n));
        for m in 0..M {
            s.store_partial(new[m], &mut y.get(m)[at..n]);
        }
    }
}

/// Folds the elements of `x`, in a fixed order: `LANES * UNROLL` running values, of which the `i`-th takes every element
/// whose number is `i` modulo their count, and the first `LANES` of them the elements that are left in the end, combined in
/// pairs. `start` must be neutral.
#[inline(always)]
pub(crate) fn fold<S: Simd, const K: usize>(
    s: S,
    x: [&[f32]; K],
    start: f32,
    step: impl Fn(S::F32, [S::F32; K]) -> S::F32,
    join: impl Fn(S::F32, S::F32) -> S::F32,
) -> S::F32 {
    let n = x[0].len();
    let mut acc = [s.splat(start); UNROLL];
    let mut at = 0;
    while at + UNROLL * S::LANES <= n {
        for u in 0..UNROLL {
            acc[u] = step(acc[u], load(s, &x, at));
            at += S::LANES;
        }
    }
    fold_rest(s, x, at, acc, step, join)
}

/// As [`fold`], and the same to the last bit, for steps that leave few registers: one vector at a time, while the running
/// values change places.
#[inline(always)]
pub(crate) fn fold_in_turn<S: Simd, const K: usize>(
    s: S,
    x: [&[f32]; K],
    start: f32,
    step: impl Fn(S::F32, [S::F32; K]) -> S::F32,
    join: impl Fn(S::F32, S::F32) -> S::F32,
) -> S::F32 {
    let n = x[0].len();
    let whole = n - n % (UNROLL * S::LANES);
    let mut acc = [s.splat(start); UNROLL];
    let mut at = 0;
    while at < whole {
        let next = step(acc[0], load(s, &x, at));
        acc = [acc[1], acc[2], acc[3], next];
        at += S::LANES;
    }
    fold_rest(s, x, at, acc, step, join)
}

/// The rest of a fold, from `at` on.
#[inline(always)]
fn fold_rest<S: Simd, const K: usize>(
    s: S,
    x: [&[f32]; K],
    mut at: usize,
    mut acc: [S::F32; UNROLL],
    step: impl Fn(S::F32, [S::F32; K]) -> S::F32,
    join: impl Fn(S::F32, S::F32) -> S::F32,
) -> S::F32 {
    let n = x[0].len();
    while at < n {
        let next = step(acc[0], load_partial(s, &x, at, n));
        // Lanes beyond the end keep what they had.
        let inside = s.lt(s.iota(), s.splat((n - at) as f32));
        acc[0] = s.select(inside, next, acc[0]);
        at += S::LANES;
    }
    join(join(acc[0], acc[1]), join(acc[2], acc[3]))
}

/// `y[i] = sum of weight * source(position)[i]` over the taps `(position, weight)`, four of them in a pass at most.
#[inline(always)]
pub(crate) fn weighted<'a, S: Simd>(
    s: S,
    mut taps: &[(usize, f64)],
    source: impl Fn(usize) -> &'a [f32],
    y: &mut [f32],
) {
    if y.len() < S::LANES {
        // A few elements one by one.
        for (i, y) in y.iter_mut().enumerate() {
            let terms = taps.iter().map(
                #[inline(always)]
                |&(position, weight)| source(position)[i] * weight as f32,
            );
            *y = terms.sum();
        }
        return;
    }
    let mut first = true;
    loop {
        taps = match *taps {
            [a, b, c, d, ref rest @ ..] => {
                add_weighted(s, [a, b, c, d], &source, first, y);
                rest
            }
            [a, b, ref rest @ ..] => {
                add_weighted(s, [a, b], &source, first, y);
                rest
            }
            [a, ref rest @ ..] => {
                add_weighted(s, [a], &source, first, y);
                rest
            }
            [] => {
                if first {
                    y.fill(0.0);
                }
                return;
            }
        };
        first = false;
    }
}

/// `y[i] += sum of weight * source(position)[i]` over the taps, or the sum alone if they are the `first`.
#[inline(always)]
fn add_weighted<'a, S: Simd, const K: usize>(
    s: S,
    taps: [(usize, f64); K],
    source: impl Fn(usize) -> &'a [f32],
    first: bool,
    y: &mut [f32],
) {
    let x = array(
        #[inline(always)]
        |k| source(taps[k].0),
    );
    let weights: [_; K] = array(
        #[inline(always)]
        |k| s.splat(taps[k].1 as f32),
    );
    if first {
        map(
            s,
            x,
            y,
            #[inline(always)]
            |x| multiply_add(s, x, weights, s.splat(0.0)),
        );
    } else {
        update(
            s,
            None,
            x,
            y,
            #[inline(always)]
            |sum, x| multiply_add(s, x, weights, sum),
        );
    }
}

/// `sum + x[0] * weights[0] + ...`
#[inline(always)]
fn multiply_add<S: Simd, const K: usize>(
    s: S,
    x: [S::F32; K],
    weights: [S::F32; K],
    mut sum: S::F32,
) -> S::F32 {
    for k in 0..K {
        sum = s.mul_add(x[k], weights[k], sum);
    }
    sum
}

/// The vectors of all slices at `at`.
#[inline(always)]
pub(crate) fn load<S: Simd, const K: usize>(s: S, x: &[&[f32]; K], at: usize) -> [S::F32; K] {
    let mut v = [s.splat(0.0); K];
    for k in 0..K {
        v[k] = s.load(&x[k][at..]);
    }
    v
}

/// The vectors of all slices at `at`, zero from `end` on.
#[inline(always)]
pub(crate) fn load_partial<S: Simd, const K: usize>(
    s: S,
    x: &[&[f32]; K],
    at: usize,
    end: usize,
) -> [S::F32; K] {
    let mut v = [s.splat(0.0); K];
    for k in 0..K {
        v[k] = s.load_partial(&x[k][at..end]);
    }
    v
}

/// The larger; NaN if either is.
#[inline(always)]
pub(crate) fn maximum<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
    // `max` gives its second operand if either is NaN, which is right unless only the first is.
    s.select(s.eq(a, a), s.max(a, b), a)
}

/// The smaller; NaN if either is.
#[inline(always)]
pub(crate) fn minimum<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
    s.select(s.eq(a, a), s.min(a, b), a)
}
