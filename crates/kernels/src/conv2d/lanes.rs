//! Channels of small groups on the lanes of vectors.
//!
//! The outputs that fill a vector belong to several groups, and each must meet every input channel of
//! its own group. Lanes are cut into wheels of a few outputs of one group. A vector of inputs has, on
//! every wheel, as many input channels of the wheel's group; it is multiplied once for each turn of
//! the wheel, into a sum of its own:
//!
//! ```text
//! inputs                 a0     a1     a2     a3    | b0 ...
//! sum 0 += inputs times  a0<-a0 a1<-a1 a2<-a2 a3<-a3 | b0<-b0 ...
//! sum 1 += inputs times  a1<-a0 a2<-a1 a3<-a2 a0<-a3 | b1<-b0 ...
//! ```
//!
//! Only after the last tap are the sums turned back and added up: the inner loop does nothing but load
//! and multiply whole vectors. A wheel of four needs no copies of the input channels when groups have
//! four of them, and a quarter as many as single lanes need when they have more.
//!
//! Lanes see the channels of their own group only: what is not a number stays in its group.

use super::predict::machine;
use super::ring::Source;
use super::taps::{Reduce, Tap, Taps};
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::gemm::lanewise::Terms;
use crate::gemm::tile::{MAX_VECTORS, heights, heights_of_neighbours, heights_of_terms};
use crate::parallel;
use std::ops::Range;
use striate_simd::{Buffer, Level};

/// Elements of the ring that leave room for weights in a first-level cache of 32 KB.
const RING: usize = 6 << 10;

/// Elements of the ring at most: half of a second-level cache of 512 KB.
const MAX_RING: usize = 1 << 16;

/// A convolution of small groups, or the remainders of one, cut into blocks of as many outputs as whole
/// wheels hold in a vector.
#[derive(Debug)]
pub(super) struct Lanes<'a> {
    /// Sums over the same input, which differ in their taps and in where their outputs lie.
    pub(super) phases: &'a [Taps],
    /// The first of them, for all that they have in common.
    pub(super) taps: &'a Taps,
    /// The rows and columns of the largest of them.
    pub(super) grid: [usize; 2],
    lanes: usize,
    /// Outputs of a wheel, all of one group.
    pub(super) wheel: usize,
    /// Vectors of inputs of a pixel and block: together their wheels hold all channels of a group.
    pub(super) sources: usize,
    /// Whether all lanes belong to one group, so that a vector of inputs is a pair of channels again and
    /// again, which can be read so from the channels in their order.
    pub(super) pairs: bool,
    /// The first row and column that a tap of pixel `[0, 0]` reads.
    pub(super) origin: [isize; 2],
    /// Rows and columns between the first and the last tap.
    pub(super) span: [usize; 2],
}

/// Some columns of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strip {
    pub(super) columns: Range<usize>,
    /// The columns of each line of a row of the ring that lie inside the image.
    pub(super) inside: Vec<Range<usize>>,
}

impl<'a> Lanes<'a> {
    /// The cut, if groups are narrow enough for it and the ring is small enough. It does not depend on
    /// the size of images.
    pub(super) fn new(level: Level, phases: &'a [Taps]) -> Option<Self> {
        let taps = phases.first()?;
        let (wheel, pairs) = choose_wheel(level, phases)?;
        let bounds = [0, 1].map(|axis| {
            let taps = || phases.iter().flat_map(|phase| &phase.taps);
            let offsets = || taps().map(|tap| tap.offset[axis]);
            (offsets().min().unwrap_or(0), offsets().max().unwrap_or(0))
        });
        let origin = bounds.map(|(first, _)| first);
        let span = bounds.map(|(first, last)| last.abs_diff(first) + 1);
        let grid = [0, 1].map(|axis| phases.iter().map(|phase| phase.grid[axis]).max());
        let plan = Self {
            phases,
            taps,
            grid: grid.map(Option::unwrap_or_default),
            lanes: level.lanes(),
            wheel,
            sources: taps.k_len().div_ceil(wheel),
            pairs,
            origin,
            span,
        };
        let smallest = span[0]
            .checked_mul(span[1].next_multiple_of(taps.stride[1]))?
            .checked_mul(plan.pixel_len())?;
        (smallest <= MAX_RING).then_some(plan)
    }

    /// Outputs of a block.
    fn block_outputs(&self) -> usize {
        self.lanes / self.wheel * self.wheel
    }

