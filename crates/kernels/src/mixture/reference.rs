//! The formulas as loops.

use super::Mixture;
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
