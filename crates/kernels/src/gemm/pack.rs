//! Operands in the order the inner loop reads them.

use super::matrix::Matrix;
use super::panels::Panels;
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::parallel;
use striate_simd::Buffer;

/// Elements that are packed as one task.
const TASK: usize = 1 << 15;

/// Side of the squares a transposing copy works in: sixteen lines of cache on either side.
const SQUARE: usize = 16;

/// `b` as dense panels, `[panel][k][vectors * LANES]`, with zeros beyond the last column.
pub(crate) fn pack_b(b: Matrix<'_>, panels: &Panels) -> Result<Buffer<f32>, KernelError> {
    let mut packed = Buffer::recycled(panels.padded_columns() * b.rows)?;
    let pieces = DisjointMut::new(&mut packed);
    let per_task = (TASK / panels.padded_columns().div_ceil(panels.count()).max(1)).max(1);
    let row_blocks = b.rows.div_ceil(per_task);
    parallel::for_each(panels.count() * row_blocks, |task| {
        let panel = panels.panel(task / row_blocks);
        let range = panels.packed_range(&panel, b.rows);
        let width = range.len() / b.rows;
        let first = task % row_blocks * per_task;
        let last = (first + per_task).min(b.rows);
        let mut rows = pieces.range(range.start + first * width..range.start + last * width);
        let columns = panel.columns.len();
        let source = Matrix {
            data: b.from(first, panel.columns.start),
            rows: last - first,
            cols: columns,
            ..b
        };
        copy(source, &mut rows, width);
        for row in rows.chunks_exact_mut(width) {
            row[columns..].fill(0.0);
        }
    });
    drop(pieces);
    Ok(packed)
}

/// `a` with contiguous rows.
pub(super) fn pack_a(a: Matrix<'_>) -> Result<Buffer<f32>, KernelError> {
    let mut packed = Buffer::recycled(a.rows * a.cols)?;
    let rows_per_task = (TASK / a.cols.max(1)).next_multiple_of(SQUARE);
    parallel::for_each_chunk(&mut packed, rows_per_task * a.cols, |task, chunk| {
        let first = task * rows_per_task;
        let rows = chunk.len() / a.cols;
        copy(
            Matrix {
                data: &a.data[first * a.row_stride..],
                rows,
                ..a
            },
            chunk,
            a.cols,
        );
    });
    Ok(packed)
}

/// Copies `source` to contiguous rows, `stride` apart.
fn copy(source: Matrix<'_>, target: &mut [f32], stride: usize) {
    if source.cols == 0 {
        return;
    }
    if source.col_stride == 1 {
        for (i, row) in target.chunks_mut(stride).take(source.rows).enumerate() {
            row[..source.cols]
                .copy_from_slice(&source.data[i * source.row_stride..][..source.cols]);
        }
        return;
    }
    for i0 in (0..source.rows).step_by(SQUARE) {
        for j0 in (0..source.cols).step_by(SQUARE) {
            for j in j0..(j0 + SQUARE).min(source.cols) {
                for i in i0..(i0 + SQUARE).min(source.rows) {
                    target[i * stride + j] = source.at(i, j);
                }
            }
        }
    }
}
