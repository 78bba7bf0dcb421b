//! Softmax of `f32` on vectors: along a line of contiguous elements, or across lines.

use super::columns::{self, Block};
use super::{AxisGeometry, rows};
use crate::parallel::{Cut, for_each_chunk};
use striate_simd::{Level, dispatch};

/// Cost of an element, in units of [`Cut::new`].
const COST: usize = 6;

/// Runs `f(at, outputs)` for the outputs from number `at` on, the whole blocks `[len, inner]` of a task.
fn for_each_task(g: &AxisGeometry, y: &mut [f32], f: impl Fn(usize, &mut [f32]) + Sync + Send) {
    let block = g.len() * g.inner();
    if block == 0 {
        return;
    }
    let chunk = Cut::new(g.outer(), COST * block).per_task() * block;
    for_each_chunk(y, chunk, |task, y| f(task * chunk, y));
}

/// Calls `f` for each block of a task; `x` are as long as `y` or longer.
#[inline(always)]
fn each_block<const K: usize>(
    g: &AxisGeometry,
    x: [&[f32]; K],
    y: &mut [f32],
    f: impl Fn([&[f32]; K], &mut [f32]),
) {
    let block = g.len() * g.inner();
    for (i, y) in y.chunks_exact_mut(block).enumerate() {
        f(x.map(|x| &x[i * block..][..block]), y);
    }
}

/// The elements of a block.
fn part<'a>(g: &AxisGeometry, x: &'a [f32], block: usize) -> &'a [f32] {
    let len = g.len() * g.inner();
    &x[block * len..(block + 1) * len]
}

pub(super) fn softmax(level: Level, g: &AxisGeometry, x: &[f32], y: &mut [f32]) {
    for_each_task(g, y, |at, y| {
        let inputs = [x].map(|v| &v[at..]);
        dispatch!(level, s => each_block(g, inputs, y, #[inline(always)] |[x], y| {
            if g.inner() == 1 {
                rows::softmax(s, x, y);
            } else {
                columns::softmax(s, Block::new(g), x, y);
            }
        }));
    });
}

pub(super) fn log_softmax(level: Level, g: &AxisGeometry, x: &[f32], y: &mut [f32]) {
    for_each_task(g, y, |at, y| {
        let inputs = [x].map(|v| &v[at..]);
        dispatch!(level, s => each_block(g, inputs, y, #[inline(always)] |[x], y| {
            if g.inner() == 1 {
                rows::log_softmax(s, x, y);
            } else {
                columns::log_softmax(s, Block::new(g), x, y);
            }
        }));
    });
}

pub(super) fn softmax_backward(
    level: Level,
    g: &AxisGeometry,
    y: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) {
    for_each_task(g, dx, |at, dx| {
        let inputs = [y, dy].map(|v| &v[at..]);
        dispatch!(level, s => each_block(g, inputs, dx, #[inline(always)] |[y, dy], dx| {
            if g.inner() == 1 {
                rows::softmax_backward(s, y, dy, dx);
            } else {
                columns::softmax_backward(s, Block::new(g), y, dy, dx);
            }
        }));
    });
}

pub(super) fn log_softmax_backward(
    level: Level,
    g: &AxisGeometry,
    y: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) {
    for_each_task(g, dx, |at, dx| {
        let inputs = [y, dy].map(|v| &v[at..]);
        dispatch!(level, s => each_block(g, inputs, dx, #[inline(always)] |[y, dy], dx| {
            if g.inner() == 1 {
                rows::log_softmax_backward(s, y, dy, dx);
            } else {
                columns::log_softmax_backward(s, Block::new(g), y, dy, dx);
            }
        }));
    });
}

/// `y` is `[outer, inner]`.
pub(super) fn logsumexp(level: Level, g: &AxisGeometry, x: &[f32], y: &mut [f32]) {
    let inner = g.inner();
    if g.len() == 0 || inner == 0 {
        y.fill(f32::NEG_INFINITY);
        return;
    }
    let per_task = Cut::new(g.outer(), COST * g.len() * inner).per_task();
    for_each_chunk(y, per_task * inner, |task, y| {
        let mut log_sum = vec![0.0; inner];
        for (i, y) in y.chunks_exact_mut(inner).enumerate() {
            let x = part(g, x, task * per_task + i);
            if inner == 1 {
                (y[0], log_sum[0]) = dispatch!(level, s => rows::log_sum(s, x));
            } else {
                dispatch!(level, s => columns::log_sums(s, Block::new(g), x, y, &mut log_sum));
            }
            for (y, sum) in y.iter_mut().zip(&log_sum) {
                // The difference to an infinite maximum is not a number, but the sum is known.
                *y = if y.is_infinite() { *y } else { *y + sum };
            }
        }
    });
}
