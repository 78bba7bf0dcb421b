//! Channels of small groups, spread over the lanes of vectors.
//!
//! With four channels a group, a vector of sixteen output channels needs, for each of the four input
//! channels of a group, the vector whose lanes repeat that channel of their own group:
//!
//! ```text
//! output lanes     a0 a1 a2 a3  b0 b1 b2 b3  ...
//! input channel 0  a0 a0 a0 a0  b0 b0 b0 b0  ...
//! input channel 1  a1 a1 a1 a1  b1 b1 b1 b1  ...
//! ```
//!
//! Such vectors are made once per input pixel, and every tap then multiplies whole vectors. They are
//! kept for the few input rows under the kernel, in a ring that stays in the first-level cache.
//! Lanes see the channels of their own group only: what is not a number stays in its group.

use super::taps::{Reduce, Taps};
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::gemm::panels::tile_runs;
use crate::parallel;
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd};

/// Elements of the ring that leave room for weights in a first-level cache of 32 KB.
const RING: usize = 6 << 10;

/// Elements of the ring at most: half of a second-level cache of 512 KB.
const MAX_RING: usize = 1 << 16;

/// Vectors of input channels that a block reads at most.
const MAX_SOURCES: usize = 4;

/// A convolution of small groups, cut into blocks of as many groups as fill a vector.
#[derive(Debug)]
pub(super) struct Lanes<'a> {
    pub(super) taps: &'a Taps,
    lanes: usize,
    /// Groups of a block.
    block_groups: usize,
    /// The first row and column that a tap of pixel `[0, 0]` reads.
    origin: [isize; 2],
    /// Rows and columns between the first and the last tap.
    span: [usize; 2],
    /// The taps, a row of neighbours at a time.
    pub(super) runs: Vec<Run>,
    /// For each input channel of a group and each lane, the input channel of the block that it
    /// repeats, as the bits of an integer.
    sources: Vec<f32>,
}

/// Taps that are neighbours in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Their row and the first of their columns, counted from the origin.
    pub(super) row: usize,
    pub(super) column: usize,
    /// The first of them, and their number.
    pub(super) tap: usize,
    pub(super) count: usize,
}

/// Some columns of the output, a whole number of tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strip {
    pub(super) height: usize,
    pub(super) columns: Range<usize>,
}

impl<'a> Lanes<'a> {
    /// The cut, if a vector holds several groups and the ring is small enough.
    pub(super) fn new(level: Level, taps: &'a Taps) -> Option<Self> {
        let lanes = level.lanes();
        if taps.groups == 1 || 2 * taps.columns() > lanes || taps.taps.is_empty() {
            return None;
        }
        let block_groups = lanes / taps.columns();
        if block_groups * taps.k_len() > MAX_SOURCES * lanes {
            return None;
        }
        let bounds = [0, 1].map(|axis| {
            let offsets = || taps.taps.iter().map(|tap| tap.offset[axis]);
            (offsets().min().unwrap_or(0), offsets().max().unwrap_or(0))
        });
        let origin = bounds.map(|(first, _)| first);
        let span = bounds.map(|(first, last)| last.abs_diff(first) + 1);
        let mut runs: Vec<Run> = Vec::new();
        for (at, tap) in taps.taps.iter().enumerate() {
            let [row, column] = [0, 1].map(|axis| tap.offset[axis].abs_diff(origin[axis]));
            match runs.last_mut() {
                Some(run) if run.row == row && run.column + run.count == column => run.count += 1,
                _ => runs.push(Run {
                    row,
                    column,
                    tap: at,
                    count: 1,
                }),
            }
        }
        let (k_len, columns) = (taps.k_len(), taps.columns());
        let source = |i: usize| f32::from_bits((i % lanes / columns * k_len + i / lanes) as u32);
        let sources = (0..k_len * lanes).map(source).collect();
        let plan = Self {
            taps,
            lanes,
            block_groups,
            origin,
            span,
            runs,
            sources,
        };
        let smallest = span[0]
            .checked_mul(span[1])?
            .checked_mul(plan.pixel_len())?;
        (smallest <= MAX_RING).then_some(plan)
    }

