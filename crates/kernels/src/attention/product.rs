//! Products of blocks, on the calling thread.

use crate::conv2d::backward_weight::{Block as OuterBlock, Run};
use crate::disjoint::DisjointMut;
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::Matrix;
use crate::gemm::block::{Batch, Block, Next};
use crate::gemm::microkernel::Aheads;
use crate::gemm::pack::pack_b;
use crate::gemm::panels::Panels;
use crate::gemm::store::Store;
use std::ops::Range;
use striate_simd::{Buffer, Level};

/// A right operand in panels, of which blocks of rows and of columns are used.
#[derive(Debug)]
pub(super) struct Packed {
    level: Level,
    rows: usize,
    panels: Panels,
    data: Buffer<f32>,
}

/// A result or a left operand: its elements and the distance between its rows.
pub(super) type Rows<T> = (T, usize);

impl Packed {
    /// Packs `b` for left operands of about `rows` rows.
    pub(super) fn new(level: Level, rows: usize, b: Matrix<'_>) -> Result<Self, KernelError> {
        let panels = Panels::choose(level, rows, b.shape()[1]);
        Ok(Self {
            level,
            rows: b.shape()[0],
            data: pack_b(b, &panels)?,
            panels,
        })
    }

    /// All panels.
    pub(super) fn panels(&self) -> Range<usize> {
        0..self.panels.count()
    }

    /// The panels cut into runs of at most `columns` columns, and at least one panel.
    pub(super) fn runs(&self, columns: usize) -> impl Iterator<Item = Range<usize>> {
        let width = self.panels.panel(0).columns.len().max(1);
        let (step, count) = ((columns / width).max(1), self.panels.count());
        (0..count)
            .step_by(step)
            .map(move |first| first..(first + step).min(count))
    }

    /// The columns of some panels.
    pub(super) fn columns(&self, panels: &Range<usize>) -> Range<usize> {
        let first = self.panels.panel(panels.start).columns.start;
        first..self.panels.panel(panels.end - 1).columns.end
    }

    /// The rows `k` of a panel and what follows them, with its vectors.
    fn part(&self, panel: usize, k: &Range<usize>) -> (&[f32], usize, Range<usize>) {
        let panel = self.panels.panel(panel);
        let width = panel.vectors * self.level.lanes();
        let start = self.panels.packed_range(&panel, self.rows).start + k.start * width;
        (&self.data[start..], panel.vectors, panel.columns)
    }

    /// `out = a * b` or `out += a * b` for `rows` rows of `a`, the rows `k` of `b` and the columns of `panels`.
    pub(super) fn multiply(
        &self,
        rows: usize,
        (a, a_stride): Rows<&[f32]>,
        (k, panels): (Range<usize>, Range<usize>),
        add: bool,
        (out, out_stride): Rows<&mut [f32]>,
    ) {
        let origin = self.columns(&panels).start;
        let out = DisjointMut::rows(out, out_stride);
        for panel in panels {
            let (b, vectors, columns) = self.part(panel, &k);
            let len = k.len() * vectors * self.level.lanes();
            let columns = columns.start - origin..columns.end - origin;
            let block = Block {
                a,
                a_stride,
                k_len: k.len(),
                b: &b[..len],
                next: Next::Panel(&b[len..]),
                store: Store::new(&Epilogue::NONE, add, 0, &columns, out_stride),
                rows: 0..rows,
                batch: Batch::ONE,
            };
            block.run_on_tiles(self.level, vectors, &mut out.tile(0..rows, columns));
        }
    }

    /// Elements of one row of all panels.
    pub(super) fn width(&self) -> usize {
        self.panels.padded_columns()
    }

    /// Adds the product of the transpose of `a`, whose rows are those `k` of `b`, to the rows `rows` of `out`, which
    /// is in panels of `out_rows` rows. `a` has as many columns as `rows`.
    pub(super) fn add_transposed(
        &self,
        (a, a_stride): Rows<&[f32]>,
        k: &Range<usize>,
        rows: &Range<usize>,
        (out, out_rows): Rows<&mut [f32]>,
    ) {
        let runs = [Run {
            x: 0,
            dy: 0,
            len: k.len(),
        }];
        for index in self.panels() {
            let (b, vectors, _) = self.part(index, k);
            let width = vectors * self.level.lanes();
            let start = self
                .panels
                .packed_range(&self.panels.panel(index), out_rows)
                .start;
            let block = OuterBlock {
                x: a,
                channel: 0,
                x_step: a_stride,
                runs: &runs,
                dy: b,
                add: true,
            };
            let out = &mut out[start + rows.start * width..start + rows.end * width];
            block.run_on_tiles(self.level, vectors, Aheads::new(&[]), out);
        }
    }

    /// `y[i] = sum of row i of each of the equal pieces of x`, which are in panels of all rows of `y`.
    pub(super) fn unpack_sum(
        &self,
        x: &[f32],
        rows: &Range<usize>,
        out_rows: usize,
        y: &mut [f32],
    ) {
        let columns = self.panels.columns();
        for index in self.panels() {
            let panel = self.panels.panel(index);
            let width = panel.vectors * self.level.lanes();
            let start = self.panels.packed_range(&panel, out_rows).start;
            for (i, y) in rows.clone().zip(y.chunks_exact_mut(columns)) {
                let y = &mut y[panel.columns.clone()];
                y.fill(0.0);
                for x in x.chunks_exact(out_rows * self.width()) {
                    let x = &x[start + i * width..][..y.len()];
                    for (y, x) in y.iter_mut().zip(x) {
                        *y += x;
                    }
                }
            }
        }
    }
}

/// How a batch is cut: so many problems at a time as give tasks enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batches {
    problems: usize,
    batch: usize,
}

/// Tasks that are enough.
const TASKS: usize = 8;

/// Multiply-adds that are worth being done at a time.
const WORK: usize = 1 << 26;

impl Batches {
    /// Problems of `parts` tasks and `work` multiply-adds.
    pub(super) fn new(batch: usize, parts: usize, work: usize) -> Self {
        let problems = TASKS.div_ceil(parts.max(1)).max(WORK / work.max(1));
        Self { problems, batch }
    }

    /// Problems that are worked on together, one group after the other.
    pub(super) fn groups(self) -> impl Iterator<Item = Range<usize>> {
        let firsts = (0..self.batch).step_by(self.problems);
        firsts.map(move |first| first..first.saturating_add(self.problems).min(self.batch))
    }
}

/// Part `index` of `parts` almost equal ones of `0..len`.
pub(super) fn part(len: usize, parts: usize, index: usize) -> Range<usize> {
    let edge = |index: usize| (len as u128 * index as u128 / parts as u128) as usize;
    edge(index)..edge(index + 1)
}
