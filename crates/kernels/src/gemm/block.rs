//! A product cut into blocks, whose left rows are read in place.

use super::Write;
use super::microkernel::{accumulate_strided, zero};
use super::panels::{Grid, Panels, tile_runs};
use super::store::Store;
use super::tile::{TileKernel, run_tile};
use crate::disjoint::{DisjointMut, TileMut};
use crate::epilogue::Epilogue;
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
        let grid = Grid::new(self.rows, self.panels, self.k_len, self.k_len);
        let c = DisjointMut::rows(c, c_stride);
        parallel::for_each(grid.tasks(), |task| {
            let (rows, panels) = grid.task(task);
            for index in panels {
                let panel = self.panels.panel(index);
                let add = write == Write::Add;
                Block {
                    a: self.a.get(rows.start * self.a_stride..).unwrap_or_default(),
                    a_stride: self.a_stride,
                    k_len: self.k_len,
                    b: &self.b[self.panels.packed_range(&panel, self.k_len)],
                    store: Store::new(epilogue, add, rows.start, &panel.columns, c_stride),
                    rows: 0..rows.len(),
                    out: &mut c.tile(rows.clone(), panel.columns.clone()),
                }
                .run_on_tiles(level, panel.vectors);
            }
        });
    }
}

/// Some rows of one panel.
struct Block<'a, 'o> {
    a: &'a [f32],
    a_stride: usize,
    k_len: usize,
    b: &'a [f32],
    store: Store<'a>,
    rows: Range<usize>,
    out: &'o mut TileMut<'a, f32>,
}

impl Block<'_, '_> {
    fn run_on_tiles(self, level: Level, vectors: usize) {
        let Block {
            a,
            a_stride,
            k_len,
            b,
            store,
            rows,
            out,
        } = self;
        for (height, run) in tile_runs(level, rows.len(), vectors) {
            let rows = rows.start + run.start..rows.start + run.end;
            run_tile(
                level,
                height,
                vectors,
                Block {
                    a,
                    a_stride,
                    k_len,
                    b,
                    store,
                    rows,
                    out,
                },
            );
        }
    }
}

impl TileKernel for Block<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        for first in self.rows.step_by(MR) {
            let mut acc = zero::<S, MR, NV>(s);
            let a = &self.a[first * self.a_stride..];
            accumulate_strided(s, &mut acc, a, self.a_stride, self.k_len, self.b);
            let rows = std::array::from_fn(
                #[inline(always)]
                |i| first + i,
            );
            self.store.run(s, &acc, self.out, rows);
        }
    }
}
