//! The gradient of the weights.
//!
//! ```text
//! dU[p] = sum over tiles of (B^T x B)[p]^T * (A dy A^T)[p],    dw = G^T dU G
//! ```
//!
//! The tiles are cut into chunks that add up copies of `dU` of their own, block after block; the
//! copies are then added in pairs. The cut depends on the shape alone.

use super::Size;
use super::planes::{Gather, Scratch, Side, transform_weight_gradients};
use super::tiles::{Pixels, Tiles};
use crate::conv2d::OP;
use crate::conv2d::backward_weight::{Block, Run};
use crate::conv2d::copies::add_in_pairs;
use crate::conv2d::taps::{Reduce, TapWeights, Taps};
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::gemm::panels::Panels;
use crate::geometry::element_count;
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level};

/// Elements of the points of a block, in the second-level cache.
const BLOCK_ELEMENTS: usize = 160 << 10;

/// Tiles of a block: enough that adding a product to memory is cheap beside computing it.
const TILES: Range<usize> = 16..64;

/// Chunks to have if the work is large enough; fewer are cut further.
const TASKS: usize = 8;

/// Multiply-adds that are worth a task.
const TASK: usize = 3_000_000;

/// Computes the gradient of the weights of some taps, whose sum runs over one index of the dense
/// weights, from its input and the gradient of its output, both channels-last. Without pixels all of
/// `dweight` is cleared.
pub(in crate::conv2d) fn backward_weight(
    level: Level,
    size: Size,
    (taps, reduce): (&Taps, Reduce),
    x: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    let panels = Panels::choose(level, taps.k_len(), taps.columns());
    let zeros = Buffer::zeroed(taps.k_len().max(taps.columns()))?;
    let tiles = Tiles::of(taps, size);
    if tiles.len() == 0 {
        dweight.fill(0.0);
        return Ok(());
    }
    let pixels = |data, size, channels| Pixels {
        data,
        size,
        channels,
        zeros: &zeros,
    };
    let pass = Pass {
        level,
        size,
        taps,
        panels,
        x: pixels(x, taps.in_size, taps.in_channels),
        dy: pixels(dy, taps.out_size, taps.out_channels),
    };
    let copy_len = taps.groups * pass.group_len();
    let chunks = pass.chunks(tiles.len());
    let counts = [chunks.tasks(), copy_len];
    let mut copies = Buffer::recycled(element_count(OP, "copies of dweight", &counts)?)?;
    pass.accumulate(&tiles, &chunks, &mut copies)?;
    add_in_pairs(&mut copies, copy_len);
    pass.finish(&copies, reduce, dweight)
}

struct Pass<'a> {
    level: Level,
    size: Size,
    taps: &'a Taps,
    panels: Panels,
    x: Pixels<'a>,
    dy: Pixels<'a>,
}

