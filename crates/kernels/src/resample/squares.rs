//! Resampling where every pixel that is written lies between four that are read, as bilinear interpolation has it: those of a line
//! that lie between the same four are computed together, from one reading of them.

use super::plan::Plan;
use crate::array::array;
use crate::axis::Axis;
use crate::disjoint::DisjointMut;
use crate::parallel::{Cut, for_each};
use striate_simd::{Level, Simd, dispatch};

/// What each row and each column lies between.
#[derive(Clone, Debug)]
pub(super) struct Squares {
    rows: Vec<Between>,
    columns: Vec<Between>,
}

/// The two positions of an axis that one is made of, with their weights.
#[derive(Clone, Copy, Debug)]
struct Between {
    read: [usize; 2],
    weights: [f32; 2],
}

impl Squares {
    /// Those of a plan, unless a position needs more than two others, or none needs as many.
    pub(super) fn of(plan: &Plan) -> Option<Self> {
        let [_, _, h, w] = plan.written;
        let (rows, columns) = (between(&plan.rows, h)?, between(&plan.columns, w)?);
        let apart = |b: &Between| b.read[0] != b.read[1];
        let suits = rows.iter().chain(&columns).any(apart);
        suits.then_some(Self { rows, columns })
    }
}

fn between(axis: &Axis<f64>, positions: usize) -> Option<Vec<Between>> {
    let of = |position| {
        let (read, weights) = match *axis.of(position) {
            // A pixel is two halves of itself.
            [(at, weight)] => ([at; 2], [weight / 2.0; 2]),
            [(low, weight), (high, other)] => ([low, high], [weight, other]),
            _ => return None,
        };
        let weights = weights.map(|weight| weight as f32);
        Some(Between { read, weights })
    };
    (0..positions).map(of).collect()
}

/// The weighted sums of the plan, of images of at least as many channels as the level has lanes.
pub(super) fn sum(level: Level, plan: &Plan, squares: &Squares, x: &[f32], y: &mut [f32]) {
    let ([_, c, h, w], [rows, columns]) = (plan.written, plan.read);
    let (line_len, read_len) = (w * c, columns * c);
    let cut = Cut::new(y.len() / line_len, 2 * line_len);
    let y = DisjointMut::new(y);
    for_each(cut.tasks(), |task| {
        let lines = cut.range(task);
        let mut y = y.range(lines.start * line_len..lines.end * line_len);
        for (line, y) in lines.zip(y.chunks_exact_mut(line_len)) {
            let x = &x[line / h * rows * read_len..][..rows * read_len];
            let row = &squares.rows[line % h];
            let x = row.read.map(|row| &x[row * read_len..][..read_len]);
            dispatch!(level, s => write_line(s, c, &squares.columns, x, row.weights, y));
        }
    });
}

/// Writes a line that lies between two.
#[inline(always)]
fn write_line<S: Simd>(
    s: S,
    c: usize,
    columns: &[Between],
    lines: [&[f32]; 2],
    [upper, lower]: [f32; 2],
    mut rest: &mut [f32],
) {
    let (upper, lower) = (s.splat(upper), s.splat(lower));
    let runs = columns.chunk_by(
        #[inline(always)]
        |a, b| a.read == b.read,
    );
    for run in runs {
        let (y, behind) = rest.split_at_mut(run.len() * c);
        rest = behind;
        let pixels: [&[f32]; 4] = array(
            #[inline(always)]
            |i| &lines[i / 2][run[0].read[i % 2] * c..][..c],
        );
        let mut at = 0;
        loop {
            let [a, b, below_a, below_b] = array(
                #[inline(always)]
                |i| s.load(&pixels[i][at..]),
            );
            let left = s.mul_add(below_a, lower, s.mul(a, upper));
            let right = s.mul_add(below_b, lower, s.mul(b, upper));
            for (column, y) in run.iter().zip(y.chunks_exact_mut(c)) {
                let [near, far] = column.weights;
                let value = s.mul(left, s.splat(near));
                s.store(s.mul_add(right, s.splat(far), value), &mut y[at..]);
            }
            at += S::LANES;
            if at >= c {
                break;
            }
            // The last vector overlaps the one before.
            at = at.min(c - S::LANES);
        }
    }
}