    /// The number of places of a group at which blocks begin, again and again in the same order.
    fn period(&self) -> usize {
        let (outputs, columns) = (self.block_outputs(), self.taps.columns());
        (1..columns)
            .find(|period| period * outputs % columns == 0)
            .unwrap_or(columns)
    }

    /// The number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.taps.out_channels.div_ceil(self.block_outputs())
    }

    /// The output channels of a block.
    pub(super) fn outputs(&self, block: usize) -> Range<usize> {
        let first = block * self.block_outputs();
        first..(first + self.block_outputs()).min(self.taps.out_channels)
    }

    /// The input channels of the groups that a block has outputs of.
    pub(super) fn inputs(&self, block: usize) -> Range<usize> {
        let (outputs, columns) = (self.outputs(block), self.taps.columns());
        let groups = outputs.start / columns..(outputs.end - 1) / columns + 1;
        groups.start * self.taps.k_len()..groups.end * self.taps.k_len()
    }

    /// Vectors of an input pixel in the ring.
    fn vectors(&self) -> usize {
        if self.pairs {
            self.taps.k_len().div_ceil(self.lanes)
        } else {
            self.sources
        }
    }

    /// Elements of an input pixel in the ring.
    fn pixel_len(&self) -> usize {
        self.vectors() * self.lanes
    }

    /// Elements of the weights of an input pixel of a block.
    fn tap_len(&self) -> usize {
        self.sources * self.lanes * self.wheel
    }

    /// Elements of the weights of a block of one of the phases.
    pub(super) fn block_len(&self, phase: &Taps) -> usize {
        phase.taps.len() * self.tap_len()
    }

    /// The phases that have pixels, each with its place among all.
    pub(super) fn present(&self) -> impl Iterator<Item = (usize, &'a Taps)> {
        let present = |(_, phase): &(usize, &Taps)| phase.pixels() > 0;
        self.phases.iter().enumerate().filter(present)
    }

    /// The columns that all phases which have pixels have.
    fn common_columns(&self) -> usize {
        let columns = self.present().map(|(_, phase)| phase.grid[1]);
        columns.min().unwrap_or(0)
    }

    /// Elements of a row of the ring, for a strip of `columns` columns.
    pub(super) fn row_len(&self, columns: usize) -> usize {
        self.line_columns(columns) * self.taps.stride[1] * self.pixel_len()
    }

    /// A row of the ring has a line for each remainder of its columns by the stride and each vector of
    /// a pixel, so that neighbours in the output read neighbours. The columns of a line.
    pub(super) fn line_columns(&self, columns: usize) -> usize {
        columns - 1 + self.span[1].div_ceil(self.taps.stride[1])
    }

    /// The cycles that the forward pass is predicted to take.
    pub(super) fn cycles(&self, level: Level) -> f64 {
        let [rows, columns] = self.grid;
        if rows * columns == 0 {
            return 0.0;
        }
        let height = self.height(level);
        let turns = machine::LANES_TURN * ((self.wheel - 1) * columns) as f64;
        let strips = self.strips(height);
        let tiles = strips
            .iter()
            .map(|strip| strip.columns.len().div_ceil(height));
        let tiles = tiles.sum::<usize>() as f64 * self.tile(height);
        let sums = (rows * self.phases.len()) as f64 * turns + rows as f64 * tiles;
        (self.taps.batch * self.blocks()) as f64 * (sums + self.copies(&strips))
    }

    /// The cycles in which a ring takes the lines of an image.
    fn copies(&self, strips: &[Strip]) -> f64 {
        let lines = ((self.grid[0] - 1) * self.taps.stride[0] + self.span[0]) as f64;
        let [copy, search] = machine::LANES_COPY;
        let vector = copy + search * self.searched() as f64;
        let line = |strip: &Strip| {
            let vectors = self.row_len(strip.columns.len()) / self.lanes;
            machine::LANES_LINE + vector * vectors as f64
        };
        lines * strips.iter().map(line).sum::<f64>()
    }

    /// The cycles that the gradient of the weights is predicted to take.
    pub(super) fn gradient_cycles(&self, level: Level) -> f64 {
        let [rows, columns] = self.taps.grid;
        if rows * columns == 0 {
            return 0.0;
        }
        let height = self.gradient_height(level);
        let strips = self.strips(1);
        let tiles = (self.taps.taps.len() * self.sources).div_ceil(height) as f64;
        let rows_of_tiles = machine::LANES_SUM * (height * self.wheel) as f64;
        let tile = machine::TILE + rows_of_tiles;
        let sums = machine::LANES_STEP * step(height, self.wheel) * columns as f64;
        let turns = machine::LANES_TURN * ((self.wheel + 1) * columns) as f64;
        let row = tiles * (tile * strips.len() as f64 + sums) + turns;
        let weights = machine::LANES_WEIGHT * (self.blocks() * self.block_len(self.taps)) as f64;
        let passes = (self.taps.batch * self.blocks()) as f64;
        machine::GRADIENT + passes * (rows as f64 * row + self.copies(&strips)) + weights
    }

    /// How many vectors of weights the gradient sums at a time, for each turn of the wheel.
    pub(super) fn gradient_height(&self, level: Level) -> usize {
        let terms = self.taps.taps.len() * self.sources;
        // Eight multiply-adds are in flight at a time, whether or not there is so much to do.
        let cost = |height: usize| terms.div_ceil(height) * (height * self.wheel).max(8);
        heights_of_terms(level.name(), self.wheel)
            .iter()
            .copied()
            .min_by_key(|&height| cost(height))
            .unwrap_or(1)
    }

    /// Vectors of input channels that are searched for each vector of the ring: none if one has them all.
    fn searched(&self) -> usize {
        let inputs = self.inputs(0).len();
        let apart = inputs - self.taps.k_len() + self.wheel;
        if self.pairs || apart <= self.lanes && self.taps.k_len().is_multiple_of(self.wheel) {
            0
        } else {
            inputs.div_ceil(self.lanes)
        }
    }

    /// The cycles of a tile of so many pixels of each phase.
    fn tile(&self, height: usize) -> f64 {
        let (terms, count) = (count_taps(self.phases) * self.sources, self.phases.len());
        let sums = machine::LANES_STEP * terms as f64 * step(height, self.wheel);
        count as f64 * (machine::TILE + machine::ROW * height as f64) + sums
    }

    /// The height of the tiles that compute the columns of the grid best.
    pub(super) fn height(&self, level: Level) -> usize {
        let columns = self.common_columns();
        let cost = |height: usize| columns.div_ceil(height) as f64 * self.tile(height);
        heights_of_neighbours(level.name(), self.wheel)
            .iter()
            .copied()
            .filter(|&height| height <= columns)
            .min_by(|&a, &b| cost(a).total_cmp(&cost(b)))
            .unwrap_or(1)
    }

    /// Cuts the columns of the grid into strips, whose ring stays in the first-level cache if it can. Each
    /// phase has at least `height` columns in each, for which the last may begin within the one before.
    pub(super) fn strips(&self, height: usize) -> Vec<Strip> {
        let (columns, common) = (self.grid[1], self.common_columns());
        if common == 0 {
            return Vec::new();
        }
        let fits = |&tiles: &usize| self.span[0] * self.row_len(tiles * height) <= RING;
        let tiles = (1..=columns.div_ceil(height))
            .take_while(fits)
            .last()
            .unwrap_or(1);
        let count = columns.div_ceil(tiles * height);
        let width = columns.div_ceil(count).next_multiple_of(height);
        let latest = common - height;
        let strip = |first: usize| {
            let columns = first.min(latest)..(first + width).min(columns);
            let inside = self.inside(&columns);
            Strip { columns, inside }
        };
        (0..columns).step_by(width).map(strip).collect()
    }

    /// The columns inside the image of each line of a row of the ring for some columns of the grid.
    fn inside(&self, columns: &Range<usize>) -> Vec<Range<usize>> {
        let (w, stride) = (self.taps.in_size[1] as isize, self.taps.stride[1]);
        let origin = (columns.start * stride) as isize + self.origin[1];
        let count = self.line_columns(columns.len());
        let line = |line: usize| {
            let first = origin + line as isize;
            let left = first.min(0).unsigned_abs().div_ceil(stride).min(count);
            let right = (w - first).max(0).unsigned_abs().div_ceil(stride);
            left..right.clamp(left, count)
        };
        (0..stride).map(line).collect()
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

    /// Which input channel each lane of each vector of the ring holds, for every block.
    pub(super) fn layouts(&self) -> Vec<Vec<Source>> {
        if self.pairs {
            let in_order = |v| (0..self.lanes).map(move |lane| Some(v * self.lanes + lane));
            let layout = (0..self.vectors()).map(|v| Source::new(in_order(v).collect()));
            return vec![layout.collect()];
        }
        let columns = self.taps.columns();
        let source = |block: usize, source: usize| {
            let (first, inputs) = (self.outputs(block).start, self.inputs(block).start);
            let channel = |lane: usize| {
                let k = source * self.wheel + lane % self.wheel;
                let group = (first + lane) / columns;
                (k < self.taps.k_len()).then(|| group * self.taps.k_len() + k - inputs)
            };
            Source::new((0..self.lanes).map(channel).collect())
        };
        let layout = |block| (0..self.sources).map(|s| source(block, s)).collect();
        (0..self.period().min(self.blocks())).map(layout).collect()
    }

    /// What the first pixel of a strip multiplies, in the ring and among the weights of a block, vector
    /// by vector: for each row of the ring that may hold the first row that it reads.
    pub(super) fn terms(&self, phase: &Taps, strip: &Strip) -> Vec<Terms> {
        let row_len = self.row_len(strip.columns.len());
        let line_len = self.line_columns(strip.columns.len()) * self.lanes;
        let place = |start: usize, tap: &Tap| {
            let [row, column] = [0, 1].map(|axis| tap.offset[axis].abs_diff(self.origin[axis]));
            let [line, column] = [column % self.taps.stride[1], column / self.taps.stride[1]];
            let line = line * self.vectors() * line_len;
            (start + row) % self.span[0] * row_len + line + column * self.lanes
        };
        let first_row = |start| {
            let taps = phase.taps.iter().map(|tap| place(start, tap));
            let source = |i: usize| {
                if self.pairs {
                    2 * i / self.lanes * line_len + 2 * i % self.lanes
                } else {
                    i * line_len
                }
            };
            let vectors = taps.flat_map(|at| (0..self.sources).map(move |i| at + source(i)));
            let weights = (0..).step_by(self.wheel * self.lanes);
            Terms::new(vectors.zip(weights).map(|(a, b)| [a, b]).collect())
        };
        (0..self.span[0]).map(first_row).collect()
    }

    /// For each turn but the first, the lanes that hold a vector's elements turned back, as the bits
    /// of integers.
    pub(super) fn turns(&self) -> Vec<f32> {
        let turn = |i: usize| {
            let (turn, lane) = (i / self.lanes + 1, i % self.lanes);
            let place = (lane % self.wheel + self.wheel - turn) % self.wheel;
            let turned = lane - lane % self.wheel + place;
            // Lanes behind the last whole wheel stay where they are.
            let inside = lane < self.block_outputs();
            f32::from_bits(if inside { turned } else { lane } as u32)
        };
        (0..(self.wheel - 1) * self.lanes).map(turn).collect()
    }

    /// Arranges dense `[out, in / groups, kernel]` weights for one of the phases as
    /// `[block][tap][source][turn][lane]`, with zeros where lanes have nothing to multiply.
    pub(super) fn pack(
        &self,
        phase: &Taps,
        reduce: Reduce,
        weight: &[f32],
    ) -> Result<Buffer<f32>, KernelError> {
        let block_len = self.block_len(phase);
        let mut packed = Buffer::recycled(self.blocks() * block_len)?;
        // The places of one block are those of all that begin at the same place of a group, but for the
        // last: it may be short.
        let (columns, period) = (self.taps.columns(), self.period());
        let whole = self.taps.out_channels / self.block_outputs();
        let per_output = weight.len() / self.taps.out_channels;
        let per_group = per_output * columns;
        let first = |block: usize| block * self.block_outputs() / columns * per_group;
        let table = |block: usize| {
            let mut places = vec![usize::MAX; block_len];
            self.for_each_weight(phase, block, weight.len(), reduce, |at, source| {
                places[at] = source - first(block);
            });
            places
        };
        let tables: Vec<_> = (0..period.min(whole)).map(table).collect();
        let last = (whole < self.blocks()).then(|| table(whole));
        parallel::for_each_chunk(&mut packed, block_len, |block, packed| {
            let table = last.as_ref().filter(|_| block == whole);
            let table = table.unwrap_or_else(|| &tables[block % period]);
            let weight = &weight[first(block)..];
            for (packed, &place) in packed.iter_mut().zip(table) {
                *packed = weight.get(place).copied().unwrap_or(0.0);
            }
        });
        Ok(packed)
    }

    /// The inverse of packing for the forward pass.
    pub(super) fn unpack(&self, packed: &[f32], weight: &mut [f32]) {
        let len = weight.len();
        let pieces = DisjointMut::new(weight);
        parallel::for_each(self.blocks(), |block| {
            let packed = &packed[block * self.block_len(self.taps)..];
            let per_channel = len / self.taps.out_channels;
            let outputs = self.outputs(block);
            let first = outputs.start * per_channel;
            let mut weight = pieces.range(first..outputs.end * per_channel);
            self.for_each_weight(self.taps, block, len, Reduce::Inputs, |at, source| {
                weight[source - first] = packed[at];
            });
        });
    }

    /// Calls `f(packed, dense)` with the places of every weight of a block of a phase.
    fn for_each_weight(
        &self,
        taps: &Taps,
        block: usize,
        len: usize,
        reduce: Reduce,
        mut f: impl FnMut(usize, usize),
    ) {
        let (k_len, columns, wheel) = (taps.k_len(), taps.columns(), self.wheel);
        let kernel = len / (taps.groups * k_len * columns);
        for (lane, output) in self.outputs(block).enumerate() {
            let (group, column) = (output / columns, output % columns);
            let (first, place) = (lane - lane % wheel, lane % wheel);
            for k in 0..k_len {
                let (outer, inner, inners) = match reduce {
                    Reduce::Inputs => (column, k, k_len),
                    Reduce::Outputs => (k, column, columns),
                };
                let dense = (group * k_len * columns + outer * inners + inner) * kernel;
                let turn = (place + wheel - k % wheel) % wheel;
                let at = (k / wheel * wheel + turn) * self.lanes + first + k % wheel;
                for (t, tap) in taps.taps.iter().enumerate() {
                    f(t * self.tap_len() + at, dense + tap.index);
                }
            }
        }
    }
}

