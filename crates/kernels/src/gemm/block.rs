//! A product cut into blocks, whose left rows are read in place.

use super::Write;
use super::microkernel::{Ahead, accumulate_strided, zero};
use super::panels::{Grid, Panels, tile_runs};
use super::store::Store;
use super::tile::{TileKernel, run_tile};
use crate::array::array;
use crate::disjoint::{DisjointMut, TileMut};
use crate::epilogue::Epilogue;
use crate::far::{ask, is_asked_for};
use crate::parallel;
use std::ops::Range;
use striate_simd::{Level, Simd};

/// A product with a packed right operand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product<'a> {
    /// Rows of the result.
    pub(crate) rows: usize,
    /// Terms of every sum.
    pub(crate) k_len: usize,
    /// The left operand, whose rows are contiguous.
    pub(crate) a: &'a [f32],
    /// The distance between its rows.
    pub(crate) a_stride: usize,
    /// The right operand.
    pub(crate) b: &'a [f32],
    /// The cut of its columns.
    pub(crate) panels: &'a Panels,
}

impl Product<'_> {
    /// Computes `c = epilogue(a * b)` or adds the product to `c`, whose rows are `c_stride` apart.
    pub(crate) fn run(
        &self,
        level: Level,
        epilogue: &Epilogue<'_>,
        write: Write,
        c: &mut [f32],
        c_stride: usize,
    ) {
        self.run_held(&self.panels.all(), level, epilogue, write, c, c_stride);
    }

    /// As [`run`](Self::run), of the columns of the panels `held`, which are all that the right operand has.
    pub(crate) fn run_held(
        &self,
        held: &Range<usize>,
        level: Level,
        epilogue: &Epilogue<'_>,
        write: Write,
        c: &mut [f32],
        c_stride: usize,
    ) {
        let grid = Grid::new(level, self.rows, self.panels, self.k_len);
        let (c, to) = (DisjointMut::rows(c, c_stride), (write, c_stride));
        let first = self.panels.start(held, self.k_len);
        parallel::for_each(grid.tasks(), |task| {
            let (rows, panels) = grid.task(task);
            let panels = panels.start.max(held.start)..panels.end.min(held.end);
            self.task(level, epilogue, (rows, panels), first, &c, to);
        });
    }

    /// As [`run`](Self::run), as a part of a task: on the calling thread alone.
    pub(crate) fn run_here(&self, level: Level, epilogue: &Epilogue<'_>, c: &mut [f32]) {
        let columns = self.panels.columns();
        let (c, to) = (DisjointMut::rows(c, columns), (Write::Replace, columns));
        let all = (0..self.rows, 0..self.panels.count());
        self.task(level, epilogue, all, 0, &c, to);
    }

    /// Computes some rows of some panels, where the right operand begins at element `first` of all its panels.
    fn task(
        &self,
        level: Level,
        epilogue: &Epilogue<'_>,
        (rows, panels): (Range<usize>, Range<usize>),
        first: usize,
        c: &DisjointMut<'_, f32>,
        (write, c_stride): (Write, usize),
    ) {
        let mut tiles = None;
        for index in panels {
            let panel = self.panels.panel(index);
            let runs = match tiles.take() {
                Some((vectors, runs)) if vectors == panel.vectors => runs,
                _ => tile_runs(level, rows.len(), panel.vectors),
            };
            let add = write == Write::Add;
            let packed = self.panels.packed_range(&panel, self.k_len);
            let packed = packed.start - first..packed.end - first;
            let block = Block {
                a: self.a.get(rows.start * self.a_stride..).unwrap_or_default(),
                a_stride: self.a_stride,
                k_len: self.k_len,
                b: &self.b[packed.clone()],
                next: Next::Panel(&self.b[packed.end..]),
                store: Store::new(epilogue, add, rows.start, &panel.columns, c_stride),
                rows: 0..rows.len(),
                batch: Batch::ONE,
            };
            let out = &mut c.tile(rows.clone(), panel.columns.clone());
            block.run_on(level, panel.vectors, runs.clone(), out);
            epilogue.observe(level, out);
            tiles = Some((panel.vectors, runs));
        }
    }
}

/// Some rows of one panel, of one product or of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Block<'a> {
    /// The left operand, whose rows are contiguous.
    pub(crate) a: &'a [f32],
    /// The distance between its rows.
    pub(crate) a_stride: usize,
    /// Terms of every sum.
    pub(crate) k_len: usize,
    /// The panel; of a batch, the first.
    pub(crate) b: &'a [f32],
    /// What is fetched meanwhile.
    pub(crate) next: Next<'a>,
    /// What happens to the sums.
    pub(crate) store: Store<'a>,
    /// The rows.
    pub(crate) rows: Range<usize>,
    /// The products.
    pub(crate) batch: Batch,
}

