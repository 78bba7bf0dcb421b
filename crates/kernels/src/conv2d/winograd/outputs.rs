//! The last step of tiles of six by six points: from rows that are transformed back to outputs.

use super::transform::{SixPoints, Transform};
use crate::array::array;
use crate::disjoint::TileMut;
use crate::far;
use crate::gemm::store::{Steps, Store};
use striate_simd::Simd;

/// Points of a tile along either axis.
pub(super) const SIDE: usize = 6;

/// Where the outputs of a tile, or of neighbours, are stored.
#[derive(Debug)]
pub(super) struct Corner {
    /// The first of them among the rows of a tile of the output.
    pub(super) first: usize,
    /// Rows from one to that below, and to that beside it.
    pub(super) steps: [usize; 2],
    /// How many there are, down and across.
    pub(super) count: [usize; 2],
}

/// Asks for the places where the outputs of a tile will be stored, if it has `M` lines of them.
#[inline(never)]
pub(super) fn ask<S: Simd, const M: usize>(s: S, corner: &Corner, out: &mut TileMut<'_, f32>) {
    if corner.count[0] < M {
        return;
    }
    s.vectorize(
        #[inline(always)]
        || {
            for x in 0..corner.count[1] {
                far::ask::<S, M>(s, out, corner.first + x * corner.steps[1], corner.steps[0]);
            }
        },
    );
}

/// Stores outputs: columns of up to `M` from the `SIDE` vectors of each in `columns`, which may be overwritten.
pub(super) fn outputs<S: Simd, const R: usize, const M: usize>(
    s: S,
    columns: &mut [f32],
    corner: &Corner,
    store: &Store<'_>,
    out: &mut TileMut<'_, f32>,
) where
    SixPoints: Transform<R, M, SIDE>,
{
    // A function for what is seldom, so that none of it stands in the loops of the others.
    match corner.count[0] {
        _ if !store.suits_steps(out, S::LANES) => {
            some_outputs::<S, R, M>(s, columns, corner, store, out);
        }
        1 => columns_of::<S, R, M, 1>(s, columns, corner, store, out),
        2 => columns_of::<S, R, M, 2>(s, columns, corner, store, out),
        3 => columns_of::<S, R, M, 3>(s, columns, corner, store, out),
        count if count == M => columns_of::<S, R, M, M>(s, columns, corner, store, out),
        _ => some_outputs::<S, R, M>(s, columns, corner, store, out),
    }
}

/// Stores columns of `N` outputs.
#[inline(never)]
fn columns_of<S: Simd, const R: usize, const M: usize, const N: usize>(
    s: S,
    columns: &[f32],
    corner: &Corner,
    store: &Store<'_>,
    out: &mut TileMut<'_, f32>,
) where
    SixPoints: Transform<R, M, SIDE>,
{
    s.vectorize(
        #[inline(always)]
        || {
            let (steps, [below, beside]) = (Steps::<S, 1>::new(s, store), corner.steps);
            let columns = columns.chunks_exact(SIDE * S::LANES);
            for (x, points) in columns.take(corner.count[1]).enumerate() {
                let sums = column::<S, R, M>(s, points);
                out.each_row_apart::<N>(
                    corner.first + x * beside,
                    below,
                    #[inline(always)]
                    |y, row| steps.run(s, &[sums[y]], row),
                );
            }
        },
    );
}

/// The outputs of a column.
#[inline(always)]
fn column<S: Simd, const R: usize, const M: usize>(s: S, points: &[f32]) -> [S::F32; M]
where
    SixPoints: Transform<R, M, SIDE>,
{
    SixPoints::output(
        s,
        array(
            #[inline(always)]
            |i| s.load(&points[i * S::LANES..]),
        ),
    )
}

/// Stores those outputs that exist, with any steps.
#[inline(never)]
fn some_outputs<S: Simd, const R: usize, const M: usize>(
    s: S,
    columns: &mut [f32],
    corner: &Corner,
    store: &Store<'_>,
    out: &mut TileMut<'_, f32>,
) where
    SixPoints: Transform<R, M, SIDE>,
{
    s.vectorize(
        #[inline(always)]
        || {
            let ([down, across], [below, beside]) = (corner.count, corner.steps);
            let down = down.min(M);
            for points in columns.chunks_exact_mut(SIDE * S::LANES).take(across) {
                let sums = column::<S, R, M>(s, points);
                for y in 0..M {
                    s.store(sums[y], &mut points[y * S::LANES..]);
                }
            }
            for (x, sums) in columns
                .chunks_exact(SIDE * S::LANES)
                .take(across)
                .enumerate()
            {
                let sums: [S::F32; M] = array(
                    #[inline(always)]
                    |y| s.load(&sums[y * S::LANES..]),
                );
                let rows: [usize; M] = array(
                    #[inline(always)]
                    |y| corner.first + x * beside + y * below,
                );
                store.run_any(s, &sums[..down], out, &rows[..down]);
            }
        },
    );
}
