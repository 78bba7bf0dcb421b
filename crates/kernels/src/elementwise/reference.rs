//! The formulas, element by element.

use super::{Binary, BinaryGeometry, Unary};
use crate::nest::LoopNest;
use crate::real::Real;
use std::ops::Range;

pub(super) fn unary<R: Real>(op: Unary, x: &[R], y: &mut [R]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = op.value(x);
    }
}

pub(super) fn unary_assign<R: Real>(op: Unary, x: &mut [R]) {
    for x in x {
        *x = op.value(*x);
    }
}

/// What was saved at `i`; nothing is saved where the derivative is a constant.
fn saved_at<R: Real>(saved: &[R], i: usize) -> R {
    saved.get(i).copied().unwrap_or(R::ZERO)
}

pub(super) fn unary_backward<R: Real>(op: Unary, saved: &[R], dy: &[R], dx: &mut [R]) {
    for (i, (dx, &dy)) in dx.iter_mut().zip(dy).enumerate() {
        *dx = op.gradient(saved_at(saved, i), dy);
    }
}

pub(super) fn unary_backward_assign<R: Real>(op: Unary, saved: &[R], dy: &mut [R]) {
    for (i, dy) in dy.iter_mut().enumerate() {
        *dy = op.gradient(saved_at(saved, i), *dy);
    }
}

pub(super) fn binary<R: Real>(op: Binary, g: &BinaryGeometry, a: &[R], b: &[R], out: &mut [R]) {
    g.nest.for_each_part(out, 1, |out, origin, positions| {
        for_each_element(&g.nest, positions, |[o, i, j]| {
            out[o - origin] = op.value(a[i], b[j]);
        });
    });
}

pub(super) fn accumulate<R: Real>(nest: &LoopNest<2>, scale: R, src: &[R], dst: &mut [R]) {
    nest.for_each_part(dst, 1, |dst, origin, positions| {
        for_each_element(nest, positions, |[o, i]| dst[o - origin] += scale * src[i]);
    });
}

/// Runs `f` on the offsets of the elements at `positions`.
pub(crate) fn for_each_element<const K: usize>(
    nest: &LoopNest<K>,
    positions: Range<usize>,
    mut f: impl FnMut([usize; K]),
) {
    let (rows, columns) = (nest.rows().strides, nest.columns().strides);
    nest.for_each_tile(positions, |tile| {
        for r in 0..tile.rows {
            for c in 0..tile.columns {
                let mut at = tile.offsets;
                for k in 0..K {
                    at[k] += r * rows[k] + c * columns[k];
                }
                f(at);
            }
        }
    });
}
