//! Blocks of keys along the queries: weights are computed again, transposed, so that each block owns the gradients of its
//! keys and values. Those of the queries are sums over blocks: a few runs of blocks add up copies of their own, which are
//! then added in order.
//!
//! ```text
//! p[j, i]  = exp(scale * k[j] . q[i] - l[i])
//! ds[j, i] = scale * p[j, i] * (v[j] . dy[i] - y[i] . dy[i])
//! dv = p dy       dk = ds q       dq = ds^T k
//! ```

use super::forward::{COLUMNS, ROWS};
use super::product::{Batches, Packed, part};
use super::{AttentionGeometry, OP, Operands, Outcome};
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::gemm::Matrix;
use crate::geometry::element_count;
use crate::lanes::{fold, update};
use crate::parallel;
use std::ops::Range;
use striate_simd::math::{exp_normal, normal_or_zero};
use striate_simd::{Buffer, Level, Simd, dispatch};

/// Keys of a run at least.
const RUN: usize = 64;

/// Runs at most, since each has a copy of the gradient of the queries.
const RUNS: usize = 8;

pub(super) fn run(
    level: Level,
    g: &AttentionGeometry,
    x: &Operands<'_, f32>,
    outcome: &Outcome<'_, f32>,
    dy: &[f32],
    [dq, dk, dv]: [&mut [f32]; 3],
) -> Result<(), KernelError> {
    let (queries, keys, depth, values) = (g.queries(), g.keys(), g.depth(), g.values());
    if queries == 0 {
        dk.fill(0.0);
        dv.fill(0.0);
        return Ok(());
    }
    let parts = keys.div_ceil(RUN).min(RUNS.div_ceil(g.batch().max(1)));
    let work = queries.saturating_mul(keys).saturating_mul(depth + values);
    let batches = Batches::new(g.batch(), parts, work);
    let [dq, dk, dv] = [dq, dk, dv].map(DisjointMut::new);
    for problems in batches.groups() {
        let operands = problems
            .map(|problem| Problem::new(level, g, x, outcome, dy, problem))
            .collect::<Result<Vec<_>, _>>()?;
        let copy_len = operands.first().map_or(0, |o| queries * o.k.width());
        let copies = element_count(OP, "copies of dq", &[operands.len() * parts, copy_len])?;
        let mut copies = Buffer::recycled(copies)?;
        let each = DisjointMut::new(&mut copies);
        parallel::try_for_each(operands.len() * parts, |task| {
            let problem = &operands[task / parts];
            let keys = part(keys, parts, task % parts);
            let first = problem.index * g.keys();
            let [start, end] = [first + keys.start, first + keys.end];
            let mut copy = each.range(task * copy_len..(task + 1) * copy_len);
            copy.fill(0.0);
            problem.run(
                keys,
                &mut copy,
                &mut dk.range(start * depth..end * depth),
                &mut dv.range(start * values..end * values),
            )
        })?;
        drop(each);
        let blocks = queries.div_ceil(ROWS);
        parallel::for_each(operands.len() * blocks, |task| {
            let rows = part(queries, blocks, task % blocks);
            let problem = &operands[task / blocks];
            let copies = &copies[task / blocks * parts * copy_len..][..parts * copy_len];
            let first = problem.index * queries + rows.start;
            let mut dq = dq.range(first * depth..(first + rows.len()) * depth);
            problem.k.unpack_sum(copies, &rows, queries, &mut dq);
        });
    }
    Ok(())
}

/// One problem of a batch, with all right operands in panels.
struct Problem<'a> {
    index: usize,
    level: Level,
    scale: f32,
    sizes: [usize; 2],
    keys: &'a [f32],
    values: &'a [f32],
    log_sums: &'a [f32],
    /// `y . dy` of each query.
    means: Buffer<f32>,
    /// Queries and gradients, transposed and not; keys.
    qt: Packed,
    dyt: Packed,
    q: Packed,
    dy: Packed,
    k: Packed,
}

