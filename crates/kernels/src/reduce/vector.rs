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
use crate::array::array;
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
/// Steps of which all outputs are folded before the next: what lies side by side in memory is read at about the same
/// time.
const STEPS_TOGETHER: usize = 32;
/// Outputs of a task: so many that it reads long runs of memory.
const COLUMN_OUTPUTS: usize = 512;
/// Elements that a cache which cores share holds: they are near enough not to be asked for.
const NEAR: usize = 1 << 20;
/// Steps of a segment where each output folds runs.
const ROW_STEPS: usize = 1 << 15;
/// Vectors of outputs that are folded together.
const COLUMN_VECTORS: usize = 4;
/// Lanes of the widest vectors.
const MAX_LANES: usize = 16;

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

    /// Whether an element of the second operand is for all, if it moves so far: one that is not read may as well be.
    fn repeats(self, stride: usize) -> bool {
        !self.takes_two() || stride == 0
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
        let mut lanes = [self.neutral(); MAX_LANES];
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

/// The folds of all outputs, one list for each of `folds`, which read the operands together; none if the loops have no
/// vector form.
pub(super) fn totals<const K: usize>(
    level: Level,
    folds: [Fold; K],
    g: &ReduceGeometry,
    (a, b): (&[f32], &[f32]),
) -> Option<[Vec<f64>; K]> {
    let form = form(g)?;
    let (outputs, steps) = (g.kept.len(), g.reduced.len());
    if outputs == 0 || steps == 0 {
        return Some(folds.map(|fold| vec![f64::from(fold.neutral()); outputs]));
    }
    let segment = match form {
        Form::Rows => Cut::every(steps, ROW_STEPS),
        Form::Columns => Cut::every(steps, COLUMN_STEPS),
    };
    let segments = segment.tasks().max(1);
    let cost = segment.per_task().min(steps);
    // Whole vectors to each task.
    let worth = Cut::new(outputs, cost).per_task().next_multiple_of(64);
    let part = match form {
        Form::Rows => Cut::every(outputs, worth),
        Form::Columns => Cut::every(outputs, worth.max(COLUMN_OUTPUTS)),
    };
    let mut totals = folds.map(|_| vec![0.0; segments * outputs]);
    let cells = totals.each_mut().map(|t| DisjointMut::rows(t, outputs));
    for_each(segments * part.tasks(), |task| {
        let (row, kept) = (task / part.tasks(), part.range(task % part.tasks()));
        for (fold, cells) in folds.into_iter().zip(&cells) {
            let mut tile = cells.tile(row..row + 1, kept.clone());
            let steps = segment.range(row);
            partial(
                level,
                fold,
                form,
                g,
                (a, b),
                kept.clone(),
                steps,
                tile.row(0),
            );
        }
    });
    drop(cells);
    for (fold, totals) in folds.into_iter().zip(&mut totals) {
        let (result, later) = totals.split_at_mut(outputs);
        for part in later.chunks_exact(outputs) {
            for (total, &part) in result.iter_mut().zip(part) {
                *total = fold.join_f64(*total, part);
            }
        }
        totals.truncate(outputs);
    }
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
    let [out_row, a_row, b_row] = g.kept.rows().strides;
    let [_, a_column, b_column] = g.kept.columns().strides;
    g.kept.for_each_tile(kept, |tile: Tile<3>| {
        let [o, i, j] = tile.offsets;
        for r in 0..tile.rows {
            let totals = &mut totals[o + r * out_row - start..][..tile.columns];
            let (a, b) = (&a[i + r * a_row..], &b[j + r * b_row..]);
            match form {
                Form::Columns => fold_columns(level, fold, g, (a, b), &steps, totals),
                Form::Rows => {
                    for (c, total) in totals.iter_mut().enumerate() {
                        let operands = (&a[c * a_column..], &b[c * b_column..]);
                        *total = fold_rows(level, fold, g, operands, &steps);
                    }
                }
            }
        }
    });
}

/// The fold of one output, whose operands start at `a` and `b`.
fn fold_rows(
    level: Level,
    fold: Fold,
    g: &ReduceGeometry,
    (a, b): (&[f32], &[f32]),
    steps: &Range<usize>,
) -> f64 {
    let [a_row, b_row] = g.reduced.rows().strides;
    let b_repeats = fold.repeats(g.reduced.columns().strides[1]);
    let mut total = f64::from(fold.neutral());
    g.reduced.for_each_tile(steps.clone(), |tile: Tile<2>| {
        let ([i, j], n) = (tile.offsets, tile.columns);
        for r in 0..tile.rows {
            let a = &a[i + r * a_row..][..n];
            let b = &b[j + r * b_row..][..if b_repeats { 1 } else { n }];
            total = fold.join_f64(total, fold_run(level, fold, a, b));
        }
    });
    total
}

/// The folds of contiguous outputs, whose operands start at `a` and `b`.
fn fold_columns(
    level: Level,
    fold: Fold,
    g: &ReduceGeometry,
    (a, b): (&[f32], &[f32]),
    steps: &Range<usize>,
    totals: &mut [f64],
) {
    let [a_row, b_row] = g.reduced.rows().strides;
    let strides = g.reduced.columns().strides;
    let b_repeats = fold.repeats(g.kept.columns().strides[2]);
    let most = COLUMN_VECTORS * level.lanes();
    // What lies steps apart is not seen coming.
    let far = g.kept.len().saturating_mul(g.reduced.len()) > NEAR;
    let ahead = if far {
        STEPS_TOGETHER.wrapping_mul(strides[0])
    } else {
        0
    };
    let mut folds = vec![fold.neutral(); totals.len()];
    for few in steps.clone().step_by(STEPS_TOGETHER) {
        let few = few..steps.end.min(few + STEPS_TOGETHER);
        g.reduced.for_each_tile(few, |tile: Tile<2>| {
            let [i, j] = tile.offsets;
            for r in 0..tile.rows {
                let (a, b) = (&a[i + r * a_row..], &b[j + r * b_row..]);
                let mut at = 0;
                while at < folds.len() {
                    let left = folds.len() - at;
                    let n = if left < most {
                        left.min(level.lanes())
                    } else {
                        most
                    };
                    let run = Steps {
                        count: tile.columns,
                        strides,
                        b_lanes: if b_repeats { 1 } else { n },
                        ahead,
                    };
                    let b = &b[if b_repeats { 0 } else { at }..];
                    fold_steps(level, fold, (&a[at..], b), run, &mut folds[at..at + n]);
                    at += n;
                }
            }
        });
    }
    for (total, &fold) in totals.iter_mut().zip(&folds) {
        *total = f64::from(fold);
    }
}

/// Steps over memory.
#[derive(Clone, Copy, Debug)]
struct Steps {
    count: usize,
    /// From one to the next in each operand.
    strides: [usize; 2],
    /// Elements that a step reads of the second operand: those of all outputs, or one for all.
    b_lanes: usize,
    /// Elements from what a step reads of the first operand to what it asks for; none if that is near.
    ahead: usize,
}

/// Calls a function with an operation that it is compiled for, and at a level.
macro_rules! at_level {
    ($level:expr, $fold:expr, $function:ident($($argument:expr),*)) => {
        dispatch!($level, s => match $fold {
            Fold::Sum => $function(s, Fold::Sum, $($argument),*),
            Fold::Product => $function(s, Fold::Product, $($argument),*),
            Fold::Deviation => $function(s, Fold::Deviation, $($argument),*),
            Fold::Ties => $function(s, Fold::Ties, $($argument),*),
            Fold::Max => $function(s, Fold::Max, $($argument),*),
            Fold::Min => $function(s, Fold::Min, $($argument),*),
        })
    };
}

/// The fold of a run of `a`, with as many elements of `b` or one for all.
#[inline(never)]
fn fold_run(level: Level, fold: Fold, a: &[f32], b: &[f32]) -> f64 {
    at_level!(level, fold, run(a, b))
}

#[inline(always)]
fn run<S: Simd>(s: S, op: Fold, a: &[f32], b: &[f32]) -> f64 {
    let folded = if !op.takes_two() || b.len() < a.len() {
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
        fold(
            s,
            [a, b],
            op.neutral(),
            #[inline(always)]
            |acc, [a, b]| op.step(s, acc, a, b),
            #[inline(always)]
            |x, y| op.join(s, x, y),
        )
    };
    op.across(s, folded)
}

/// Takes steps into the folds of [`COLUMN_VECTORS`] vectors of outputs, or of one, which may be cut off.
#[inline(never)]
fn fold_steps(level: Level, fold: Fold, operands: (&[f32], &[f32]), run: Steps, folds: &mut [f32]) {
    at_level!(level, fold, steps(operands, run, folds));
}

#[inline(always)]
fn steps<S: Simd>(s: S, op: Fold, operands: (&[f32], &[f32]), run: Steps, folds: &mut [f32]) {
    if folds.len() > S::LANES {
        vectors::<S, COLUMN_VECTORS>(s, op, operands, run, folds);
    } else {
        vectors::<S, 1>(s, op, operands, run, folds);
    }
}

#[inline(always)]
fn vectors<S: Simd, const V: usize>(
    s: S,
    op: Fold,
    (a, b): (&[f32], &[f32]),
    run: Steps,
    folds: &mut [f32],
) {
    let n = folds.len();
    let b_repeats = !op.takes_two() || run.b_lanes < n;
    let mut acc = array::<_, V>(
        #[inline(always)]
        |v| load::<S, V>(s, folds, v * S::LANES, n),
    );
    for c in 0..run.count {
        let (a, b) = (&a[c * run.strides[0]..], &b[c * run.strides[1]..]);
        for v in 0..V {
            let lane = v * S::LANES;
            if run.ahead > 0 {
                s.prefetch(a, lane.wrapping_add(run.ahead));
            }
            let a = load::<S, V>(s, a, lane, n);
            let b = if b_repeats {
                s.splat(b[0])
            } else {
                load::<S, V>(s, b, lane, n)
            };
            acc[v] = op.step(s, acc[v], a, b);
        }
    }
    for v in 0..V {
        let folds = &mut folds[v * S::LANES..];
        if V > 1 {
            s.store(acc[v], folds);
        } else {
            s.store_partial(acc[v], folds);
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
