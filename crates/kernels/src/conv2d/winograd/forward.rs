//! Outputs from inputs, a block of tiles at a time.
//!
//! Where the second-level cache holds the points of the weights, blocks are so small that it holds their points and
//! products as well: transform, multiply, transform back, block after block. Larger weights are read once for many tiles,
//! whose points may lie beyond that cache.

use super::Size;
use super::narrow::Narrow;
use super::planes::{Gather, Scatter, Scratch, Side, gather_all};
use super::products::Products;
use super::tiles::{Pixels, Tiles};
use crate::conv2d::OP;
use crate::conv2d::taps::{TapWeights, Taps};
use crate::disjoint::DisjointMut;
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::geometry::GeometryError;
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level};

/// Elements of the points and the products of a block: a little over half of a second-level cache of 1 MB.
const BLOCK_ELEMENTS: usize = 160 << 10;

/// Tiles of a block are a multiple of this, which the heights of most tiles of a product divide.
const MULTIPLE: usize = 12;

/// The most tiles of a block whose weights are near.
const MAX_TILES: usize = 48;

/// Points of the weights, or of the tiles, that the second-level cache holds.
pub(super) const SECOND_LEVEL: usize = 192 << 10;

/// Elements of the points and the products of a block that memory always has room for, if the weights are far.
const FAR_ELEMENTS: usize = 4 << 20;

/// Blocks to have, so that several threads find work; fewer are cut further.
const TASKS: usize = 8;

/// Multiply-adds that are worth a task.
const TASK: usize = 3_000_000;

/// The fewest channels of a task that transforms back: some lines of memory.
const CHANNELS: usize = 64;

/// Whether the points of the weights of a group come from beyond the second-level cache.
pub(super) fn is_far(size: Size, [inputs, outputs]: [usize; 2]) -> bool {
    size.points() * inputs * outputs > SECOND_LEVEL
}

/// Tiles of a block, of `tiles` in squares of `square`, for so many channels of a group.
pub(super) fn block_of(size: Size, channels: [usize; 2], tiles: usize, square: usize) -> usize {
    let (square, [inputs, outputs]) = (square.max(1), channels);
    let per_tile = size.points() * (inputs + outputs);
    if is_far(size, channels) {
        // No more memory than that of the weights.
        let most = FAR_ELEMENTS.max(size.points() * inputs * outputs) / per_tile;
        let blocks = tiles.div_ceil(most.max(1)).max(1);
        return tiles.div_ceil(blocks).next_multiple_of(square);
    }
    let fitting = BLOCK_ELEMENTS / per_tile / MULTIPLE * MULTIPLE;
    let most = fitting.clamp(MULTIPLE, MAX_TILES).next_multiple_of(square);
    // A few tiles more are better than a block of a few tiles.
    if tiles <= most + most / 4 {
        tiles
    } else {
        most
    }
}

/// Tiles of a block.
pub(super) fn block_tiles(size: Size, taps: &Taps) -> usize {
    let tiles = Tiles::of(taps, size);
    let channels = [taps.k_len(), taps.columns()];
    block_of(size, channels, tiles.len(), tiles.per_square())
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
    if !size.suits(taps) {
        let rule = "the weights were packed for images of at most two pixels, once dilated";
        return Err(GeometryError::new(OP, "size", format!("{:?}", taps.in_size), rule).into());
    }
    if let Some(narrow) = Narrow::of(level, size, taps) {
        return narrow.run(taps, &weights.data, x, epilogue, y);
    }
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
        // Pixels hold the channels of all groups, so a task has all groups of its pixels.
        let block = |index: usize, parts: usize| {
            (0..self.taps.groups)
                .try_for_each(|group| self.block(group, blocks.range(index), parts, &y))
        };
        if is_far(self.size, [self.taps.k_len(), self.taps.columns()]) {
            return (0..blocks.tasks()).try_for_each(|index| block(index, TASKS));
        }
        let parts = TASKS.div_ceil(blocks.tasks().max(1));
        parallel::try_for_each(blocks.tasks(), |index| block(index, parts))
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
        let (points, k_len, panels) = (size.points(), taps.k_len(), &self.weights.panels);
        let width = panels.padded_columns();
        let parts = parts.min(points * count * k_len * width / TASK + 1);
        let products = Products::new(self.level, [points, count, k_len], parts);

        let mut inputs = Buffer::recycled(points * count * k_len)?;
        let gathers = (0..products.terms.tasks()).map(|piece| {
            let (first, terms) = (group * k_len, products.terms.range(piece));
            Gather {
                size,
                side: Side::Inputs,
                tiles: &self.tiles,
                pixels: self.pixels,
                channels: first + terms.start..first + terms.end,
                width: terms.len(),
            }
        });
        gather_all(self.level, &tiles, parts, gathers, &mut inputs)?;

        let mut sums = Buffer::recycled(points * count * width)?;
        let weights = &self.weights.data[group * points * k_len * width..];
        products.run(&inputs, weights, (panels, &self.weights.held), &mut sums);
        self.scatter(group, &tiles, parts, &sums, y)
    }

    /// The outputs of some tiles of one group from their points.
    fn scatter(
        &self,
        group: usize,
        tiles: &Range<usize>,
        parts: usize,
        sums: &[f32],
        y: &DisjointMut<'_, f32>,
    ) -> Result<(), KernelError> {
        let panels = &self.weights.panels;
        let (columns, width) = (self.taps.columns(), panels.padded_columns());
        let held = panels.columns_of(&self.weights.held);
        let square = self.tiles.per_square();
        let per_part = tiles.len().div_ceil(parts).next_multiple_of(square);
        let squares = Cut::every(tiles.len(), per_part);
        // A large dilation leaves few squares.
        let per_part = held.len().div_ceil(parts / squares.tasks().min(parts));
        let channels = Cut::every(held.len(), per_part.next_multiple_of(CHANNELS));
        parallel::try_for_each(squares.tasks() * channels.tasks(), |task| {
            let part = squares.range(task / channels.tasks());
            let channels = channels.range(task % channels.tasks());
            let channels = held.start + channels.start..held.start + channels.end;
            let first = group * columns;
            let scatter = Scatter {
                size: self.size,
                tiles: &self.tiles,
                points: &sums[channels.start..],
                row_len: tiles.len() * width,
                width,
                channels: first + channels.start..first + channels.end,
                pixel: self.taps.out_channels,
                epilogue: self.epilogue,
            };
            let part = tiles.start + part.start..tiles.start + part.end;
            scatter.run(self.level, part, tiles.start, &mut Scratch::new()?, y);
            Ok(())
        })
    }
}

/// The output, whose cells are pixels.
pub(super) fn pixels_of<'y>(taps: &Taps, y: &'y mut [f32]) -> DisjointMut<'y, f32> {
    let pixel = taps.out_channels;
    DisjointMut::cells(y, taps.out_size[1] * pixel, pixel)
}
