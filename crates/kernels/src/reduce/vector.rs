//! Reductions of `f32` on vectors.
//!
//! Two shapes of the loops have a vector form:
//!
//! - *rows*: the innermost reduced loop is contiguous, and each output folds runs of it;
//! - *columns*: the innermost kept loop is contiguous, and a vector holds several outputs while the reduced loops step
//!   over memory.
//!
//! Long reductions are cut into segments of fixed length. A segment is summed in `f32` and the segments in `f64`, in their
//! order, so that neither the error nor the bits depend on how many threads share the work.

use super::ReduceGeometry;
use super::extreme::equal;
use crate::disjoint::DisjointMut;
use crate::lanes::fold;
use crate::nest::{Loop, Tile};
use crate::parallel::{Cut, for_each};
use crate::real::Real;
use std::ops::Range;
use striate_simd::{Level, Simd, dispatch};

/// What is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    /// `sum(a)`
    Sum,
    /// `sum(a * b)`
    Product,
    /// `sum((a - b)^2)`
    Deviation,
    /// The number of `a` that equal `b`
    Ties,
    /// `max(a)`
    Max,
    /// `min(a)`
    Min,
}

/// Steps of a segment where a vector holds several outputs.
const COLUMN_STEPS: usize = 512;
/// Steps of a segment where each output folds runs.
const ROW_STEPS: usize = 1 << 15;
/// Vectors of outputs that are folded together.
const COLUMN_VECTORS: usize = 4;

impl Fold {
    /// What an output starts from.
    fn neutral(self) -> f32 {
        match self {
            Self::Sum | Self::Product | Self::Deviation | Self::Ties => 0.0,
            Self::Max => f32::NEG_INFINITY,
            Self::Min => f32::INFINITY,
        }
    }

    /// Whether the second operand matters.
    #[inline(always)]
    fn takes_two(self) -> bool {
        matches!(self, Self::Product | Self::Deviation | Self::Ties)
    }

    fn join_f64(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Sum | Self::Product | Self::Deviation | Self::Ties => a + b,
            Self::Max => Real::maximum(a, b),
            Self::Min => Real::minimum(a, b),
        }
    }

    #[inline(always)]
    fn join<S: Simd>(self, s: S, a: S::F32, b: S::F32) -> S::F32 {
        match self {
            Self::Sum | Self::Product | Self::Deviation | Self::Ties => s.add(a, b),
            // NaN stays as the second operand of `max`, and as the first by selection.
            Self::Max => s.select(s.eq(a, a), s.max(a, b), a),
            Self::Min => s.select(s.eq(a, a), s.min(a, b), a),
        }
    }

    #[inline(always)]
    fn step<S: Simd>(self, s: S, acc: S::F32, a: S::F32, b: S::F32) -> S::F32 {
        match self {
            Self::Sum => s.add(acc, a),
            Self::Product => s.mul_add(a, b, acc),
            Self::Deviation => {
                let d = s.sub(a, b);
                s.mul_add(d, d, acc)
            }
            Self::Ties => s.add(acc, s.select(equal(s, a, b), s.splat(1.0), s.splat(0.0))),
            Self::Max | Self::Min => self.join(s, a, acc),
        }
    }

    /// The fold of the lanes of a vector.
    #[inline(always)]
    fn across<S: Simd>(self, s: S, v: S::F32) -> f64 {
        if matches!(
            self,
            Self::Sum | Self::Product | Self::Deviation | Self::Ties
        ) {
            return f64::from(s.sum(v));
        }
        let mut lanes = [self.neutral(); 16];
        s.store_partial(v, &mut lanes[..S::LANES]);
        lanes.iter().fold(f64::from(self.neutral()), |m, &x| {
            self.join_f64(m, f64::from(x))
        })
    }
}

/// Which of the two forms the loops have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Rows,
    Columns,
}

fn form(g: &ReduceGeometry) -> Option<Form> {
    let vector = |l: Loop<2>| l.strides[0] == 1 && l.strides[1] <= 1;
    let kept = g.kept.columns();
    let columns = kept.strides[0] == 1 && kept.strides[1] == 1 && kept.strides[2] <= 1;
    match (vector(g.reduced.columns()), columns) {
        (true, true) if kept.size > g.reduced.columns().size => Some(Form::Columns),
        (true, _) => Some(Form::Rows),
        (false, true) => Some(Form::Columns),
        (false, false) => None,
    }
}

