//! Outputs from inputs and weights that are used once.
//!
//! The points of large weights are several times what the weights are, and writing them to memory and reading them again
//! takes longer than the products of a few tiles. Here a task has the columns of a panel: it makes the points of some terms
//! of it in the second-level cache, multiplies all tiles with them, adds up, and ends with the outputs.

use super::Size;
use super::forward::pixels_of;
use super::planes::{Gather, Scatter, Scratch, Side, gather_all, transform_weights};
use super::tiles::{Pixels, Tiles};
use crate::conv2d::pack::pack_panel;
use crate::conv2d::taps::{Dense, Taps};
use crate::disjoint::DisjointMut;
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::block::{Batch, Block, Next};
use crate::gemm::panels::{Panel, Panels};
use crate::gemm::store::Store;
use crate::gemm::tile::MAX_VECTORS;
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level};

/// Elements of the points of the weights and of the sums of a panel that are near at a time.
const ELEMENTS: usize = 160 << 10;

/// Elements of the points of all weights from which on they are better made near: fewer stay in the caches.
const LARGE: usize = 1 << 20;

/// Tasks that the tiles are cut into, and multiply-adds that are worth one.
const TASKS: usize = 8;
const TASK: usize = 3_000_000;

/// Whether the tiles are so few, and the weights so many, that [`run_dense`] is the way.
pub(in crate::conv2d) fn suits_dense(level: Level, size: Size, taps: &Taps) -> bool {
    let (tiles, width) = (Tiles::of(taps, size).len(), MAX_VECTORS * level.lanes());
    size.points() * taps.k_len() * taps.columns() >= LARGE
        && (1..=ELEMENTS / (size.points() * width)).contains(&tiles)
}

/// Computes the outputs of `taps` from dense weights.
pub(in crate::conv2d) fn run_dense(
    level: Level,
    size: Size,
    taps: &Taps,
    weights: Dense<'_>,
    x: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    let (tiles, k_len) = (Tiles::of(taps, size), taps.k_len());
    let panels = Panels::choose(level, tiles.len(), taps.columns());
    let lanes = level.lanes();
    let terms = ELEMENTS / (size.points() * panels.panel(0).vectors * lanes);
    let zeros = Buffer::zeroed(k_len)?;
    let pass = Pass {
        level,
        size,
        taps,
        weights,
        terms: Cut::every(k_len, (terms / lanes * lanes).max(lanes)),
        epilogue,
        tiles,
        pixels: Pixels {
            data: x,
            size: taps.in_size,
            channels: taps.in_channels,
            zeros: &zeros,
        },
    };
    let y = pixels_of(taps, y);
    let mut inputs = Buffer::recycled(size.points() * tiles.len() * k_len)?;
    for group in 0..taps.groups {
        pass.gather(group, &panels, &mut inputs)?;
        parallel::try_for_each(panels.count(), |panel| {
            pass.panel(group, &panels.panel(panel), &inputs, &y)
        })?;
    }
    Ok(())
}

/// The pass over all tiles.
struct Pass<'a> {
    level: Level,
    size: Size,
    taps: &'a Taps,
    weights: Dense<'a>,
    /// The input channels whose terms are added up at a time.
    terms: Cut,
    epilogue: &'a Epilogue<'a>,
    tiles: Tiles,
    pixels: Pixels<'a>,
}

impl Pass<'_> {
    /// The points of the inputs of a group, as `[block of terms][point][tile][channel]`.
    fn gather(&self, group: usize, panels: &Panels, inputs: &mut [f32]) -> Result<(), KernelError> {
        let k_len = self.taps.k_len();
        let gathers = (0..self.terms.tasks()).map(|block| {
            let terms = self.terms.range(block);
            Gather {
                size: self.size,
                side: Side::Inputs,
                tiles: &self.tiles,
                pixels: self.pixels,
                channels: group * k_len + terms.start..group * k_len + terms.end,
                width: terms.len(),
            }
        });
        let work = inputs.len() * panels.padded_columns();
        let parts = TASKS.min(work / TASK + 1);
        gather_all(self.level, &(0..self.tiles.len()), parts, gathers, inputs)
    }

    /// The outputs of all tiles in the columns of a panel.
    fn panel(
        &self,
        group: usize,
        panel: &Panel,
        inputs: &[f32],
        y: &DisjointMut<'_, f32>,
    ) -> Result<(), KernelError> {
        let (taps, points, count) = (self.taps, self.size.points(), self.tiles.len());
        let width = panel.vectors * self.level.lanes();
        let most = self.terms.per_task().min(taps.k_len()) * width;
        let mut by_tap = Buffer::recycled(taps.taps.len() * most)?;
        let mut weights = Buffer::recycled(points * most)?;
        let mut sums = Buffer::recycled(points * count * width)?;
        let mut scratch = Scratch::new()?;
        for terms in (0..self.terms.tasks()).map(|block| self.terms.range(block)) {
            let len = terms.len() * width;
            let by_tap = &mut by_tap[..taps.taps.len() * len];
            pack_panel(self.level, taps, self.weights, group, panel, &terms, by_tap);
            let mut lines: Vec<_> = weights[..points * len].chunks_exact_mut(len).collect();
            transform_weights(self.level, self.size, by_tap, &mut lines, &mut scratch);
            self.multiply(panel, &terms, inputs, &weights, &mut sums);
        }
        let first = group * taps.columns();
        let scatter = Scatter {
            size: self.size,
            tiles: &self.tiles,
            points: &sums,
            row_len: count * width,
            width,
            channels: first + panel.columns.start..first + panel.columns.end,
            pixel: taps.out_channels,
            epilogue: self.epilogue,
        };
        scatter.run(self.level, 0..count, 0, &mut scratch, y);
        Ok(())
    }

    /// Adds the products of some terms to `sums`, `[point][tile][channel of the panel]`.
    fn multiply(
        &self,
        panel: &Panel,
        terms: &Range<usize>,
        inputs: &[f32],
        weights: &[f32],
        sums: &mut [f32],
    ) {
        let (points, count) = (self.size.points(), self.tiles.len());
        let (len, width) = (terms.len(), panel.vectors * self.level.lanes());
        let add = terms.start > 0;
        let block = Block {
            a: &inputs[points * count * terms.start..],
            a_stride: len,
            k_len: len,
            b: weights,
            next: Next::Rows,
            store: Store::new(&Epilogue::NONE, add, 0, &(0..width), width),
            rows: 0..count,
            batch: Batch {
                count: points,
                a_step: count * len,
                b_step: len * width,
                out_step: count,
            },
        };
        let sums = DisjointMut::rows(sums, width);
        let mut out = sums.tile(0..points * count, 0..width);
        block.run_on_tiles(self.level, panel.vectors, &mut out);
    }
}
