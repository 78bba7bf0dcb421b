//! The formulas as loops, one query after the other.

use super::pool::Map;
use super::{AttentionGeometry, Operands, Outcome};
use crate::real::Real;

fn dot<R: Real>(a: &[R], b: &[R]) -> f64 {
    let products = a.iter().zip(b);
    products.map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}

/// Calls `f` with the number of each query, and those of its first key and its last but one.
fn for_each_query(g: &AttentionGeometry, mut f: impl FnMut(usize, std::ops::Range<usize>)) {
    for row in 0..g.rows() {
        let first = row / g.queries() * g.keys();
        f(row, first..first + g.keys());
    }
}

pub(super) fn forward<R: Real>(
    g: &AttentionGeometry,
    x: &Operands<'_, R>,
    y: &mut [R],
    log_sums: &mut [R],
) {
    let (depth, values) = (g.depth(), g.values());
    for_each_query(g, |row, keys| {
        let q = &x.q[row * depth..][..depth];
        let scores: Vec<f64> = keys
            .clone()
            .map(|j| x.scale * dot(q, &x.k[j * depth..][..depth]))
            .collect();
        let max = scores
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, Real::maximum);
        let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
        log_sums[row] = R::from_f64(max + sum.ln());
        for (e, y) in y[row * values..][..values].iter_mut().enumerate() {
            let terms = keys.clone().zip(&scores);
            let terms = terms.map(|(j, s)| (s - max).exp() / sum * x.v[j * values + e].to_f64());
            *y = R::from_f64(terms.sum());
        }
    });
}

pub(super) fn backward<R: Real>(
    g: &AttentionGeometry,
    x: &Operands<'_, R>,
    outcome: &Outcome<'_, R>,
    dy: &[R],
    [dq, dk, dv]: [&mut [R]; 3],
) {
    let (depth, values) = (g.depth(), g.values());
    dq.fill(R::ZERO);
    dk.fill(R::ZERO);
    dv.fill(R::ZERO);
    for_each_query(g, |row, keys| {
        let q = &x.q[row * depth..][..depth];
        let dy = &dy[row * values..][..values];
        // What the softmax takes from each gradient of a weight.
        let mean = dot(dy, &outcome.y[row * values..][..values]);
        let log_sum = outcome.log_sums[row].to_f64();
        for j in keys {
            let (k, v) = (&x.k[j * depth..][..depth], &x.v[j * values..][..values]);
            let weight = (x.scale * dot(q, k) - log_sum).exp();
            let ds = R::from_f64(x.scale * weight * (dot(dy, v) - mean));
            for (e, dy) in dy.iter().enumerate() {
                dv[j * values + e] += R::from_f64(weight) * *dy;
            }
            for d in 0..depth {
                dq[row * depth + d] += ds * k[d];
                dk[j * depth + d] += ds * q[d];
            }
        }
    });
}

/// Of a map of `[places, channels]` for each sample.
pub(super) fn pool<R: Real>(
    &[places, c]: &[usize; 2],
    map: &Map<'_, R>,
    y: &mut [R],
    log_sums: &mut [R],
) {
    for (n, log_sum) in log_sums.iter_mut().enumerate() {
        let row = |i: usize| &map.x[(n * places + i) * c..][..c];
        let scores: Vec<f64> = (0..places)
            .map(|i| dot(row(i), map.w) + map.b.to_f64())
            .collect();
        let max = scores
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, Real::maximum);
        let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
        *log_sum = R::from_f64(max + sum.ln());
        for (e, y) in y[n * c..][..c].iter_mut().enumerate() {
            let terms = scores.iter().enumerate();
            let terms = terms.map(|(i, s)| (s - max).exp() / sum * row(i)[e].to_f64());
            *y = R::from_f64(terms.sum());
        }
    }
}

pub(super) fn pool_backward<R: Real>(
    &[places, c]: &[usize; 2],
    map: &Map<'_, R>,
    outcome: &Outcome<'_, R>,
    dy: &[R],
    [dx, dw, db]: [&mut [R]; 3],
) {
    dw.fill(R::ZERO);
    db.fill(R::ZERO);
    for (n, log_sum) in outcome.log_sums.iter().enumerate() {
        let [dy, y] = [dy, outcome.y].map(|x| &x[n * c..][..c]);
        let mean = dot(dy, y);
        for i in 0..places {
            let at = (n * places + i) * c;
            let x = &map.x[at..][..c];
            let weight = (dot(x, map.w) + map.b.to_f64() - log_sum.to_f64()).exp();
            let slope = weight * (dot(x, dy) - mean);
            let [weight, slope] = [weight, slope].map(R::from_f64);
            db[0] += slope;
            for e in 0..c {
                dx[at + e] = weight * dy[e] + slope * map.w[e];
                dw[e] += slope * x[e];
            }
        }
    }
}