/// The wheel with which a vector of outputs costs least, and whether its inputs are pairs, if it costs less
/// than without: then each group is a dense convolution of its own.
fn choose_wheel(level: Level, phases: &[Taps]) -> Option<(usize, bool)> {
    let taps = phases.first()?;
    let (lanes, k_len, columns) = (level.lanes(), taps.k_len(), taps.columns());
    let empty = phases.iter().any(|phase| phase.taps.is_empty());
    if taps.groups == 1 || empty || columns > lanes || lanes == 1 {
        return None;
    }
    let (terms, count) = (count_taps(phases) as f64, phases.len() as f64);
    // In cycles of a pixel.
    let cost = |(wheel, pairs): (usize, bool)| {
        let heights = heights_of_neighbours(level.name(), wheel);
        let tallest = heights.first().copied().unwrap_or(1);
        let sources = k_len.div_ceil(wheel);
        let sums = machine::LANES_STEP * terms * sources as f64 * step(tallest, wheel);
        let tile = count * machine::TILE + sums;
        let turns = count * machine::LANES_TURN * (wheel - 1) as f64;
        let copied = if pairs {
            k_len.div_ceil(lanes)
        } else {
            sources
        };
        let copy = (copied * taps.stride[0] * taps.stride[1]) as f64 * machine::LANES_COPY[0];
        let used = (lanes / wheel * wheel) as f64 / lanes as f64;
        (tile / tallest as f64 + count * machine::ROW + turns + copy) / used
    };
    let (wheel, best) = (1..=MAX_VECTORS)
        .map(|wheel| {
            let pairs = wheel == 2 && columns == lanes && k_len % 2 == 0;
            (wheel, pairs)
        })
        .filter(|&(wheel, _)| columns % wheel == 0 && !heights(level.name(), wheel).is_empty())
        .map(|wheel| (wheel, cost(wheel)))
        .min_by(|a, b| a.1.total_cmp(&b.1))?;
    // Without, groups narrower than a vector leave lanes empty, and the tiles of each are found anew.
    let tallest = heights(level.name(), 1).first().copied().unwrap_or(1);
    let sums = terms * k_len as f64 * step(tallest, 1) / tallest as f64;
    let lanes_used = columns as f64 / columns.next_multiple_of(lanes) as f64;
    let alone =
        (1.2 * sums + count * (machine::padded_row(level) + machine::COPY_GROUP)) / lanes_used;
    (best < alone).then_some(wheel)
}

fn count_taps(phases: &[Taps]) -> usize {
    phases.iter().map(|phase| phase.taps.len()).sum()
}

/// Cycles in which a tile of `height` rows of `vectors` vectors adds a term to its sums: two multiply-adds
/// each, of which eight are under way at a time, and two loads.
fn step(height: usize, vectors: usize) -> f64 {
    let [sums, loads] = [height * vectors, height + vectors];
    sums.max(loads).max(8) as f64 / 2.0
}