impl<'a> Problem<'a> {
    fn new(
        level: Level,
        g: &AttentionGeometry,
        x: &Operands<'a, f32>,
        outcome: &Outcome<'a, f32>,
        dy: &[f32],
        index: usize,
    ) -> Result<Self, KernelError> {
        let (queries, depth, values) = (g.queries(), g.depth(), g.values());
        let per_query = |x: &'a [f32], len: usize| &x[index * queries * len..][..queries * len];
        let per_key = |x: &'a [f32], len: usize| &x[index * g.keys() * len..][..g.keys() * len];
        let (keys, y) = (per_key(x.k, depth), per_query(outcome.y, values));
        let dy = &dy[index * queries * values..][..queries * values];
        let mut means = Buffer::recycled(queries)?;
        for (i, mean) in means.iter_mut().enumerate() {
            let [y, dy] = [y, dy].map(|x| &x[i * values..][..values]);
            *mean = dispatch!(level, s => dot(s, y, dy));
        }
        let q = Matrix::new(per_query(x.q, depth), queries, depth)?;
        let dy = Matrix::new(dy, queries, values)?;
        let pack = |b: Matrix<'_>| Packed::new(level, ROWS, b);
        Ok(Self {
            index,
            level,
            scale: x.scale as f32,
            sizes: [depth, values],
            keys,
            values: per_key(x.v, values),
            log_sums: per_query(outcome.log_sums, 1),
            means,
            qt: pack(q.transposed())?,
            dyt: pack(dy.transposed())?,
            q: pack(q)?,
            dy: pack(dy)?,
            k: pack(Matrix::new(keys, g.keys(), depth)?)?,
        })
    }

    /// The gradients of the keys `keys` and their values, and what they add to those of the queries.
    fn run(
        &self,
        keys: Range<usize>,
        dq: &mut [f32],
        dk: &mut [f32],
        dv: &mut [f32],
    ) -> Result<(), KernelError> {
        let [depth, values] = self.sizes;
        let blocks = keys.len().div_ceil(ROWS);
        let stride = self.qt.runs(COLUMNS).map(|run| self.qt.columns(&run).len());
        let stride = stride.max().unwrap_or(0);
        let len = element_count(
            OP,
            "block",
            &[keys.len().div_ceil(blocks.max(1)) + 1, stride],
        )?;
        let (mut weights, mut slopes) = (Buffer::recycled(len)?, Buffer::recycled(len)?);
        for block in 0..blocks {
            let within = part(keys.len(), blocks, block);
            let block = keys.start + within.start..keys.start + within.end;
            let dk = &mut dk[within.start * depth..within.end * depth];
            let dv = &mut dv[within.start * values..within.end * values];
            for panels in self.qt.runs(COLUMNS) {
                let queries = self.qt.columns(&panels);
                let rows = block.len();
                let k = (&self.keys[block.start * depth..], depth);
                let v = (&self.values[block.start * values..], values);
                let part = (0..depth, panels.clone());
                self.qt
                    .multiply(rows, k, part, false, (&mut weights, stride));
                let part = (0..values, panels);
                self.dyt
                    .multiply(rows, v, part, false, (&mut slopes, stride));
                let (log_sums, means) = (
                    &self.log_sums[queries.clone()],
                    &self.means[queries.clone()],
                );
                for i in 0..rows {
                    let weights = &mut weights[i * stride..][..queries.len()];
                    let slopes = &mut slopes[i * stride..][..queries.len()];
                    dispatch!(self.level, s => differentiate(s, self.scale, log_sums, means, weights, slopes));
                }
                let add = queries.start > 0;
                let part = (queries.clone(), self.dy.panels());
                self.dy
                    .multiply(rows, (&weights, stride), part, add, (&mut *dv, values));
                let part = (queries.clone(), self.q.panels());
                self.q
                    .multiply(rows, (&slopes, stride), part, add, (&mut *dk, depth));
                let queries_len = self.log_sums.len();
                self.k
                    .add_transposed((&slopes, stride), &block, &queries, (dq, queries_len));
            }
        }
        Ok(())
    }
}

#[inline(always)]
pub(super) fn dot<S: Simd>(s: S, a: &[f32], b: &[f32]) -> f32 {
    let sum = fold(
        s,
        [a, b],
        0.0,
        #[inline(always)]
        |sum, [a, b]| s.mul_add(a, b, sum),
        #[inline(always)]
        |a, b| s.add(a, b),
    );
    s.sum(sum)
}

/// Products become weights, and gradients of weights those of products.
#[inline(always)]
pub(super) fn differentiate<S: Simd>(
    s: S,
    scale: f32,
    log_sums: &[f32],
    means: &[f32],
    weights: &mut [f32],
    slopes: &mut [f32],
) {
    let scale = s.splat(scale);
    update(
        s,
        None,
        [log_sums],
        weights,
        #[inline(always)]
        |x, [l]| exp_normal(s, s.sub(s.mul(x, scale), l)),
    );
    update(
        s,
        None,
        [weights, means],
        slopes,
        #[inline(always)]
        |slope, [weight, mean]| normal_or_zero(s, s.mul(s.mul(weight, scale), s.sub(slope, mean))),
    );
}
