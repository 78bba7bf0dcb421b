//! Loops over slices, a vector at a time.
//!
//! Everything here runs inside `dispatch!` and is `#[inline(always)]`; the closures it takes must be too.

use crate::array::Slices;
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
    let mut at = 0;
    while at + S::LANES <= n {
        let value = f(load(s, &x, at));
        s.store(value, &mut y[at..]);
        at += S::LANES;
    }
    if at < n {
        let value = f(load_partial(s, &x, at, n));
        s.store_partial(value, &mut y[at..]);
    }
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
    let mut at = 0;
    while at + S::LANES <= n {
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
    while at < n {
        let next = step(acc[0], load_partial(s, &x, at, n));
        // Lanes beyond the end keep what they had.
        let inside = s.lt(s.iota(), s.splat((n - at) as f32));
        acc[0] = s.select(inside, next, acc[0]);
        at += S::LANES;
    }
    join(join(acc[0], acc[1]), join(acc[2], acc[3]))
}

/// Vectors that [`weighted`] sums together.
const VECTORS: usize = 4;

/// `y[i] = sum of weight * source(position)[i]` over the taps `(position, weight)`.
#[inline(always)]
pub(crate) fn weighted<'a, S: Simd>(
    s: S,
    taps: &[(usize, f64)],
    source: impl Fn(usize) -> &'a [f32],
    y: &mut [f32],
) {
    let n = y.len();
    let mut at = 0;
    while at + VECTORS * S::LANES <= n {
        let mut sums = [s.splat(0.0); VECTORS];
        for &(position, weight) in taps {
            let (x, weight) = (
                &source(position)[at..][..VECTORS * S::LANES],
                s.splat(weight as f32),
            );
            for v in 0..VECTORS {
                sums[v] = s.mul_add(s.load(&x[v * S::LANES..]), weight, sums[v]);
            }
        }
        for v in 0..VECTORS {
            s.store(sums[v], &mut y[at + v * S::LANES..]);
        }
        at += VECTORS * S::LANES;
    }
    while at + S::LANES <= n {
        let mut sum = s.splat(0.0);
        for &(position, weight) in taps {
            sum = s.mul_add(s.load(&source(position)[at..]), s.splat(weight as f32), sum);
        }
        s.store(sum, &mut y[at..]);
        at += S::LANES;
    }
    // A few elements one by one: fewer than a vector, or single channels.
    for (i, y) in y.iter_mut().enumerate().skip(at) {
        let terms = taps.iter().map(
            #[inline(always)]
            |&(position, weight)| source(position)[i] * weight as f32,
        );
        *y = terms.sum();
    }
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