/// The folds of all outputs; none if the loops have no vector form.
pub(super) fn totals(
    level: Level,
    fold: Fold,
    g: &ReduceGeometry,
    (a, b): (&[f32], &[f32]),
) -> Option<Vec<f64>> {
    let form = form(g)?;
    let (outputs, steps) = (g.kept.len(), g.reduced.len());
    if outputs == 0 || steps == 0 {
        return Some(vec![f64::from(fold.neutral()); outputs]);
    }
    let segment = match form {
        Form::Rows => Cut::every(steps, ROW_STEPS),
        Form::Columns => Cut::every(steps, COLUMN_STEPS),
    };
    let segments = segment.tasks().max(1);
    let cost = segment.per_task().min(steps);
    // Whole vectors to each task.
    let part = Cut::every(
        outputs,
        Cut::new(outputs, cost).per_task().next_multiple_of(64),
    );
    let mut totals = vec![0.0; segments * outputs];
    let cells = DisjointMut::rows(&mut totals, outputs);
    for_each(segments * part.tasks(), |task| {
        let (row, kept) = (task / part.tasks(), part.range(task % part.tasks()));
        let mut tile = cells.tile(row..row + 1, kept.clone());
        let totals = tile.row(0);
        let steps = segment.range(row);
        partial(level, fold, form, g, (a, b), kept, steps, totals);
    });
    drop(cells);
    let (result, later) = totals.split_at_mut(outputs);
    for part in later.chunks_exact(outputs) {
        for (total, &part) in result.iter_mut().zip(part) {
            *total = fold.join_f64(*total, part);
        }
    }
    totals.truncate(outputs);
    Some(totals)
}

/// The folds of the outputs at the positions `kept` over the positions `steps`.
#[expect(clippy::too_many_arguments, reason = "the captures of a closure")]
fn partial(
    level: Level,
    fold: Fold,
    form: Form,
    g: &ReduceGeometry,
    (a, b): (&[f32], &[f32]),
    kept: Range<usize>,
    steps: Range<usize>,
    totals: &mut [f64],
) {
    let start = kept.start;
    let out_row = g.kept.rows().strides[0];
    g.kept.for_each_tile(kept, |tile: Tile<3>| {
        let [o, i, j] = tile.offsets;
        let operands = (&a[i..], &b[j..]);
        for r in 0..tile.rows {
            let totals = &mut totals[o + r * out_row - start..][..tile.columns];
            dispatch!(level, s => match fold {
                Fold::Sum => fold_row(s, Fold::Sum, form, g, operands, r, &steps, totals),
                Fold::Product => fold_row(s, Fold::Product, form, g, operands, r, &steps, totals),
                Fold::Deviation => fold_row(s, Fold::Deviation, form, g, operands, r, &steps, totals),
                Fold::Ties => fold_row(s, Fold::Ties, form, g, operands, r, &steps, totals),
                Fold::Max => fold_row(s, Fold::Max, form, g, operands, r, &steps, totals),
                Fold::Min => fold_row(s, Fold::Min, form, g, operands, r, &steps, totals),
            });
        }
    });
}

/// The folds of row `r` of a tile of outputs, whose operands start at `a` and `b`.
#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "the captures of a closure, which cannot be generic"
)]
fn fold_row<S: Simd>(
    s: S,
    fold: Fold,
    form: Form,
    g: &ReduceGeometry,
    (a, b): (&[f32], &[f32]),
    r: usize,
    steps: &Range<usize>,
    totals: &mut [f64],
) {
    let [_, a_row, b_row] = g.kept.rows().strides;
    let [_, a_column, b_column] = g.kept.columns().strides;
    let (a, b) = (&a[r * a_row..], &b[r * b_row..]);
    match form {
        Form::Columns => fold_columns(s, fold, g, (a, b), steps, totals),
        Form::Rows => {
            for (c, total) in totals.iter_mut().enumerate() {
                let (a, b) = (&a[c * a_column..], &b[c * b_column..]);
                *total = fold_rows(s, fold, g, (a, b), steps);
            }
        }
    }
}

