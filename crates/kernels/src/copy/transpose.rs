//! Transposition of matrices, the two innermost loops of a nest.
//!
//! The rows of a written matrix are the columns of the one that is read. A square small enough that its lines of cache on
//! both sides stay in the first level is finished before the next, so that each line is fetched once.

use crate::disjoint::DisjointMut;
use crate::nest::LoopNest;
use crate::parallel::for_each;

/// Rows and columns of a square: as many elements as share a line of cache, mostly.
const SIDE: usize = 16;
/// Rows and columns that a task writes.
const TASK: [usize; 2] = [128, 256];

/// Whether the two innermost loops are a transposition into dense memory.
pub(super) fn applies(nest: &LoopNest<2>) -> bool {
    nest.is_dense(0) && nest.loops().len() >= 2 && nest.rows().strides[1] == 1
}

pub(super) fn run<T: Copy + Send + Sync>(nest: &LoopNest<2>, src: &[T], dst: &mut [T]) {
    let (rows, columns) = (nest.rows().size, nest.columns().size);
    let step = nest.columns().strides[1];
    let tasks = [rows.div_ceil(TASK[0]), columns.div_ceil(TASK[1])];
    let per_matrix = tasks[0] * tasks[1];
    let dst = DisjointMut::rows(&mut dst[..nest.len()], columns);
    for_each(nest.len() / (rows * columns) * per_matrix, |task| {
        let (matrix, at) = (task / per_matrix, task % per_matrix);
        let first_row = at / tasks[1] * TASK[0];
        let first_column = at % tasks[1] * TASK[1];
        let height = TASK[0].min(rows - first_row);
        let width = TASK[1].min(columns - first_column);
        let start = matrix * rows + first_row;
        let mut tile = dst.tile(start..start + height, first_column..first_column + width);
        let src = &src[nest.offsets(matrix * rows * columns)[1] + first_row..];
        for r0 in (0..height).step_by(SIDE) {
            for c0 in (0..width).step_by(SIDE) {
                let src = &src[(first_column + c0) * step + r0..];
                let (rows, columns) = ((height - r0).min(SIDE), (width - c0).min(SIDE));
                if [rows, columns] == [SIDE, SIDE] {
                    let square = square(src, step);
                    for (r, row) in square.iter().enumerate() {
                        tile.row(r0 + r)[c0..c0 + SIDE].copy_from_slice(row);
                    }
                } else {
                    for r in 0..rows {
                        let to = &mut tile.row(r0 + r)[c0..c0 + columns];
                        for (c, to) in to.iter_mut().enumerate() {
                            *to = src[c * step + r];
                        }
                    }
                }
            }
        }
    });
}

/// A whole square, its rows being the columns that are read.
#[inline(always)]
fn square<T: Copy>(src: &[T], step: usize) -> [[T; SIDE]; SIDE] {
    let mut read = [[src[0]; SIDE]; SIDE];
    for (c, column) in read.iter_mut().enumerate() {
        column.copy_from_slice(&src[c * step..][..SIDE]);
    }
    let mut written = [[src[0]; SIDE]; SIDE];
    for (c, column) in read.iter().enumerate() {
        for (r, row) in written.iter_mut().enumerate() {
            row[c] = column[r];
        }
    }
    written
}
