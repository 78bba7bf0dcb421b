//! The gradient of an extreme for `f32` on vectors: one pass counts the elements that share it, one hands it out.

use super::vector::{Fold, totals};
use super::{ReduceGeometry, reference};
use crate::array::array;
use crate::lanes::map;
use crate::nest::{LoopNest, Tile};
use striate_simd::{Level, Simd, dispatch};

/// `dx = dy / ties + plus` where `x` equals the extreme `y`, else `plus`.
pub(super) fn backward(
    level: Level,
    g: &ReduceGeometry,
    x: &[f32],
    y: &[f32],
    dy: &[f32],
    plus: &[f32],
    dx: &mut [f32],
) {
    let nest = g.whole();
    let columns = nest.columns().strides;
    let ties = totals(level, [Fold::Ties], &g.with_outputs_as_second(), (x, y));
    let vectors = columns[0] == 1 && columns[1] <= 1;
    let (Some([ties]), true) = (ties, vectors || nest.columns().size == 1) else {
        return reference::extreme_backward(g, x, y, dy, plus, dx);
    };
    let share: Vec<f32> = dy.iter().zip(ties).map(|(dy, n)| dy / n as f32).collect();
    nest.for_each_part(dx, 1, |dx, origin, positions| {
        nest.for_each_tile(positions, |tile| {
            let dx = &mut dx[tile.offsets[0] - origin..];
            dispatch!(level, s => share_rows(s, &nest, tile, [x, y, &share, plus], dx));
        });
    });
}

#[inline(always)]
fn share_rows<S: Simd>(
    s: S,
    nest: &LoopNest<2>,
    tile: Tile<2>,
    [x, y, share, plus]: [&[f32]; 4],
    dx: &mut [f32],
) {
    let (rows, columns) = (nest.rows().strides, nest.columns().strides);
    let zero = s.splat(0.0);
    for r in 0..tile.rows {
        let dx = &mut dx[r * rows[0]..][..tile.columns];
        // `x` has the strides of `dx`.
        let x = &x[tile.offsets[0] + r * rows[0]..][..tile.columns];
        let of = tile.offsets[1] + r * rows[1];
        if columns[1] == 0 {
            let [y, share, plus] = array(
                #[inline(always)]
                |i| s.splat([y, share, plus][i][of]),
            );
            map(
                s,
                [x],
                dx,
                #[inline(always)]
                |[x]| s.add(s.select(equal(s, x, y), share, zero), plus),
            );
        } else {
            map(
                s,
                [x, &y[of..], &share[of..], &plus[of..]],
                dx,
                #[inline(always)]
                |[x, y, share, plus]| s.add(s.select(equal(s, x, y), share, zero), plus),
            );
        }
    }
}

/// Whether two numbers are equal or both NaN.
#[inline(always)]
pub(super) fn equal<S: Simd>(s: S, x: S::F32, y: S::F32) -> S::Mask {
    let both = s.mask_and(s.mask_not(s.eq(x, x)), s.mask_not(s.eq(y, y)));
    s.mask_or(s.eq(x, y), both)
}
