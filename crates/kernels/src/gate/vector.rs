//! The same for `f32` on vectors along rows. For one loop, a logit is `r[i] a[j] + b[j]`: a product has `b = 0`, a sum `a = 1`.

use super::{Gate, Joint, Operands};
use crate::disjoint::DisjointMut;
use crate::lanes::{fold, map, update};
use crate::parallel::{Cut, for_each, for_each_chunk};
use std::ops::Range;
use striate_simd::math::sigmoid;
use striate_simd::{Level, Simd, dispatch};

/// Cost of an element, in units of [`Cut::new`].
const COST: usize = 4;

/// Some rows of a matrix.
struct Task<'a> {
    x: &'a [f32],
    rows: &'a [f32],
    /// Factor and summand of each column.
    columns: [&'a [f32]; 2],
}

/// How the work is cut, whatever the number of threads.
struct Plan {
    cut: Cut,
    /// Factors or summands that do nothing.
    neutral: Vec<f32>,
}

impl Plan {
    fn new(g: &Gate) -> Self {
        let neutral = match g.joint {
            Joint::Product => 0.0,
            Joint::Sum => 1.0,
        };
        Self {
            cut: Cut::new(g.rows, COST * g.columns),
            neutral: vec![neutral; g.columns],
        }
    }

    /// The matrix of a task and its rows, of all.
    fn place(&self, g: &Gate, task: usize) -> (usize, Range<usize>) {
        let (matrix, task) = (task / self.cut.tasks(), task % self.cut.tasks());
        let rows = self.cut.range(task);
        (
            matrix,
            matrix * g.rows + rows.start..matrix * g.rows + rows.end,
        )
    }

    fn task<'a>(&'a self, g: &Gate, x: &Operands<'a, f32>, task: usize) -> Task<'a> {
        let (matrix, rows) = self.place(g, task);
        let columns = &x.columns[matrix * g.columns..][..g.columns];
        Task {
            x: &x.x[rows.start * g.columns..rows.end * g.columns],
            rows: &x.rows[rows],
            columns: match g.joint {
                Joint::Product => [columns, &self.neutral],
                Joint::Sum => [&self.neutral, columns],
            },
        }
    }
}

pub(super) fn forward(level: Level, g: &Gate, x: &Operands<'_, f32>, y: &mut [f32]) {
    if y.is_empty() {
        return;
    }
    let plan = Plan::new(g);
    let y = DisjointMut::new(y);
    for_each(g.batch * plan.cut.tasks(), |task| {
        let (_, rows) = plan.place(g, task);
        let mut y = y.range(rows.start * g.columns..rows.end * g.columns);
        let task = plan.task(g, x, task);
        dispatch!(level, s => apply(s, &task, &mut y));
    });
}

#[inline(always)]
fn apply<S: Simd>(s: S, task: &Task<'_>, y: &mut [f32]) {
    let [a, b] = task.columns;
    let rows = task
        .x
        .chunks_exact(a.len())
        .zip(y.chunks_exact_mut(a.len()));
    for ((x, y), &r) in rows.zip(task.rows) {
        let r = s.splat(r);
        map(
            s,
            [x, a, b],
            y,
            #[inline(always)]
            |[x, a, b]| s.mul_add(x, sigmoid(s, s.mul_add(r, a, b)), x),
        );
    }
}

pub(super) fn backward(
    level: Level,
    g: &Gate,
    x: &Operands<'_, f32>,
    dy: &[f32],
    [dx, drows, dcolumns]: [&mut [f32]; 3],
) {
    if dx.is_empty() {
        drows.fill(0.0);
        dcolumns.fill(0.0);
        return;
    }
    let (n, plan) = (g.columns, Plan::new(g));
    let tasks = plan.cut.tasks();
    let [dx, drows] = [dx, drows].map(DisjointMut::new);
    // The sums of each task, and room for the gates of a row and what becomes of them.
    let mut parts = vec![0.0; g.batch * tasks * 2 * n];
    for_each_chunk(&mut parts, 2 * n, |index, part| {
        let (_, rows) = plan.place(g, index);
        let all = rows.start * n..rows.end * n;
        let task = plan.task(g, x, index);
        let (mut dx, mut drows) = (dx.range(all.clone()), drows.range(rows));
        let (sums, slopes) = part.split_at_mut(n);
        let outputs = [&mut dx[..], &mut drows, sums, slopes];
        dispatch!(level, s => differentiate(s, g.joint, &task, &dy[all], outputs));
    });
    let matrices = parts.chunks(tasks * 2 * n).zip(dcolumns.chunks_mut(n));
    for (parts, dcolumns) in matrices {
        for (j, sum) in dcolumns.iter_mut().enumerate() {
            let parts = parts.iter().skip(j).step_by(2 * n);
            *sum = parts.map(|&part| f64::from(part)).sum::<f64>() as f32;
        }
    }
}

#[inline(always)]
fn differentiate<S: Simd>(
    s: S,
    joint: Joint,
    task: &Task<'_>,
    dy: &[f32],
    [dx, drows, sums, slopes]: [&mut [f32]; 4],
) {
    let [a, b] = task.columns;
    let n = a.len();
    let inputs = task.x.chunks_exact(n).zip(dy.chunks_exact(n));
    let outputs = dx.chunks_exact_mut(n).zip(drows);
    for (((x, dy), &r), (dx, drow)) in inputs.zip(task.rows).zip(outputs) {
        let row = s.splat(r);
        map(
            s,
            [a, b],
            slopes,
            #[inline(always)]
            |[a, b]| sigmoid(s, s.mul_add(row, a, b)),
        );
        map(
            s,
            [dy, slopes],
            dx,
            #[inline(always)]
            |[dy, gate]| s.mul_add(dy, gate, dy),
        );
        update(
            s,
            None,
            [x, dy],
            slopes,
            // g (1 - g)
            #[inline(always)]
            |gate, [x, dy]| s.mul(s.mul(dy, x), s.neg_mul_add(gate, gate, gate)),
        );
        let total = fold(
            s,
            [slopes, a],
            0.0,
            #[inline(always)]
            |sum, [slope, a]| s.mul_add(slope, a, sum),
            #[inline(always)]
            |a, b| s.add(a, b),
        );
        *drow = s.sum(total);
        let factor = match joint {
            Joint::Product => row,
            Joint::Sum => s.splat(1.0),
        };
        update(
            s,
            None,
            [slopes],
            sums,
            #[inline(always)]
            |sum, [slope]| s.mul_add(slope, factor, sum),
        );
    }
}
