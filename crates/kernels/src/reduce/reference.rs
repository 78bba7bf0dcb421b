//! The formulas: for each output, one loop over the elements that it is made of.

use super::{ReduceGeometry, Reduction};
use crate::elementwise::reference::for_each_element;
use crate::nest::LoopNest;
use crate::real::Real;

/// Calls `f(output, place, a, b)` for each kept position: the outputs of a task, which of them, and the offsets of its
/// operands.
fn for_each_output<T: Send + Sync>(
    g: &ReduceGeometry,
    out: &mut [T],
    f: impl Fn(&mut T, usize, usize, usize) + Sync + Send,
) {
    g.kept
        .for_each_part(out, g.reduced.len(), |out, origin, positions| {
            for_each_element(&g.kept, positions, |[o, a, b]| {
                f(&mut out[o - origin], o, a, b);
            });
        });
}

/// Calls `f` on the offsets of everything that is reduced to one output.
fn for_each_reduced(nest: &LoopNest<2>, f: impl FnMut([usize; 2])) {
    for_each_element(nest, 0..nest.len(), f);
}

pub(super) fn reduce<R: Real>(op: Reduction, g: &ReduceGeometry, x: &[R], out: &mut [R]) {
    for_each_output(g, out, |out, _, base, _| {
        let (mut sum, mut max, mut min) = (0.0, R::NEG_INFINITY, R::INFINITY);
        for_each_reduced(&g.reduced, |[at, _]| match op {
            Reduction::Sum | Reduction::Mean => sum += x[base + at].to_f64(),
            Reduction::Max => max = max.maximum(x[base + at]),
            Reduction::Min => min = min.minimum(x[base + at]),
        });
        *out = match op {
            Reduction::Sum => R::from_f64(sum),
            Reduction::Mean => R::from_f64(sum / g.reduced.len() as f64),
            Reduction::Max => max,
            Reduction::Min => min,
        };
    });
}

pub(super) fn sum_of_products<R: Real>(g: &ReduceGeometry, a: &[R], b: &[R], out: &mut [R]) {
    for_each_output(g, out, |out, _, a0, b0| {
        let mut sum = 0.0;
        for_each_reduced(&g.reduced, |[i, j]| {
            sum += a[a0 + i].to_f64() * b[b0 + j].to_f64();
        });
        *out = R::from_f64(sum);
    });
}

pub(super) fn moments<R: Real>(g: &ReduceGeometry, x: &[R], mean: &mut [R], var: &mut [R]) {
    let n = g.reduced.len() as f64;
    let mean_at = |base: usize| {
        let mut sum = 0.0;
        for_each_reduced(&g.reduced, |[at, _]| sum += x[base + at].to_f64());
        sum / n
    };
    for_each_output(g, mean, |mean, _, base, _| {
        *mean = R::from_f64(mean_at(base));
    });
    for_each_output(g, var, |var, _, base, _| {
        let (mean, mut sum) = (mean_at(base), 0.0);
        for_each_reduced(&g.reduced, |[at, _]| {
            sum += (x[base + at].to_f64() - mean).powi(2);
        });
        *var = R::from_f64(sum / n);
    });
}

pub(super) fn argmax<R: Real>(g: &ReduceGeometry, x: &[R], out: &mut [i64]) {
    for_each_output(g, out, |out, _, base, _| {
        let (mut best, mut index, mut place) = (x[base], 0, 0);
        for_each_reduced(&g.reduced, |[at, _]| {
            let value = x[base + at];
            if value > best || (value.is_nan() && !best.is_nan()) {
                (best, place) = (value, index);
            }
            index += 1;
        });
        *out = place;
    });
}

pub(super) fn extreme_backward<R: Real>(
    g: &ReduceGeometry,
    x: &[R],
    y: &[R],
    dy: &[R],
    plus: &[R],
    dx: &mut [R],
) {
    for_each_element(&g.kept, 0..g.kept.len(), |[o, base, _]| {
        let is_extreme = |v: R| v == y[o] || (v.is_nan() && y[o].is_nan());
        let mut ties = 0;
        for_each_reduced(&g.reduced, |[at, _]| {
            ties += usize::from(is_extreme(x[base + at]));
        });
        let share = dy[o] / R::from_usize(ties.max(1));
        for_each_reduced(&g.reduced, |[at, _]| {
            let won = if is_extreme(x[base + at]) {
                share
            } else {
                R::ZERO
            };
            dx[base + at] = won + plus[o];
        });
    });
}
