//! The gradient of an extreme for `f32` on vectors: one pass counts the elements that share it, one hands it out.

use super::vector::{Fold, totals};
use super::{ReduceGeometry, reference};
use crate::nest::{LoopNest, Tile};
use striate_simd::{Level, Simd, dispatch};

/// `dx = dy / ties` where `x` equals the extreme `y`, else zero.
pub(super) fn backward(
    level: Level,
    g: &ReduceGeometry,
    x: &[f32],
    y: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) {
    let nest = g.whole();
    let columns = nest.columns().strides;
    let ties = totals(level, Fold::Ties, &g.with_outputs_as_second(), (x, y));
    let vectors = columns[0] == 1 && columns[1] <= 1;
    let (Some(ties), true) = (ties, vectors || nest.columns().size == 1) else {
        return reference::extreme_backward(g, x, y, dy, dx);
    };
    let share: Vec<f32> = dy.iter().zip(ties).map(|(dy, n)| dy / n as f32).collect();
    nest.for_each_part(dx, 1, |dx, origin, positions| {
        nest.for_each_tile(positions, |tile| {
            let dx = &mut dx[tile.offsets[0] - origin..];
            dispatch!(level, s => share_rows(s, &nest, tile, [x, y, &share], dx));
        });
    });
}

#[inline(always)]
fn share_rows<S: Simd>(
    s: S,
    nest: &LoopNest<2>,
    tile: Tile<2>,
    [x, y, share]: [&[f32]; 3],
    dx: &mut [f32],
) {
    let (rows, columns) = (nest.rows().strides, nest.columns().strides);
    let zero = s.splat(0.0);
    for r in 0..tile.rows {
        let dx = &mut dx[r * rows[0]..][..tile.columns];
        // `x` has the strides of `dx`.
        let x = &x[tile.offsets[0] + r * rows[0]..][..tile.columns];
        let of = tile.offsets[1] + r * rows[1];
        for at in (0..tile.columns).step_by(S::LANES) {
            let end = (at + S::LANES).min(tile.columns);
            let here = if columns[1] == 0 {
                of..of + 1
            } else {
                of + at..of + end
            };
            let (y, share) = (
                output(s, &y[here.clone()], columns[1]),
                output(s, &share[here], columns[1]),
            );
            let won = equal(s, s.load_partial(&x[at..end]), y);
            s.store_partial(s.select(won, share, zero), &mut dx[at..end]);
        }
    }
}

/// The numbers of outputs that are one after the other, or all the same.
#[inline(always)]
fn output<S: Simd>(s: S, v: &[f32], stride: usize) -> S::F32 {
    if stride == 0 {
        s.splat(v[0])
    } else {
        s.load_partial(v)
    }
}

/// Whether two numbers are equal or both NaN.
#[inline(always)]
pub(super) fn equal<S: Simd>(s: S, x: S::F32, y: S::F32) -> S::Mask {
    let both = s.mask_and(s.mask_not(s.eq(x, x)), s.mask_not(s.eq(y, y)));
    s.mask_or(s.eq(x, y), both)
}
