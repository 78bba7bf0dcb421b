//! The formulas as loops.

use super::{Maps, Mixture};
use crate::real::Real;

/// Row `i` of rows of `len` elements.
pub(super) fn row<R>(x: &[R], i: usize, len: usize) -> &[R] {
    &x[i * len..][..len]
}

pub(super) fn mix<R: Real>(m: &Mixture, a: &[R], w: &[R], y: &mut [R]) {
    for n in 0..m.samples {
        for i in 0..m.len {
            let terms = (0..m.rows).map(|e| a[n * m.rows + e] * w[e * m.len + i]);
            y[n * m.len + i] = terms.sum();
        }
    }
}

pub(super) fn products<R: Real>(m: &Mixture, y: &[R], w: &[R], a: &mut [R]) {
    for n in 0..m.samples {
        for e in 0..m.rows {
            let pairs = row(y, n, m.len).iter().zip(row(w, e, m.len));
            let sum: f64 = pairs.map(|(y, w)| y.to_f64() * w.to_f64()).sum();
            a[n * m.rows + e] = R::from_f64(sum);
        }
    }
}

/// Calls `f` with the number of each element of a map: in the mixture, among the factors, the slice it is in, and there.
fn for_each_term(g: &Maps, slices: usize, mut f: impl FnMut(usize, usize, usize, usize)) {
    for n in 0..g.samples {
        for m in 0..g.maps {
            let (slice, stride, first) = g.place(m, slices);
            for row in n * g.places..(n + 1) * g.places {
                for (c, factor) in g.factors(n, m).enumerate() {
                    f(
                        row * g.channels + c,
                        factor,
                        slice,
                        row * stride + first + c,
                    );
                }
            }
        }
    }
}

pub(super) fn mix_maps<R: Real>(g: &Maps, x: &[&[R]], a: &[R], y: &mut [R]) {
    y.fill(R::ZERO);
    for_each_term(g, x.len(), |i, factor, slice, at| {
        y[i] += a[factor] * x[slice][at];
    });
}

pub(super) fn mix_maps_backward<R: Real>(
    g: &Maps,
    x: &[&[R]],
    a: &[R],
    dy: &[R],
    dx: &mut [&mut [R]],
    da: &mut [R],
) {
    da.fill(R::ZERO);
    for_each_term(g, x.len(), |i, factor, slice, at| {
        dx[slice][at] = a[factor] * dy[i];
        da[factor] += x[slice][at] * dy[i];
    });
}