    /// The number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.taps.groups.div_ceil(self.block_groups)
    }

    fn groups(&self, block: usize) -> Range<usize> {
        let first = block * self.block_groups;
        first..(first + self.block_groups).min(self.taps.groups)
    }

    /// The input channels of a block.
    pub(super) fn inputs(&self, block: usize) -> Range<usize> {
        let groups = self.groups(block);
        groups.start * self.taps.k_len()..groups.end * self.taps.k_len()
    }

    /// The output channels of a block.
    pub(super) fn outputs(&self, block: usize) -> Range<usize> {
        let groups = self.groups(block);
        groups.start * self.taps.columns()..groups.end * self.taps.columns()
    }

    /// Elements of an input pixel in the ring.
    pub(super) fn pixel_len(&self) -> usize {
        self.taps.k_len() * self.lanes
    }

    /// Elements of the weights of a block.
    pub(super) fn block_len(&self) -> usize {
        self.taps.taps.len() * self.pixel_len()
    }

    /// Elements of a row of the ring, for a strip of `columns` columns.
    fn row_len(&self, columns: usize) -> usize {
        ((columns - 1) * self.taps.stride[1] + self.span[1]) * self.pixel_len()
    }

    /// Cuts the columns of the grid into whole tiles of `level`, a few at a time.
    pub(super) fn tile_strips(&self, level: Level) -> Vec<Strip> {
        let runs = tile_runs(level, self.taps.grid[1], 1);
        runs.flat_map(|(height, run)| self.strips(height, run))
            .collect()
    }

    /// Cuts `columns` into strips of multiples of `height`, whose ring stays in the first-level cache
    /// if it can.
    pub(super) fn strips(&self, height: usize, columns: Range<usize>) -> Vec<Strip> {
        let fits = |&tiles: &usize| self.span[0] * self.row_len(tiles * height) <= RING;
        let tiles = (1..=columns.len() / height)
            .take_while(fits)
            .last()
            .unwrap_or(1);
        let count = columns.len().div_ceil(tiles * height);
        let width = columns.len().div_ceil(count).next_multiple_of(height);
        let end = columns.end;
        let strip = |first| Strip {
            height,
            columns: first..(first + width).min(end),
        };
        columns.step_by(width).map(strip).collect()
    }

    /// A ring for the widest of the strips.
    pub(super) fn ring(&self, strips: &[Strip]) -> Result<Buffer<f32>, KernelError> {
        let row = strips
            .iter()
            .map(|strip| self.row_len(strip.columns.len()))
            .max()
            .unwrap_or(0);
        Ok(Buffer::recycled(self.span[0] * row)?)
    }

    /// Arranges dense `[out, in / groups, kernel]` weights as `[block][tap][channel][lane]`, with
    /// zeros in the lanes beyond the last group.
    pub(super) fn pack(&self, reduce: Reduce, weight: &[f32]) -> Result<Buffer<f32>, KernelError> {
        let mut packed = Buffer::zeroed(self.blocks() * self.block_len())?;
        parallel::for_each_chunk(&mut packed, self.block_len(), |block, packed| {
            self.for_each_weight(block, weight.len(), reduce, |at, source| {
                packed[at] = weight[source];
            });
        });
        Ok(packed)
    }

    /// The inverse of packing for the forward pass.
    pub(super) fn unpack(&self, packed: &[f32], weight: &mut [f32]) {
        let len = weight.len();
        let pieces = DisjointMut::new(weight);
        parallel::for_each(self.blocks(), |block| {
            let packed = &packed[block * self.block_len()..];
            let per_channel = len / self.taps.out_channels;
            let outputs = self.outputs(block);
            let first = outputs.start * per_channel;
            let mut weight = pieces.range(first..outputs.end * per_channel);
            self.for_each_weight(block, len, Reduce::Inputs, |at, source| {
                weight[source - first] = packed[at];
            });
        });
    }

    /// Calls `f(packed, dense)` with the places of every weight of a block.
    fn for_each_weight(
        &self,
        block: usize,
        len: usize,
        reduce: Reduce,
        mut f: impl FnMut(usize, usize),
    ) {
        let taps = self.taps;
        let (k_len, columns) = (taps.k_len(), taps.columns());
        let kernel = len / (taps.groups * k_len * columns);
        for (lane, output) in self.outputs(block).enumerate() {
            let (group, column) = (output / columns, output % columns);
            for k in 0..k_len {
                let (outer, inner, inners) = match reduce {
                    Reduce::Inputs => (column, k, k_len),
                    Reduce::Outputs => (k, column, columns),
                };
                let dense = (group * k_len * columns + outer * inners + inner) * kernel;
                for (t, tap) in taps.taps.iter().enumerate() {
                    f((t * k_len + k) * self.lanes + lane, dense + tap.index);
                }
            }
        }
    }
}

/// The input rows under the kernel, spread over lanes, for one strip of one block.
pub(super) struct Ring<'a, 'r> {
    plan: &'a Lanes<'a>,
    /// The rows of one image.
    image: &'a [f32],
    channels: Range<usize>,
    /// The first column of the strip in the grid, and the number of columns.
    first: usize,
    rows: &'r mut [f32],
    row_len: usize,
    /// The first row, counted from the origin, that has not been spread yet.
    next: usize,
    /// Where the ring holds the first row that the current row of the grid reads.
    start: usize,
}

impl<'a, 'r> Ring<'a, 'r> {
    pub(super) fn new(
        plan: &'a Lanes<'a>,
        image: &'a [f32],
        block: usize,
        columns: &Range<usize>,
        rows: &'r mut [f32],
    ) -> Self {
        Self {
            plan,
            image,
            channels: plan.inputs(block),
            first: columns.start,
            row_len: plan.row_len(columns.len()),
            rows,
            next: 0,
            start: 0,
        }
    }