/// The fold of one output, whose operands start at `a` and `b`.
#[inline(always)]
fn fold_rows<S: Simd>(
    s: S,
    op: Fold,
    g: &ReduceGeometry,
    (a, b): (&[f32], &[f32]),
    steps: &Range<usize>,
) -> f64 {
    let [a_row, b_row] = g.reduced.rows().strides;
    // What the operation does not read may as well repeat: one loop the less.
    let b_repeats = !op.takes_two() || g.reduced.columns().strides[1] == 0;
    let mut total = f64::from(op.neutral());
    g.reduced.for_each_tile(
        steps.clone(),
        #[inline(always)]
        |tile: Tile<2>| {
            let [i, j] = tile.offsets;
            for r in 0..tile.rows {
                let a = &a[i + r * a_row..][..tile.columns];
                let b = &b[j + r * b_row..];
                let folded = if b_repeats {
                    let b = s.splat(b[0]);
                    fold(
                        s,
                        [a],
                        op.neutral(),
                        #[inline(always)]
                        |acc, [a]| op.step(s, acc, a, b),
                        #[inline(always)]
                        |x, y| op.join(s, x, y),
                    )
                } else {
                    let pair = [a, &b[..tile.columns]];
                    fold(
                        s,
                        pair,
                        op.neutral(),
                        #[inline(always)]
                        |acc, [a, b]| op.step(s, acc, a, b),
                        #[inline(always)]
                        |x, y| op.join(s, x, y),
                    )
                };
                total = op.join_f64(total, op.across(s, folded));
            }
        },
    );
    total
}

/// The folds of contiguous outputs, whose operands start at `a` and `b`.
#[inline(always)]
fn fold_columns<S: Simd>(
    s: S,
    op: Fold,
    g: &ReduceGeometry,
    (a, b): (&[f32], &[f32]),
    steps: &Range<usize>,
    totals: &mut [f64],
) {
    let n = totals.len();
    let mut at = 0;
    while at + COLUMN_VECTORS * S::LANES <= n {
        fold_vectors::<S, COLUMN_VECTORS>(s, op, g, (a, b), at, steps, totals);
        at += COLUMN_VECTORS * S::LANES;
    }
    while at < n {
        fold_vectors::<S, 1>(s, op, g, (a, b), at, steps, totals);
        at += S::LANES;
    }
}

/// The folds of the outputs from `at`, `V` vectors of them, of which a single one may be cut off.
#[inline(always)]
fn fold_vectors<S: Simd, const V: usize>(
    s: S,
    op: Fold,
    g: &ReduceGeometry,
    (a, b): (&[f32], &[f32]),
    at: usize,
    steps: &Range<usize>,
    totals: &mut [f64],
) {
    let b_repeats = !op.takes_two() || g.kept.columns().strides[2] == 0;
    let ([a_row, b_row], [a_step, b_step]) =
        (g.reduced.rows().strides, g.reduced.columns().strides);
    let end = totals.len();
    let mut acc = [s.splat(op.neutral()); V];
    g.reduced.for_each_tile(
        steps.clone(),
        #[inline(always)]
        |tile: Tile<2>| {
            let [i, j] = tile.offsets;
            for r in 0..tile.rows {
                let (a, b) = (&a[i + r * a_row..], &b[j + r * b_row..]);
                for c in 0..tile.columns {
                    let (a, b) = (&a[c * a_step..], &b[c * b_step..]);
                    for v in 0..V {
                        let lane = at + v * S::LANES;
                        let a = load::<S, V>(s, a, lane, end);
                        let b = if b_repeats {
                            s.splat(b[0])
                        } else {
                            load::<S, V>(s, b, lane, end)
                        };
                        acc[v] = op.step(s, acc[v], a, b);
                    }
                }
            }
        },
    );
    for v in 0..V {
        let mut lanes = [0.0; 16];
        s.store_partial(acc[v], &mut lanes[..S::LANES]);
        let lane = at + v * S::LANES;
        for (total, &value) in totals[lane..].iter_mut().zip(&lanes[..S::LANES]) {
            *total = f64::from(value);
        }
    }
}

/// The vector at `at`, one of `V`, of which `end` may cut off lanes if it is alone.
#[inline(always)]
fn load<S: Simd, const V: usize>(s: S, x: &[f32], at: usize, end: usize) -> S::F32 {
    if V > 1 {
        s.load(&x[at..])
    } else {
        s.load_partial(&x[at..end])
    }
}