/// What is needed next and comes from afar.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next<'a> {
    /// The panel of the next product of a batch; after the last one, this.
    Panel(&'a [f32]),
    /// Of a single product, this and then that.
    Pieces([&'a [f32]; 2]),
    /// The rows of the next product of a batch, which are dense: the panels are near.
    Rows,
}

/// Products of equal shapes whose operands and results are a constant distance apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    /// Products.
    pub(crate) count: usize,
    /// Elements from one left operand to the next.
    pub(crate) a_step: usize,
    /// Elements from one panel to the next.
    pub(crate) b_step: usize,
    /// Rows from one result to the next.
    pub(crate) out_step: usize,
}

impl Batch {
    /// One product.
    pub(crate) const ONE: Self = Self {
        count: 1,
        a_step: 0,
        b_step: 0,
        out_step: 0,
    };
}

impl<'a> Block<'a> {
    /// Computes the rows into `out` with the tiles that suit them; the panel has `vectors` vectors.
    pub(crate) fn run_on_tiles(self, level: Level, vectors: usize, out: &mut TileMut<'_, f32>) {
        let runs = tile_runs(level, self.rows.len(), vectors);
        self.run_on(level, vectors, runs, out);
    }

    /// As [`run_on_tiles`](Self::run_on_tiles), with the tiles that suit as many rows.
    fn run_on(
        self,
        level: Level,
        vectors: usize,
        runs: impl Iterator<Item = (usize, Range<usize>)> + Clone,
        out: &mut TileMut<'_, f32>,
    ) {
        // All tiles use a panel before the next one comes, but where all are of one height they need
        // not be chosen again for each.
        let together = if runs.clone().count() == 1 {
            self.batch.count
        } else {
            1
        };
        let all: usize = runs
            .clone()
            .map(|(height, run)| run.len() / height * self.k_len)
            .sum();
        let step = self.ahead_step(all, level.lanes());
        for first in (0..self.batch.count).step_by(together) {
            let mut steps = 0;
            for (height, run) in runs.clone() {
                let rows = Rows {
                    block: &self,
                    batch: first..first + together,
                    rows: self.rows.start + run.start..self.rows.start + run.end,
                    steps,
                    step,
                    out,
                };
                run_tile(level, height, vectors, rows);
                steps += run.len() / height * self.k_len;
            }
        }
    }

    /// Elements that each of `steps` steps asks for, at most a vector.
    fn ahead_step(&self, steps: usize, lanes: usize) -> usize {
        match self.next {
            // Evenly: a core waits for few lines at a time.
            Next::Pieces(pieces) => {
                let len: usize = pieces.iter().map(|piece| piece.len()).sum();
                len.div_ceil(steps.max(1)).min(lanes)
            }
            Next::Panel(_) | Next::Rows => lanes,
        }
    }

    /// The panel of product `index`, of `len` elements, and what is needed next.
    #[inline(always)]
    fn panels(&self, index: usize, len: usize) -> (&'a [f32], [&'a [f32]; 2]) {
        let b = &self.b[index * self.batch.b_step..];
        let last = index + 1 == self.batch.count;
        let (next, len) = match self.next {
            Next::Pieces(pieces) => return (b, pieces),
            Next::Panel(next) if last => (next, len),
            Next::Panel(_) => (&b[self.batch.b_step..], len),
            Next::Rows if last => (&[][..], 0),
            Next::Rows => {
                let rows = &self.a[(index + 1) * self.batch.a_step..];
                (rows, self.rows.end * self.a_stride)
            }
        };
        (b, [&next[..len.min(next.len())], &[]])
    }
}

/// Rows of some products that make up whole tiles.
struct Rows<'b, 'o, 'c> {
    block: &'b Block<'b>,
    batch: Range<usize>,
    rows: Range<usize>,
    /// Steps of the reduction that other tiles have done with the same panel.
    steps: usize,
    /// Elements that a step asks for.
    step: usize,
    out: &'o mut TileMut<'c, f32>,
}

impl TileKernel for Rows<'_, '_, '_> {
    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let Block {
            a,
            a_stride,
            k_len,
            store,
            batch,
            ..
        } = *self.block;
        for index in self.batch {
            let a = &a[index * batch.a_step..];
            let (b, next) = self.block.panels(index, k_len * NV * S::LANES);
            let mut ahead = Ahead::new(next, self.step).after(self.steps);
            let far = is_asked_for::<S>(self.out);
            for first in self.rows.clone().step_by(MR) {
                if far {
                    ask::<S, MR>(s, self.out, index * batch.out_step + first, 1);
                }
                let mut acc = zero::<S, MR, NV>(s);
                let a = &a[first * a_stride..];
                accumulate_strided(s, &mut acc, a, a_stride, k_len, b, ahead);
                ahead = ahead.after(k_len);
                let rows = array(
                    #[inline(always)]
                    |i| index * batch.out_step + first + i,
                );
                store.run(s, &acc, self.out, rows);
            }
        }
    }
}
