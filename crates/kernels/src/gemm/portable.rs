//! The product of the portable level: the `matrixmultiply` crate.
#![expect(unsafe_code, reason = "the crate takes pointers and strides")]

use super::Write;
use super::matrix::{Matrix, MatrixMut};
use crate::disjoint::DisjointMut;
use crate::parallel::{self, Cut};

/// Multiply-adds that are worth a task.
const TASK: usize = 1 << 22;

/// Computes `c = a * b` or `c += a * b`; the shapes fit together.
pub(super) fn multiply(a: Matrix<'_>, b: Matrix<'_>, write: Write, c: MatrixMut<'_>) {
    let (rows, cols, k_len) = (a.rows, b.cols, a.cols);
    // The longer side is cut, so that the other operand is packed as seldom as possible.
    let (long, short) = (rows.max(cols), rows.min(cols));
    let per_task = (TASK / (short * k_len).max(1)).max(64);
    let cut = Cut::every(long, per_task);
    let c = DisjointMut::rows(c.data, c.row_stride);
    parallel::for_each(cut.tasks(), |task| {
        let part = cut.range(task);
        let (row_part, col_part) = if rows >= cols {
            (part, 0..cols)
        } else {
            (0..rows, part)
        };
        let (from_a, from_b) = (a.from(row_part.start, 0), b.from(0, col_part.start));
        let mut tile = c.tile(row_part.clone(), col_part.clone());
        let stride = tile.row_stride() as isize;
        // SAFETY: `Matrix` and `MatrixMut` keep every element of their shapes inside their slices,
        // `a` and `b` have the `k_len` between them, and the tile of `c` is borrowed for this task.
        unsafe {
            matrixmultiply::sgemm(
                row_part.len(),
                k_len,
                col_part.len(),
                1.0,
                from_a.as_ptr(),
                a.row_stride as isize,
                a.col_stride as isize,
                from_b.as_ptr(),
                b.row_stride as isize,
                b.col_stride as isize,
                if write == Write::Add { 1.0 } else { 0.0 },
                tile.as_mut_ptr(),
                stride,
                1,
            );
        }
    });
}