    /// Brings the rows that row `y` of the grid reads into the ring. `y` never decreases.
    #[inline(always)]
    pub(super) fn advance<S: Simd>(&mut self, s: S, y: usize) {
        let first = y * self.plan.taps.stride[0];
        let last = first + self.plan.span[0];
        for row in self.next.max(first)..last {
            self.spread(s, row);
        }
        self.next = last;
        self.start = first % self.plan.span[0];
    }

    /// What the taps of a run read, for the pixels from column `x` of the strip on in the row that the
    /// ring was brought to.
    #[inline(always)]
    pub(super) fn at(&self, x: usize, run: &Run) -> &[f32] {
        let row = self.start + run.row;
        let row = if row < self.plan.span[0] {
            row
        } else {
            row - self.plan.span[0]
        };
        let column = x * self.plan.taps.stride[1] + run.column;
        &self.rows[row * self.row_len + column * self.plan.pixel_len()..]
    }

    /// Spreads the row that lies `row` below the origin.
    #[inline(always)]
    fn spread<S: Simd>(&mut self, s: S, row: usize) {
        let taps = self.plan.taps;
        let ([h, w], k_len) = (taps.in_size, taps.k_len());
        let start = row % self.plan.span[0] * self.row_len;
        let out = &mut self.rows[start..start + self.row_len];
        let y = row.wrapping_add_signed(self.plan.origin[0]);
        if y >= h {
            out.fill(0.0);
            return;
        }
        // The columns that lie inside the image.
        let first = (self.first * taps.stride[1]) as isize + self.plan.origin[1];
        let columns = self.row_len / self.plan.pixel_len();
        let left = first.min(0).unsigned_abs().min(columns);
        let right = (w as isize - first).max(0).unsigned_abs().min(columns);
        let (out, outside) = out.split_at_mut(right.max(left) * self.plan.pixel_len());
        let (before, out) = out.split_at_mut(left * self.plan.pixel_len());
        before.fill(0.0);
        outside.fill(0.0);
        if out.is_empty() {
            return;
        }
        let start = (y * w).wrapping_add_signed(first + left as isize) * taps.in_channels;
        let pixels = Pixels {
            data: &self.image[start + self.channels.start..],
            len: taps.in_channels,
            inputs: self.channels.len(),
        };
        pixels.spread(s, k_len, &self.plan.sources, out);
    }
}

/// Consecutive pixels of an image, of which the first channels are spread.
struct Pixels<'a> {
    data: &'a [f32],
    /// Elements of a pixel.
    len: usize,
    /// Channels to spread.
    inputs: usize,
}

impl Pixels<'_> {
    /// Spreads every pixel to `k_len` vectors. Compiled once for all tiles of a level.
    #[inline(never)]
    fn spread<S: Simd>(&self, s: S, k_len: usize, sources: &[f32], out: &mut [f32]) {
        s.vectorize(
            #[inline(always)]
            || match k_len {
                2 if self.inputs <= S::LANES => self.run::<S, 2>(s, sources, out),
                3 if self.inputs <= S::LANES => self.run::<S, 3>(s, sources, out),
                4 if self.inputs <= S::LANES => self.run::<S, 4>(s, sources, out),
                5 if self.inputs <= S::LANES => self.run::<S, 5>(s, sources, out),
                6 if self.inputs <= S::LANES => self.run::<S, 6>(s, sources, out),
                8 if self.inputs <= S::LANES => self.run::<S, 8>(s, sources, out),
                _ => self.run_any(s, sources, out),
            },
        );
    }

    /// The usual numbers of channels, which fit a vector.
    #[inline(always)]
    fn run<S: Simd, const K: usize>(&self, s: S, sources: &[f32], out: &mut [f32]) {
        let index: [S::I32; K] = std::array::from_fn(
            #[inline(always)]
            |k| s.bits(s.load(&sources[k * S::LANES..])),
        );
        let pixels = self.data.chunks(self.len);
        for (pixel, out) in pixels.zip(out.chunks_exact_mut(K * S::LANES)) {
            let pixel = if self.inputs == S::LANES {
                s.load(pixel)
            } else {
                s.load_partial(&pixel[..self.inputs])
            };
            for k in 0..K {
                s.store(s.permute(pixel, index[k]), &mut out[k * S::LANES..]);
            }
        }
    }

    /// Any number of channels.
    #[inline(always)]
    fn run_any<S: Simd>(&self, s: S, sources: &[f32], out: &mut [f32]) {
        let pixels = self.data.chunks(self.len);
        for (pixel, out) in pixels.zip(out.chunks_exact_mut(sources.len())) {
            let vectors = sources.chunks_exact(S::LANES);
            for (sources, out) in vectors.zip(out.chunks_exact_mut(S::LANES)) {
                let index = s.bits(s.load(sources));
                let mut sum = s.splat(0.0);
                for (v, inputs) in pixel[..self.inputs].chunks(S::LANES).enumerate() {
                    let here = s.permute(s.load_partial(inputs), index);
                    let before = s.splat_i32((v * S::LANES) as i32 - 1);
                    sum = s.select(s.gt_i32(index, before), here, sum);
                }
                s.store(sum, out);
            }
        }
    }
}
