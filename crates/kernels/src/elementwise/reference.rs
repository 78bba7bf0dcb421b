//! The formulas, element by element.

use super::{Binary, BinaryGeometry, Unary};
use crate::nest::LoopNest;
use crate::parallel::{Cut, for_each_chunk};
use crate::real::Real;

/// Relative cost of an elementary function.
const COST: usize = 4;

pub(super) fn unary<R: Real>(op: Unary, x: &[R], y: &mut [R]) {
    let step = Cut::new(y.len(), COST).per_task();
    for_each_chunk(y, step, |i, y| {
        for (y, &x) in y.iter_mut().zip(&x[i * step..]) {
            *y = op.value(x);
        }
    });
}

pub(super) fn unary_backward<R: Real>(op: Unary, saved: &[R], dy: &[R], dx: &mut [R]) {
    let step = Cut::new(dx.len(), COST).per_task();
    for_each_chunk(dx, step, |i, dx| {
        let rest = i * step;
        for (at, dx) in dx.iter_mut().enumerate() {
            // The ops that save nothing have a constant derivative.
            let saved = saved.get(rest + at).copied().unwrap_or(R::ZERO);
            *dx = dy[rest + at] * op.derivative(saved);
        }
    });
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
    positions: std::ops::Range<usize>,
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
