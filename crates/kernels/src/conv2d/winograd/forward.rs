//! Outputs from inputs, a block of tiles at a time.
//!
//! The points of a block of tiles and the products lie in memory that the second-level cache holds,
//! if the channels allow: transform, multiply, transform back, block after block.

use super::Size;
use super::planes::{Gather, Scatter, Scratch, Side, gather_all};
use super::tiles::{Pixels, Tiles};
use crate::conv2d::taps::{TapWeights, Taps};
use crate::disjoint::DisjointMut;
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::block::{Batch, Block, Next};
use crate::gemm::store::Store;
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level};

/// Elements of the points and the products of a block: a little over half of a second-level cache of 1 MB.
const BLOCK_ELEMENTS: usize = 160 << 10;

/// Tiles of a block are a multiple of this, which the heights of most tiles of a product divide.
const MULTIPLE: usize = 12;

/// The most tiles of a block, and the tiles if the weights come from beyond the second-level cache: then
/// reading them seldom is worth more than keeping the block there.
const MAX_TILES: usize = 48;

/// Points of the weights that the second-level cache holds.
pub(super) const SECOND_LEVEL: usize = 192 << 10;

/// Blocks to have, so that several threads find work; fewer are cut further.
const TASKS: usize = 8;

/// Multiply-adds that are worth a task.
const TASK: usize = 3_000_000;

/// The most tiles of a block, for so many channels of a group.
pub(super) fn block_of(size: Size, inputs: usize, outputs: usize) -> usize {
    if size.points() * inputs * outputs > SECOND_LEVEL {
        return MAX_TILES;
    }
    let fitting = BLOCK_ELEMENTS / (size.points() * (inputs + outputs));
    (fitting / MULTIPLE * MULTIPLE).clamp(MULTIPLE, MAX_TILES)
}

/// Tiles of a block.
pub(super) fn block_tiles(size: Size, taps: &Taps) -> usize {
    let (tiles, square) = {
        let tiles = Tiles::of(taps, size);
        (tiles.len(), tiles.per_square().max(1))
    };
    let most = block_of(size, taps.k_len(), taps.columns()).next_multiple_of(square);
    // A few tiles more are better than a block of a few tiles.
    if tiles <= most + most / 4 {
        tiles
    } else {
        most
    }
}

/// Computes the outputs of `taps`, whose weights' points are `weights`.
pub(in crate::conv2d) fn run(
    level: Level,
    size: Size,
    taps: &Taps,
    weights: &TapWeights,
    x: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    let zeros = Buffer::zeroed(taps.k_len())?;
    let pass = Forward {
        level,
        size,
        taps,
        weights,
        epilogue,
        tiles: Tiles::of(taps, size),
        pixels: Pixels {
            data: x,
            size: taps.in_size,
            channels: taps.in_channels,
            zeros: &zeros,
        },
    };
    pass.run(y)
}

/// The pass over all tiles.
struct Forward<'a> {
    level: Level,
    size: Size,
    taps: &'a Taps,
    weights: &'a TapWeights,
    epilogue: &'a Epilogue<'a>,
    tiles: Tiles,
    pixels: Pixels<'a>,
}

