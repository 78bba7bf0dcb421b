//! Blocks of queries along the keys, with a running softmax.

use super::product::{Batches, Packed, part};
use super::{AttentionGeometry, OP, Operands};
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::gemm::Matrix;
use crate::geometry::element_count;
use crate::lanes::{fold, maximum, update};
use crate::parallel;
use striate_simd::math::exp_normal;
use striate_simd::{Buffer, Level, Simd, dispatch};

/// Queries of a block at most, so that a block, its products and what it gathers stay in the second-level cache.
pub(super) const ROWS: usize = 192;

/// Keys that a block of queries meets at a time.
pub(super) const COLUMNS: usize = 256;

pub(super) fn run(
    level: Level,
    g: &AttentionGeometry,
    x: &Operands<'_, f32>,
    y: &mut [f32],
    log_sums: &mut [f32],
) -> Result<(), KernelError> {
    let (queries, keys, depth, values) = (g.queries(), g.keys(), g.depth(), g.values());
    // An even number, so that two threads end together.
    let parts = match queries.div_ceil(ROWS) {
        few @ (0 | 1) => few,
        parts => parts.next_multiple_of(2),
    };
    let work = queries.saturating_mul(keys).saturating_mul(depth + values);
    let batches = Batches::new(g.batch(), parts, work);
    let (y, log_sums) = (DisjointMut::new(y), DisjointMut::new(log_sums));
    for problems in batches.groups() {
        let packs = problems
            .clone()
            .map(|problem| {
                let k = Matrix::new(&x.k[problem * keys * depth..], keys, depth)?;
                let v = Matrix::new(&x.v[problem * keys * values..], keys, values)?;
                Ok([
                    Packed::new(level, ROWS, k.transposed())?,
                    Packed::new(level, ROWS, v)?,
                ])
            })
            .collect::<Result<Vec<_>, KernelError>>()?;
        parallel::try_for_each(packs.len() * parts, |task| {
            let [k, v] = &packs[task / parts];
            let rows = part(queries, parts, task % parts);
            let first = (problems.start + task / parts) * queries + rows.start;
            let last = first + rows.len();
            let block = Block {
                level,
                q: &x.q[first * depth..last * depth],
                depth,
                scale: x.scale as f32,
                k,
                v,
            };
            block.run(
                &mut y.range(first * values..last * values),
                &mut log_sums.range(first..last),
            )
        })?;
    }
    Ok(())
}

/// Some queries, and all keys and values.
struct Block<'a> {
    level: Level,
    q: &'a [f32],
    depth: usize,
    scale: f32,
    k: &'a Packed,
    v: &'a Packed,
}

impl Block<'_> {
    /// Leaves the logarithms of the sums in `sums`.
    fn run(&self, y: &mut [f32], sums: &mut [f32]) -> Result<(), KernelError> {
        let rows = sums.len();
        let values = y.len().checked_div(rows).unwrap_or(1);
        let runs = || {
            self.k
                .runs(COLUMNS)
                .map(|run| (run.clone(), self.k.columns(&run)))
        };
        let stride = runs().map(|(_, keys)| keys.len()).max().unwrap_or(0);
        let mut scores = Buffer::recycled(element_count(OP, "block", &[rows, stride])?)?;
        let mut tops = Buffer::filled(rows, f32::NEG_INFINITY)?;
        sums.fill(0.0);
        for (panels, keys) in runs() {
            let products = (&mut scores[..], stride);
            self.k.multiply(
                rows,
                (self.q, self.depth),
                (0..self.depth, panels),
                false,
                products,
            );
            for (i, (top, sum)) in tops.iter_mut().zip(&mut *sums).enumerate() {
                let scores = &mut scores[i * stride..][..keys.len()];
                // Nothing has been gathered before the first keys.
                let y = if keys.start == 0 {
                    &mut [][..]
                } else {
                    &mut y[i * values..][..values]
                };
                dispatch!(self.level, s => weigh(s, self.scale, scores, top, sum, y));
            }
            let weights = (&scores[..], stride);
            let add = keys.start > 0;
            self.v.multiply(
                rows,
                weights,
                (keys, self.v.panels()),
                add,
                (&mut *y, values),
            );
        }
        for (i, (top, sum)) in tops.iter().zip(sums).enumerate() {
            let factor = 1.0 / *sum;
            dispatch!(self.level, s => scale(s, factor, &mut y[i * values..][..values]));
            *sum = top + sum.ln();
        }
        Ok(())
    }
}

/// Turns products into exponentials of their differences to the largest so far, adds these to the sum, and scales the sum and
/// what has been gathered down where the largest rises.
#[inline(always)]
pub(super) fn weigh<S: Simd>(
    s: S,
    factor: f32,
    scores: &mut [f32],
    top: &mut f32,
    sum: &mut f32,
    gathered: &mut [f32],
) {
    let factor = s.splat(factor);
    let lanes = fold(
        s,
        [scores],
        f32::NEG_INFINITY,
        #[inline(always)]
        |max, [x]| maximum(s, s.mul(x, factor), max),
        #[inline(always)]
        |a, b| maximum(s, a, b),
    );
    let lanes = maximum(s, lanes, s.splat(*top));
    let new = if s.any(s.mask_not(s.eq(lanes, lanes))) {
        f32::NAN
    } else {
        s.max_lane(lanes)
    };
    // Minus infinity has no weight, and no difference to itself.
    let base = if new == f32::NEG_INFINITY { 0.0 } else { new };
    let lost = if *top == base {
        1.0
    } else {
        (*top - base).exp()
    };
    *top = new;
    let base = s.splat(base);
    update(
        s,
        None,
        [],
        scores,
        #[inline(always)]
        |x, []| exp_normal(s, s.sub(s.mul(x, factor), base)),
    );
    let total = fold(
        s,
        [scores],
        0.0,
        #[inline(always)]
        |sum, [x]| s.add(sum, x),
        #[inline(always)]
        |a, b| s.add(a, b),
    );
    *sum = *sum * lost + s.sum(total);
    if lost != 1.0 {
        scale(s, lost, gathered);
    }
}

#[inline(always)]
fn scale<S: Simd>(s: S, factor: f32, y: &mut [f32]) {
    let factor = s.splat(factor);
    update(
        s,
        None,
        [],
        y,
        #[inline(always)]
        |y, []| s.mul(y, factor),
    );
}
