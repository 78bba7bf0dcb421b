//! The tiles that an output is cut into, and the pixels they read.

use super::Size;
use crate::array::array;
use crate::conv2d::taps::Taps;
use std::ops::Range;

/// The tiles of all images. The pixels of a dilated convolution whose coordinates have the same
/// remainders by the dilation, a phase, see only each other, and a tile is one of theirs. The tiles of all
/// phases that share a square of the grid have consecutive numbers: a square is what a task writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    batch: usize,
    /// Squares of an image, down and across.
    count: [usize; 2],
    /// Remainders along either axis.
    phases: [usize; 2],
    /// Outputs of a tile along either axis.
    side: usize,
    /// Pixels between neighbours, in the input and in the grid of outputs.
    pub(super) step: [usize; 2],
    /// Pixels of the grid.
    grid: [usize; 2],
    /// The first input pixel of a tile, relative to its first pixel of the grid.
    offset: [isize; 2],
    /// Where the grid begins in an output image.
    out_start: [usize; 2],
    /// Output pixels between neighbours.
    pub(super) out_step: [usize; 2],
    /// Pixels of an output image.
    pub(super) out_size: [usize; 2],
}

impl Tiles {
    /// The tiles of `size`.
    pub(super) fn of(taps: &Taps, size: Size) -> Self {
        let (side, step) = (size.outputs(), tap_distance(taps, size.taps()));
        Self {
            batch: taps.batch,
            count: [0, 1].map(|axis| taps.grid[axis].div_ceil(step[axis] * side)),
            phases: [0, 1].map(|axis| step[axis].min(taps.grid[axis])),
            side,
            step,
            grid: taps.grid,
            offset: [0, 1].map(|axis| match size {
                // The first pixel is padding.
                Size::TwoOfImage => 0,
                _ => taps.taps[0].offset[axis],
            }),
            out_start: taps.out_start,
            out_step: [0, 1].map(|axis| step[axis] * taps.out_step[axis]),
            out_size: taps.out_size,
        }
    }

    /// The number of tiles.
    pub(super) fn len(&self) -> usize {
        self.batch * self.count[0] * self.count[1] * self.per_square()
    }

    /// The tiles of a square.
    pub(super) fn per_square(&self) -> usize {
        self.phases[0] * self.phases[1]
    }

    /// The tile number `index`.
    #[inline]
    pub(super) fn tile(&self, index: usize) -> Tile {
        let ([down, across], [_, columns]) = (self.count, self.phases);
        let (square, phase) = (index / self.per_square(), index % self.per_square());
        let at = [square / across % down, square % across];
        let phase = [phase / columns, phase % columns];
        Tile {
            image: square / across / down,
            first: array(|axis| phase[axis] + at[axis] * self.side * self.step[axis]),
        }
    }

    /// The first input pixel of a tile.
    #[inline]
    pub(super) fn input(&self, tile: &Tile) -> [usize; 2] {
        array(|axis| tile.first[axis].wrapping_add_signed(self.offset[axis]))
    }

    /// The first output pixel of a tile.
    #[inline]
    pub(super) fn output(&self, tile: &Tile) -> [usize; 2] {
        array(|axis| self.output_of(axis, tile.first[axis]))
    }

    /// The output pixel of a pixel of the grid.
    #[inline]
    fn output_of(&self, axis: usize, at: usize) -> usize {
        self.out_start[axis] + at * (self.out_step[axis] / self.step[axis])
    }

    /// Outputs of a tile that exist, down and across: maybe none.
    #[inline]
    pub(super) fn outputs(&self, tile: &Tile) -> [usize; 2] {
        array(|axis| {
            let pixels = self.grid[axis].saturating_sub(tile.first[axis]);
            pixels.div_ceil(self.step[axis]).min(self.side)
        })
    }

    /// Lines and columns of an output image, from the first to behind the last, that some squares of one
    /// line cover.
    pub(super) fn covered(&self, squares: &Range<usize>) -> [Range<usize>; 2] {
        let [first, last] = [squares.start, squares.end - 1].map(|index| self.tile(index).first);
        [0, 1].map(|axis| {
            let side = self.side * self.step[axis];
            let end = ((last[axis] / side + 1) * side).min(self.grid[axis]);
            self.output_of(axis, first[axis])..self.output_of(axis, end - 1) + 1
        })
    }

    /// `range`, of whole squares, cut into pieces of one line of squares each.
    pub(super) fn lines(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let across = self.count[1] * self.per_square();
        let mut start = range.start;
        std::iter::from_fn(move || {
            let line = start..(start + across - start % across).min(range.end);
            start = line.end;
            (!line.is_empty()).then_some(line)
        })
    }
}

/// Whether the pixels of a phase that three by three taps read and compute are an image of at most two by two, around
/// which there is padding.
pub(super) fn are_images_of_two(taps: &Taps) -> bool {
    let step = tap_distance(taps, 3);
    (0..2).all(|axis| {
        let before = taps.taps[0].offset[axis].checked_add_unsigned(step[axis]);
        let pixels = taps.in_size[axis].max(taps.grid[axis]);
        before == Some(0) && pixels.div_ceil(step[axis].max(1)) <= 2
    })
}

/// Pixels between neighbouring taps of a kernel of `side` by `side`.
pub(super) fn tap_distance(taps: &Taps, side: usize) -> [usize; 2] {
    let offset = |tap: usize, axis: usize| taps.taps[tap].offset[axis];
    [
        offset(side, 0).abs_diff(offset(0, 0)),
        offset(1, 1).abs_diff(offset(0, 1)),
    ]
}

/// One tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    pub(super) image: usize,
    /// Its first pixel of the grid.
    pub(super) first: [usize; 2],
}

/// Channels-last images, surrounded by zeros.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pixels<'a> {
    pub(super) data: &'a [f32],
    /// Pixels of an image.
    pub(super) size: [usize; 2],
    /// Channels of a pixel.
    pub(super) channels: usize,
    /// What lies outside: at least as long as what is read of a pixel.
    pub(super) zeros: &'a [f32],
}

impl<'a> Pixels<'a> {
    /// Some channels of a pixel.
    #[inline(always)]
    pub(super) fn get(
        &self,
        image: usize,
        [y, x]: [usize; 2],
        channels: Range<usize>,
    ) -> &'a [f32] {
        let [h, w] = self.size;
        if y >= h || x >= w {
            return &self.zeros[..channels.len()];
        }
        let start = ((image * h + y) * w + x) * self.channels + channels.start;
        &self.data[start..start + channels.len()]
    }
}
