//! Resampling of `f32` data whose channels are contiguous.
//!
//! A line that is written comes from a line that is the sum of those that are read: first along the rows, where all
//! elements of a line have the same weights, into a buffer of one block of channels; then along the columns, where all
//! channels of a pixel have the same.

use super::plan::Plan;
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::lanes::weighted;
use crate::parallel::{Cut, try_for_each};
use striate_simd::{Buffer, Level, Simd, dispatch};

/// Channels that go through both sums at a time: lines of some fifty pixels of them stay in the first-level cache.
const BLOCK: usize = 64;

/// The weighted sums of the plan, of images that are read and written with contiguous channels.
pub(super) fn sum(level: Level, plan: &Plan, x: &[f32], y: &mut [f32]) -> Result<(), KernelError> {
    let ([_, c, h, w], [rows, columns]) = (plan.written, plan.read);
    if y.is_empty() {
        return Ok(());
    }
    let cost = columns * c * plan.rows.density() + w * c * plan.columns.density();
    let cut = Cut::new(y.len() / (w * c), cost / 2);
    let (image, line_len) = (rows * columns * c, w * c);
    let y = DisjointMut::new(y);
    try_for_each(cut.tasks(), |task| {
        let lines = cut.range(task);
        let mut line = Buffer::<f32>::recycled(columns * c.min(BLOCK))?;
        let mut y = y.range(lines.start * line_len..lines.end * line_len);
        for (at, y) in lines.zip(y.chunks_exact_mut(line_len)) {
            let x = &x[at / h * image..][..image];
            dispatch!(level, s => write_line(s, plan, at % h, x, &mut line, y));
        }
        Ok(())
    })
}

/// Writes row `row` of an image.
#[inline(always)]
fn write_line<S: Simd>(s: S, plan: &Plan, row: usize, x: &[f32], line: &mut [f32], y: &mut [f32]) {
    let (c, columns) = (plan.written[1], plan.read[1]);
    let rows = plan.rows.of(row);
    if let &[(row, 1.0)] = rows {
        // The line that is read is the sum.
        for at in (0..c).step_by(BLOCK) {
            let len = BLOCK.min(c - at);
            sum_columns(s, plan, (&x[row * columns * c + at..], c), at, len, y);
        }
        return;
    }
    for at in (0..c).step_by(BLOCK) {
        let len = BLOCK.min(c - at);
        // All channels of a line at once, if the block has them all.
        let run = if len == c { columns.max(1) * c } else { len };
        for (i, line) in line[..columns * len].chunks_exact_mut(run).enumerate() {
            let start = i * c + at;
            weighted(s, rows, |row| &x[row * columns * c + start..], line);
        }
        sum_columns(s, plan, (line, len), at, len, y);
    }
}

/// Writes the channels `at..at + len` of all pixels of a line from those of a `line` whose pixels lie `pitch` apart.
#[inline(always)]
fn sum_columns<S: Simd>(
    s: S,
    plan: &Plan,
    (line, pitch): (&[f32], usize),
    at: usize,
    len: usize,
    y: &mut [f32],
) {
    let c = plan.written[1];
    for (column, y) in y.chunks_exact_mut(c).enumerate() {
        let columns = plan.columns.of(column);
        weighted(
            s,
            columns,
            |column| &line[column * pitch..],
            &mut y[at..at + len],
        );
    }
}
