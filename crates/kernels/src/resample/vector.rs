//! Resampling of `f32` data whose channels are contiguous.
//!
//! A line that is written comes from a line that is the sum of those that are read: first along the rows, where all elements of a
//! line have the same weights, then along the columns, where all channels of a pixel have the same. The first sum runs just ahead
//! of the second, which so finds it in the first-level cache. Where it suits, [`squares`] and [`Elements`] are faster.

use super::elements::Elements;
use super::plan::Plan;
use super::squares::{self, Squares};
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::lanes::weighted;
use crate::parallel::{Cut, try_for_each};
use striate_simd::{Buffer, Level, Simd, dispatch};

/// The fewest elements that are summed along the rows at a time, where a pixel has fewer.
const AHEAD: usize = 512;

/// The weighted sums of the plan, of images that are read and written with contiguous channels.
pub(super) fn sum(level: Level, plan: &Plan, x: &[f32], y: &mut [f32]) -> Result<(), KernelError> {
    let ([_, c, h, w], [rows, columns]) = (plan.written, plan.read);
    if y.is_empty() {
        return Ok(());
    }
    let few = c < level.lanes();
    if !few && let Some(squares) = Squares::of(plan) {
        squares::sum(level, plan, &squares, x, y);
        return Ok(());
    }
    let elements = few.then(|| Elements::of(plan, level.lanes())).flatten();
    let cost = columns * c * plan.rows.density() + w * c * plan.columns.density();
    let cut = Cut::new(y.len() / (w * c), cost / 2);
    let (image, line_len) = (rows * columns * c, w * c);
    let y = DisjointMut::new(y);
    try_for_each(cut.tasks(), |task| {
        let lines = cut.range(task);
        let mut line = Buffer::<f32>::recycled(columns * c + level.lanes())?;
        let mut y = y.range(lines.start * line_len..lines.end * line_len);
        for (at, y) in lines.zip(y.chunks_exact_mut(line_len)) {
            let x = &x[at / h * image..][..image];
            dispatch!(level, s => match &elements {
                Some(elements) => {
                    sum_lines(s, plan, at % h, x, &mut line[..columns * c]);
                    elements.write(s, &line, y);
                }
                None => write_line(s, plan, plan.rows.of(at % h), x, &mut line, y),
            });
        }
        Ok(())
    })
}

/// Sums what row `row` of an image is made of.
#[inline(always)]
fn sum_lines<S: Simd>(s: S, plan: &Plan, row: usize, x: &[f32], line: &mut [f32]) {
    let len = line.len();
    weighted(
        s,
        plan.rows.of(row),
        #[inline(always)]
        |row| &x[row * len..][..len],
        line,
    );
}

/// Writes a line from `rows` of `x`, by way of `line`.
#[inline(always)]
pub(crate) fn write_line<S: Simd>(
    s: S,
    plan: &Plan,
    rows: &[(usize, f64)],
    x: &[f32],
    line: &mut [f32],
    y: &mut [f32],
) {
    let c = plan.written[1];
    let line_len = plan.read[1] * c;
    if let &[(row, 1.0)] = rows {
        // The line that is read is the sum.
        let x = &x[row * line_len..][..line_len];
        for (column, y) in y.chunks_exact_mut(c).enumerate() {
            sum_columns(s, plan.columns.of(column), x, y);
        }
        return;
    }
    let mut summed = 0;
    for (column, y) in y.chunks_exact_mut(c).enumerate() {
        let columns = plan.columns.of(column);
        // The last is the rightmost.
        let needed = columns.last().map_or(
            0,
            #[inline(always)]
            |last| (last.0 + 1) * c,
        );
        if summed < needed {
            let part = summed..needed.max(summed + AHEAD).min(line_len);
            summed = part.end;
            weighted(
                s,
                rows,
                #[inline(always)]
                |row| &x[row * line_len..][part.clone()],
                &mut line[part.clone()],
            );
        }
        sum_columns(s, columns, line, y);
    }
}

/// Writes the channels of a pixel.
#[inline(always)]
fn sum_columns<S: Simd>(s: S, columns: &[(usize, f64)], line: &[f32], y: &mut [f32]) {
    let c = y.len();
    weighted(
        s,
        columns,
        #[inline(always)]
        |column| &line[column * c..][..c],
        y,
    );
}