impl Pass<'_> {
    /// Elements of the points of the weights of a group.
    fn group_len(&self) -> usize {
        self.size.points() * self.taps.k_len() * self.panels.padded_columns()
    }

    /// The chunks of the tiles.
    fn chunks(&self, tiles: usize) -> Cut {
        let points = self.size.points() * (self.taps.k_len() + self.panels.padded_columns());
        // Writing and reading the copies must stay cheap beside the points.
        let affordable = tiles * points / (2 * self.group_len());
        Cut::every(tiles, tiles.div_ceil(affordable.clamp(1, TASKS)))
    }

    fn accumulate(
        &self,
        tiles: &Tiles,
        chunks: &Cut,
        copies: &mut [f32],
    ) -> Result<(), KernelError> {
        let groups = self.taps.groups;
        let tasks = chunks.tasks() * groups;
        let parts = TASKS.div_ceil(tasks);
        let results = DisjointMut::new(copies);
        parallel::try_for_each(tasks, |task| {
            let (chunk, group) = (chunks.range(task / groups), task % groups);
            let start = task * self.group_len();
            let mut result = results.range(start..start + self.group_len());
            self.chunk(tiles, chunk, group, parts, &mut result)
        })
    }

    /// The sum over some tiles, for one group.
    fn chunk(
        &self,
        tiles: &Tiles,
        chunk: Range<usize>,
        group: usize,
        parts: usize,
        result: &mut [f32],
    ) -> Result<(), KernelError> {
        let (points, k_len) = (self.size.points(), self.taps.k_len());
        let width = self.panels.padded_columns();
        let fitting = BLOCK_ELEMENTS / (points * (k_len + width));
        let per_block = fitting.clamp(TILES.start, TILES.end).min(chunk.len());
        let work = points * per_block * k_len * width;
        let parts = parts.min(work / TASK + 1);
        let mut inputs = Buffer::recycled(points * per_block * k_len)?;
        // Columns beyond the last channel are never written.
        let mut gradients = Buffer::zeroed(points * per_block * width)?;
        for first in chunk.clone().step_by(per_block) {
            let block = first..(first + per_block).min(chunk.end);
            self.gather(
                tiles,
                block.clone(),
                group,
                parts,
                &mut inputs,
                &mut gradients,
            )?;
            self.multiply(
                block.len(),
                first > chunk.start,
                parts,
                &inputs,
                &gradients,
                result,
            );
        }
        Ok(())
    }

    /// Transforms a block of tiles: the inputs to `[point][tile][channel]`, the gradients to
    /// `[panel][point][tile][channel of the panel]`.
    fn gather(
        &self,
        tiles: &Tiles,
        block: Range<usize>,
        group: usize,
        parts: usize,
        inputs: &mut [f32],
        gradients: &mut [f32],
    ) -> Result<(), KernelError> {
        let (size, count) = (self.size, block.len());
        let (k_len, points) = (self.taps.k_len(), size.points());
        let gather = |side, pixels, channels, width| Gather {
            size,
            side,
            tiles,
            pixels,
            channels,
            width,
        };
        let cut = Cut::every(count, count.div_ceil(parts));
        let run = |gather: Gather<'_>, out: &mut [f32]| {
            let width = gather.width;
            let rows = DisjointMut::rows(out, count * width);
            parallel::try_for_each(cut.tasks(), |part| {
                let part = cut.range(part);
                let mut out = rows.tile(0..points, part.start * width..part.end * width);
                let part = block.start + part.start..block.start + part.end;
                gather.run(self.level, part, &mut Scratch::new()?, &mut out);
                Ok::<_, KernelError>(())
            })
        };
        let channels = group * k_len..(group + 1) * k_len;
        run(
            gather(Side::Inputs, self.x, channels, k_len),
            &mut inputs[..points * count * k_len],
        )?;
        for panel in (0..self.panels.count()).map(|index| self.panels.panel(index)) {
            let first = group * self.taps.columns();
            let channels = first + panel.columns.start..first + panel.columns.end;
            let out = &mut gradients[self.panels.packed_range(&panel, points * count)];
            let width = panel.vectors * self.level.lanes();
            run(gather(Side::Gradients, self.dy, channels, width), out)?;
        }
        Ok(())
    }

    /// Adds the products of a block to `result`, `[panel][point][input channel][channel of the panel]`.
    fn multiply(
        &self,
        count: usize,
        add: bool,
        parts: usize,
        inputs: &[f32],
        gradients: &[f32],
        result: &mut [f32],
    ) {
        let (points, k_len) = (self.size.points(), self.taps.k_len());
        let runs = Cut::every(points, points.div_ceil(parts.div_ceil(self.panels.count())));
        let panels = Cut::every(self.panels.count(), self.panels.count().div_ceil(parts));
        let run = [Run {
            x: 0,
            dy: 0,
            len: count,
        }];
        let result = DisjointMut::new(result);
        parallel::for_each(panels.tasks() * runs.tasks(), |task| {
            for panel in panels.range(task / runs.tasks()) {
                let panel = self.panels.panel(panel);
                let width = panel.vectors * self.level.lanes();
                let gradients = &gradients[self.panels.packed_range(&panel, points * count)];
                let start = self.panels.packed_range(&panel, points * k_len).start;
                for point in runs.range(task % runs.tasks()) {
                    let block = Block {
                        x: &inputs[point * count * k_len..],
                        channel: 0,
                        x_step: k_len,
                        runs: &run,
                        dy: &gradients[point * count * width..],
                        add,
                    };
                    let start = start + point * k_len * width;
                    let mut out = result.range(start..start + k_len * width);
                    block.run_on_tiles(self.level, panel.vectors, &mut out);
                }
            }
        });
    }

    /// The gradients of the weights from those of their points.
    fn finish(
        &self,
        copies: &[f32],
        reduce: Reduce,
        dweight: &mut [f32],
    ) -> Result<(), KernelError> {
        let (taps, panels) = (self.taps, &self.panels);
        let [rows, tap_rows] =
            [self.size.points(), taps.taps.len()].map(|lines| lines * taps.k_len());
        let by_group = panels.padded_columns() * tap_rows;
        let mut by_tap = Buffer::recycled(taps.groups * by_group)?;
        let pieces = DisjointMut::new(&mut by_tap);
        parallel::try_for_each(taps.groups * panels.count(), |task| {
            let group = task / panels.count();
            let panel = panels.panel(task % panels.count());
            let from = &copies[group * self.group_len()..][panels.packed_range(&panel, rows)];
            let to = panels.packed_range(&panel, tap_rows);
            let start = group * by_group;
            let mut to = pieces.range(start + to.start..start + to.end);
            transform_weight_gradients(self.level, self.size, from, &mut to, &mut Scratch::new()?);
            Ok::<_, KernelError>(())
        })?;
        drop(pieces);
        match reduce {
            Reduce::Inputs => TapWeights::unpack(self.level, taps, panels, &by_tap, dweight),
            Reduce::Outputs => TapWeights::unpack_by_outputs(taps, panels, &by_tap, dweight),
        }
        Ok(())
    }
}