impl Forward<'_> {
    fn run(&self, y: &mut [f32]) -> Result<(), KernelError> {
        let y = pixels_of(self.taps, y);
        let blocks = Cut::every(self.tiles.len(), block_tiles(self.size, self.taps));
        let parts = TASKS.div_ceil(blocks.tasks().max(1));
        parallel::try_for_each(blocks.tasks(), |task| {
            // Pixels hold the channels of all groups, so a task has all groups of its pixels.
            (0..self.taps.groups)
                .try_for_each(|group| self.block(group, blocks.range(task), parts, &y))
        })
    }

    /// Some tiles of one group, each step of which is cut into at most `parts` tasks.
    fn block(
        &self,
        group: usize,
        tiles: Range<usize>,
        parts: usize,
        y: &DisjointMut<'_, f32>,
    ) -> Result<(), KernelError> {
        let (taps, size, count) = (self.taps, self.size, tiles.len());
        let (k_len, width) = (taps.k_len(), self.weights.panels.padded_columns());
        let work = size.points() * count * k_len * width;
        let parts = parts.min(work / TASK + 1);
        let per_part = Cut::every(count, count.div_ceil(parts));

        let mut inputs = Buffer::recycled(size.points() * count * k_len)?;
        let gather = Gather {
            size,
            side: Side::Inputs,
            tiles: &self.tiles,
            pixels: self.pixels,
            channels: group * k_len..(group + 1) * k_len,
            width: k_len,
        };
        gather_all(
            self.level,
            &tiles,
            parts,
            std::iter::once(gather),
            &mut inputs,
        )?;

        let mut sums = Buffer::recycled(size.points() * count * width)?;
        self.multiply(group, count, parts, &inputs, &mut sums);

        let channels = group * taps.columns()..(group + 1) * taps.columns();
        let scatter = Scatter {
            size,
            tiles: &self.tiles,
            points: &sums,
            row_len: count * width,
            width,
            channels,
            pixel: taps.out_channels,
            epilogue: self.epilogue,
        };
        let squares = Cut::every(
            count,
            per_part
                .per_task()
                .next_multiple_of(self.tiles.per_square()),
        );
        parallel::try_for_each(squares.tasks(), |part| {
            let part = squares.range(part);
            let mut scratch = Scratch::new()?;
            let part = tiles.start + part.start..tiles.start + part.end;
            scatter.run(self.level, part, tiles.start, &mut scratch, y);
            Ok(())
        })
    }

    /// The products of all points, cut into panels and, if there are too few, into runs of points.
    fn multiply(&self, group: usize, count: usize, parts: usize, inputs: &[f32], sums: &mut [f32]) {
        let (points, k_len) = (self.size.points(), self.taps.k_len());
        let panels = &self.weights.panels;
        let width = panels.padded_columns();
        let weights = &self.weights.data[group * points * k_len * width..];
        let runs = Cut::every(points, points.div_ceil(parts.div_ceil(panels.count())));
        let sums = DisjointMut::rows(sums, width);
        let panels_per_task = Cut::every(panels.count(), panels.count().div_ceil(parts));
        parallel::for_each(panels_per_task.tasks() * runs.tasks(), |task| {
            let run = runs.range(task % runs.tasks());
            for panel in panels_per_task.range(task / runs.tasks()) {
                let panel = panels.panel(panel);
                let lanes = self.level.lanes();
                let columns =
                    panel.first_vector * lanes..(panel.first_vector + panel.vectors) * lanes;
                let (a_step, b_step) = (count * k_len, columns.len() * k_len);
                let packed = panels.packed_range(&panel, points * k_len);
                let block = Block {
                    a: &inputs[run.start * a_step..],
                    a_stride: k_len,
                    k_len,
                    b: &weights[packed.start + run.start * b_step..packed.start + run.end * b_step],
                    next: Next::Panel(&weights[packed.start + run.end * b_step..]),
                    store: Store::new(&Epilogue::NONE, false, 0, &columns, width),
                    rows: 0..count,
                    batch: Batch {
                        count: run.len(),
                        a_step,
                        b_step,
                        out_step: count,
                    },
                };
                let mut out = sums.tile(run.start * count..run.end * count, columns);
                block.run_on_tiles(self.level, panel.vectors, &mut out);
            }
        });
    }
}

/// The output, whose cells are pixels.
pub(super) fn pixels_of<'y>(taps: &Taps, y: &'y mut [f32]) -> DisjointMut<'y, f32> {
    let pixel = taps.out_channels;
    DisjointMut::cells(y, taps.out_size[1] * pixel, pixel)
}
