//! [`binary`](super::binary) and [`accumulate`](super::accumulate) on vectors.
//!
//! The loop nest leaves rows whose elements are one apart in the output and, in each operand, one apart or all the same: the
//! gates of attention modules end up there in either layout. Other strides take the scalar loop of the reference.

use super::{Binary, BinaryGeometry};
use crate::far::{self, FAR};
use crate::lanes::{map, maximum, minimum, update};
use crate::nest::{Loop, LoopNest, Tile};
use std::ops::Range;
use striate_simd::{Level, Simd, dispatch};

/// Whether every row is contiguous in the output and contiguous or constant in the operands.
pub(super) fn has_vector_rows<const K: usize>(nest: &LoopNest<K>) -> bool {
    let columns = nest.columns();
    columns.size == 1 || (columns.strides[0] == 1 && columns.strides[1..].iter().all(|&s| s <= 1))
}

pub(super) fn binary(
    level: Level,
    op: Binary,
    g: &BinaryGeometry,
    a: &[f32],
    b: &[f32],
    out: &mut [f32],
) {
    let write = |out: &mut [f32], origin: usize, positions: Range<usize>| {
        g.nest.for_each_tile(positions, |tile| {
            let operands = (a, b, &mut out[tile.offsets[0] - origin..]);
            dispatch!(level, s => choose(s, op, &g.nest, tile, operands));
        });
    };
    let far = g.nest.is_dense(0) && g.len() >= FAR;
    g.nest.for_each_part(out, 1, |out, origin, positions| {
        if far {
            // Positions are offsets.
            far::fill(level, out, &mut |at, out| {
                let at = origin + at;
                let &[Loop { strides, .. }] = g.nest.loops() else {
                    return write(out, at, at..at + out.len());
                };
                let tile = Tile {
                    offsets: strides.map(|stride| at * stride),
                    rows: 1,
                    columns: out.len(),
                };
                dispatch!(level, s => choose(s, op, &g.nest, tile, (a, b, out)));
            });
        } else {
            write(out, origin, positions);
        }
    });
}

/// `a`, `b` and the output from the tile's first element on.
type Operands<'a> = (&'a [f32], &'a [f32], &'a mut [f32]);

#[inline(always)]
fn choose<S: Simd>(s: S, op: Binary, nest: &LoopNest<3>, tile: Tile<3>, operands: Operands<'_>) {
    macro_rules! rows {
        (|$a:ident, $b:ident| $value:expr) => {
            rows(
                s,
                nest,
                tile,
                operands,
                #[inline(always)]
                |$a, $b| $value,
            )
        };
    }
    match op {
        Binary::Add => rows!(|a, b| s.add(a, b)),
        Binary::Sub => rows!(|a, b| s.sub(a, b)),
        Binary::Mul => rows!(|a, b| s.mul(a, b)),
        Binary::Div => rows!(|a, b| s.div(a, b)),
        Binary::Max => rows!(|a, b| maximum(s, a, b)),
        Binary::Min => rows!(|a, b| minimum(s, a, b)),
        Binary::AddRelu => rows!(|a, b| s.max(s.splat(0.0), s.add(a, b))),
    }
}

#[inline(always)]
fn rows<S: Simd>(
    s: S,
    nest: &LoopNest<3>,
    tile: Tile<3>,
    (a, b, out): Operands<'_>,
    f: impl Fn(S::F32, S::F32) -> S::F32,
) {
    let [_, a_repeats, b_repeats] = nest.columns().strides.map(|stride| stride == 0);
    let [out_step, a_step, b_step] = nest.rows().strides;
    let n = tile.columns;
    for r in 0..tile.rows {
        let out = &mut out[r * out_step..][..n];
        let a = &a[tile.offsets[1] + r * a_step..];
        let b = &b[tile.offsets[2] + r * b_step..];
        match (a_repeats, b_repeats) {
            (false, false) => map(
                s,
                [&a[..n], &b[..n]],
                out,
                #[inline(always)]
                |[a, b]| f(a, b),
            ),
            (false, true) => {
                let b = s.splat(b[0]);
                map(
                    s,
                    [&a[..n]],
                    out,
                    #[inline(always)]
                    |[a]| f(a, b),
                );
            }
            (true, false) => {
                let a = s.splat(a[0]);
                map(
                    s,
                    [&b[..n]],
                    out,
                    #[inline(always)]
                    |[b]| f(a, b),
                );
            }
            (true, true) => {
                let value = f(s.splat(a[0]), s.splat(b[0]));
                map(
                    s,
                    [],
                    out,
                    #[inline(always)]
                    |[]| value,
                );
            }
        }
    }
}

pub(super) fn accumulate(
    level: Level,
    nest: &LoopNest<2>,
    scale: f32,
    src: &[f32],
    dst: &mut [f32],
) {
    nest.for_each_part(dst, 1, |dst, origin, positions| {
        nest.for_each_tile(positions, |tile| {
            let dst = &mut dst[tile.offsets[0] - origin..];
            dispatch!(level, s => add_rows(s, nest, tile, scale, src, dst));
        });
    });
}

#[inline(always)]
fn add_rows<S: Simd>(
    s: S,
    nest: &LoopNest<2>,
    tile: Tile<2>,
    scale: f32,
    src: &[f32],
    dst: &mut [f32],
) {
    let repeats = nest.columns().strides[1] == 0;
    let [dst_step, src_step] = nest.rows().strides;
    let n = tile.columns;
    let factor = s.splat(scale);
    for r in 0..tile.rows {
        let dst = &mut dst[r * dst_step..][..n];
        let src = &src[tile.offsets[1] + r * src_step..];
        if repeats {
            let term = s.splat(scale * src[0]);
            update(
                s,
                None,
                [],
                dst,
                #[inline(always)]
                |d, []| s.add(d, term),
            );
        } else {
            update(
                s,
                None,
                [&src[..n]],
                dst,
                #[inline(always)]
                |d, [x]| s.mul_add(factor, x, d),
            );
        }
    }
}
