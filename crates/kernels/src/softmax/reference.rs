//! The formulas, one line of elements after the other.

use super::AxisGeometry;
use crate::parallel::{Cut, for_each_chunk};
use crate::real::Real;

/// Calls `f(outputs, at, line)` for each block of whole lines: `line(i)` is the offset, in the block, of the `i`-th element
/// of the line, and `at` the offset of the block.
fn for_each_line<R: Real>(
    g: &AxisGeometry,
    y: &mut [R],
    f: impl Fn(&mut [R], usize, &dyn Fn(usize) -> usize) + Sync + Send,
) {
    let (len, inner) = (g.len(), g.inner());
    let block = len * inner;
    let cut = Cut::new(g.outer(), 8 * block);
    for_each_chunk(y, cut.per_task() * block, |task, y| {
        let first = task * cut.per_task() * block;
        for at in (0..y.len()).step_by(block.max(1)) {
            for lane in 0..inner {
                f(&mut y[at..at + block], first + at, &|i| i * inner + lane);
            }
        }
    });
}

/// The largest element of a line and the sum of the exponentials of the differences to it.
fn log_sum<R: Real>(x: impl Fn(usize) -> R, len: usize) -> (f64, f64) {
    let max = (0..len)
        .fold(R::NEG_INFINITY, |m, i| m.maximum(x(i)))
        .to_f64();
    // A line of nothing but minus infinities has no meaningful difference: NaN, as in PyTorch.
    (max, (0..len).map(|i| (x(i).to_f64() - max).exp()).sum())
}

pub(super) fn softmax<R: Real>(g: &AxisGeometry, x: &[R], y: &mut [R]) {
    for_each_line(g, y, |y, at, line| {
        let (max, sum) = log_sum(|i| x[at + line(i)], g.len());
        for i in 0..g.len() {
            y[line(i)] = R::from_f64((x[at + line(i)].to_f64() - max).exp() / sum);
        }
    });
}

pub(super) fn softmax_backward<R: Real>(g: &AxisGeometry, y: &[R], dy: &[R], dx: &mut [R]) {
    for_each_line(g, dx, |dx, at, line| {
        let of = |v: &[R], i: usize| v[at + line(i)].to_f64();
        let dot: f64 = (0..g.len()).map(|i| of(y, i) * of(dy, i)).sum();
        for i in 0..g.len() {
            dx[line(i)] = R::from_f64(of(y, i) * (of(dy, i) - dot));
        }
    });
}

pub(super) fn log_softmax<R: Real>(g: &AxisGeometry, x: &[R], y: &mut [R]) {
    for_each_line(g, y, |y, at, line| {
        let (max, sum) = log_sum(|i| x[at + line(i)], g.len());
        for i in 0..g.len() {
            y[line(i)] = R::from_f64(x[at + line(i)].to_f64() - max - sum.ln());
        }
    });
}

pub(super) fn log_softmax_backward<R: Real>(g: &AxisGeometry, y: &[R], dy: &[R], dx: &mut [R]) {
    for_each_line(g, dx, |dx, at, line| {
        let of = |v: &[R], i: usize| v[at + line(i)].to_f64();
        let sum: f64 = (0..g.len()).map(|i| of(dy, i)).sum();
        for i in 0..g.len() {
            dx[line(i)] = R::from_f64(of(dy, i) - of(y, i).exp() * sum);
        }
    });
}

pub(super) fn logsumexp<R: Real>(g: &AxisGeometry, x: &[R], y: &mut [R]) {
    let (len, inner) = (g.len(), g.inner());
    for (o, y) in y.iter_mut().enumerate() {
        let at = o / inner * len * inner + o % inner;
        let (max, sum) = log_sum(|i| x[at + i * inner], len);
        // Without a finite largest element the difference to it is not a number, but the sum is known.
        *y = R::from_f64(if max.is_infinite() {
            max
        } else {
            max + sum.ln()
        });
    }
}
