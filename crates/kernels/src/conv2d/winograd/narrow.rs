//! Groups that fill a vector, and groups of four or eight channels that fill one together.
//!
//! It need not be a vector of the level: eight channels that are left alone are computed with vectors of eight lanes, which a level
//! of sixteen has as well.
//!
//! Such groups are too narrow for a product of matrices. But the points of a few tiles of a vector go through all steps in the
//! first-level cache, or in registers: transform, multiply, transform back, with no more than a vector of each pixel. The
//! products broadcast pairs of channels from memory, or permute the channels of groups that share a vector.

use super::narrow_tiles::{
    OUTPUTS, Place, Window, input_columns, inputs, output_rows, products, shared_rows,
};
use super::outputs::{Corner, SIDE, ask, outputs};
use super::planes::{Scratch, transform_weights};
use super::{Size, Weights};
use crate::conv2d::taps::{Dense, Reduce, Taps};
use crate::disjoint::{DisjointMut, TileMut};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::far::{FAR, LINE};
use crate::gemm::store::Store;
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd, dispatch};

/// Points of a tile.
const POINTS: usize = SIDE * SIDE;

/// Tiles whose points are in the first-level cache at a time, at most.
const TILES: usize = 8;

/// Lines of tiles that are computed by one task at most.
const LINES: usize = 4;

/// Elements of both images from which on the places of outputs come from afar, of which a core asks for some at a time.
const REMOTE: usize = FAR / 3;

/// Cycles that are worth a task.
const TASK: f64 = 60e3;

/// Channels of groups that share a vector.
const SHARED: [usize; 2] = [4, 8];

/// Cycles of a tile, and of each lane in it: both what is multiplied and what is read and written grow with them; and of a
/// tile of groups that share a vector, and of each channel of one.
const TILE: [f64; 2] = [150.0, 45.0];
const SHARED_TILE: [f64; 2] = [180.0, 55.0];

/// Cycles in which a point of the weights arrives, and in which all points of a weight are arranged.
const ARRIVAL: f64 = 0.14;
const ARRANGE: f64 = 45.0;

/// Of vectors shorter than those of the level, on which cycles are counted: the part of these that a cycle of them takes,
/// which is half where a core does a long one in two halves and all of it where it does not; and entering a group.
const SHORT: [f64; 2] = [0.7, 600.0];

/// Whether the level called `name` has an instruction that permutes lanes.
const fn permutes(name: &str) -> bool {
    !matches!(name.as_bytes(), b"portable" | b"scalar")
}

/// Groups of as many channels as a vector has lanes, or of so few that several fill it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Narrow {
    /// That of the vectors.
    level: Level,
    lanes: usize,
    /// Channels of a group.
    channels: usize,
    /// Whether the vectors of the level asked for are longer.
    short: bool,
}

impl Narrow {
    /// If tiles of `size` without dilation can compute so many groups of so many channels.
    pub(super) fn new(
        level: Level,
        size: Size,
        groups: usize,
        [channels, outputs]: [usize; 2],
        dilation: [usize; 2],
    ) -> Option<Self> {
        let simple = size == Size::FourOfThree && dilation == [1, 1] && channels == outputs;
        let shares = SHARED.contains(&channels)
            && channels < level.lanes()
            && (groups * channels).is_multiple_of(level.lanes());
        let vectors = shares
            .then_some(level)
            .or_else(|| level.with_lanes(channels));
        let vectors = vectors.filter(|vectors| simple && permutes(vectors.name()))?;
        Some(Self {
            level: vectors,
            lanes: vectors.lanes(),
            channels,
            short: vectors != level,
        })
    }

    /// As [`new`](Self::new), for some taps.
    pub(super) fn of(level: Level, size: Size, taps: &Taps) -> Option<Self> {
        let channels = [taps.k_len(), taps.columns()];
        // Other kernels have other tiles.
        (taps.taps.len() == 9)
            .then(|| super::tiles::tap_distance(taps, 3))
            .and_then(|distance| Self::new(level, size, taps.groups, channels, distance))
    }

    /// Whether several groups share a vector.
    fn shares(&self) -> bool {
        self.channels < self.lanes
    }

    /// Vectors of some groups.
    fn vectors(&self, groups: usize) -> usize {
        groups * self.channels / self.lanes
    }

    /// The cycles of some tiles of each of some groups.
    pub(super) fn cycles(&self, tiles: usize, groups: usize, weights: Weights) -> f64 {
        let pairs = (self.channels * self.lanes) as f64;
        let pack = match weights {
            Weights::Kept => 0.0,
            Weights::Fresh => ARRANGE * pairs,
        };
        let [part, enter] = if self.short { SHORT } else { [1.0, 0.0] };
        let run = enter + part * tiles as f64 * self.tile();
        self.vectors(groups) as f64 * (run + ARRIVAL * POINTS as f64 * pairs + pack)
    }

    /// The cycles of a tile.
    fn tile(&self) -> f64 {
        let [fixed, channel] = if self.shares() { SHARED_TILE } else { TILE };
        fixed + channel * self.channels as f64
    }

    /// Elements of the weights of a vector.
    fn vector_len(&self) -> usize {
        POINTS * self.channels * self.lanes
    }

    /// The lanes of the output and the input of which a lane of one of the vectors of a point is the weight: a pair of
    /// inputs for each output of a group, and in the next vector for its neighbour.
    fn weight(&self, term: usize, lane: usize) -> [usize; 2] {
        let group = lane - lane % self.channels;
        [lane ^ (term % 2), group + term - term % 2 + lane % 2]
    }

    /// The lanes that vectors are permuted by, as the bits of integers: the neighbour of every lane, and the pairs of
    /// channels of its group.
    fn permutations(&self) -> Vec<f32> {
        let neighbours = (0..self.lanes).map(|lane| lane ^ 1);
        let pair = |term| (0..self.lanes).map(move |lane| self.weight(term, lane)[1]);
        let pairs = (0..self.channels).step_by(2).flat_map(pair);
        let lanes = neighbours.chain(pairs);
        lanes.map(|lane| f32::from_bits(lane as u32)).collect()
    }

    /// Arranges the points of the weights, `[vector][point][term][lane]`.
    pub(super) fn pack(
        &self,
        taps: &Taps,
        Dense { reduce, weight }: Dense<'_>,
    ) -> Result<Buffer<f32>, KernelError> {
        let line = self.channels * self.lanes;
        let vectors = self.vectors(taps.groups);
        let kernel = weight.len() / (vectors * line);
        let place = |at: usize| {
            let [output, input] = self.weight(at / self.lanes, at % self.lanes);
            let (outer, inner) = match reduce {
                Reduce::Inputs => (output, input),
                Reduce::Outputs => (input, output),
            };
            (outer * self.channels + inner % self.channels) * kernel
        };
        let places: Vec<_> = (0..line).map(place).collect();
        let mut packed = Buffer::recycled(vectors * self.vector_len())?;
        let pieces = DisjointMut::rows(&mut packed, self.vector_len());
        parallel::try_for_each(vectors, |vector| {
            let weight = &weight[vector * line * kernel..][..line * kernel];
            let mut by_tap = Buffer::recycled(taps.taps.len() * line)?;
            for (by_tap, tap) in by_tap.chunks_exact_mut(line).zip(&taps.taps) {
                for (to, place) in by_tap.iter_mut().zip(&places) {
                    *to = weight[place + tap.index];
                }
            }
            let mut points = pieces.tile(vector..vector + 1, 0..self.vector_len());
            let mut points: Vec<_> = points.row(0).chunks_exact_mut(line).collect();
            let size = Size::FourOfThree;
            transform_weights(self.level, size, &by_tap, &mut points, &mut Scratch::new()?);
            Ok::<_, KernelError>(())
        })?;
        drop(pieces);
        Ok(packed)
    }

    /// Computes the outputs of `taps`.
    pub(super) fn run(
        &self,
        taps: &Taps,
        weights: &[f32],
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        let [height, across] = taps.grid.map(|pixels| pixels.div_ceil(OUTPUTS));
        let bands = Cut::every(height, height.div_ceil(height.div_ceil(LINES).max(1)));
        // Of neighbouring tiles as many as there is room for, and as many in each strip.
        let strip = across.div_ceil(across.div_ceil(TILES).max(1)).max(1);
        let cost = self.tile() * (bands.per_task() * across) as f64;
        let vectors = self.vectors(taps.groups);
        // Vectors are innermost: neighbours share the lines of cache that are fetched together.
        let cut = Cut::every(
            taps.batch * bands.tasks() * vectors,
            (TASK / cost.max(1.0)) as usize,
        );
        let far = self.lanes >= LINE && x.len() + y.len() > REMOTE;
        let permutations = self.permutations();
        let y = DisjointMut::rows(y, taps.out_channels);
        let pass = Pass {
            taps,
            narrow: self,
            far,
            permutations: &permutations,
            across: Cut::every(across, strip),
            lines: (TILES / strip).max(1),
        };
        parallel::try_for_each(cut.tasks(), |task| {
            let mut columns = Buffer::recycled((strip * OUTPUTS + SIDE) * SIDE * self.lanes)?;
            let mut points = Buffer::recycled(POINTS * strip * pass.lines * self.lanes)?;
            for unit in cut.range(task) {
                let (band, vector) = (unit / vectors, unit % vectors);
                let (image, lines) = (band / bands.tasks(), bands.range(band % bands.tasks()));
                let channels = vector * self.lanes..(vector + 1) * self.lanes;
                let rows = lines.start * OUTPUTS..(lines.end * OUTPUTS).min(taps.grid[0]);
                let rows = taps.out_pixel([image, rows.start, 0])
                    ..taps.out_pixel([image, rows.end - 1, taps.grid[1] - 1]) + 1;
                let stored = channels.clone();
                let store = Store::new(epilogue, false, rows.start, &stored, taps.out_channels);
                let first_row = rows.start;
                let mut out = y.tile(rows, stored);
                let weights = &weights[vector * self.vector_len()..][..self.vector_len()];
                let unit = Unit {
                    image,
                    lines,
                    channels,
                    x,
                    weights,
                    store,
                    first_row,
                };
                let buffers = [&mut columns[..], &mut points[..]];
                dispatch!(self.level, s => enter(s, &pass, &unit, buffers, &mut out));
                epilogue.observe(self.level, &mut out);
            }
            Ok(())
        })
    }
}

/// What all units of a pass have in common.
struct Pass<'a> {
    taps: &'a Taps,
    narrow: &'a Narrow,
    /// Whether both images are more than the caches hold.
    far: bool,
    permutations: &'a [f32],
    /// The tiles of a line, cut into strips.
    across: Cut,
    /// Lines of tiles of which a strip has its points in the cache.
    lines: usize,
}

/// Some lines of tiles of one vector of channels.
struct Unit<'a> {
    image: usize,
    lines: Range<usize>,
    channels: Range<usize>,
    x: &'a [f32],
    weights: &'a [f32],
    store: Store<'a>,
    /// The output pixel that is row 0 of the output tile.
    first_row: usize,
}

/// Computes a unit. Levels that have none are never compiled.
#[inline(always)]
fn enter<S: Simd>(
    s: S,
    pass: &Pass<'_>,
    unit: &Unit<'_>,
    buffers: [&mut [f32]; 2],
    out: &mut TileMut<'_, f32>,
) {
    if const { permutes(S::NAME) } {
        if pass.narrow.shares() {
            pass.shared_unit(s, unit, buffers, out);
        } else {
            pass.unit(s, unit, buffers, out);
        }
    }
}

impl Pass<'_> {
    /// Computes a unit.
    #[inline(never)]
    fn unit<S: Simd>(
        &self,
        s: S,
        unit: &Unit<'_>,
        [columns, points]: [&mut [f32]; 2],
        out: &mut TileMut<'_, f32>,
    ) {
        for start in unit.lines.clone().step_by(self.lines) {
            let lines = start..(start + self.lines).min(unit.lines.end);
            for tiles in (0..self.across.tasks()).map(|strip| self.across.range(strip)) {
                let count = lines.len() * tiles.len();
                let points = &mut points[..POINTS * count * S::LANES];
                let place = |line: usize| {
                    let first = (line - lines.start) * tiles.len();
                    first..first + tiles.len()
                };
                for line in lines.clone() {
                    let tiles_of_line = Place {
                        count,
                        tiles: place(line),
                    };
                    let window = self.window(S::LANES, unit, line, &tiles);
                    inputs(s, &window, columns, &tiles_of_line, points);
                }
                self.multiply(s, points, unit.weights);
                for line in lines.clone() {
                    for (tile, at) in tiles.clone().zip(place(line)) {
                        let place = Place {
                            count,
                            tiles: at..at + 1,
                        };
                        let corner = self.corner(unit, [line, tile]);
                        self.ask_beside(s, unit, [line, tile], &tiles, out);
                        output_rows(s, points, columns, &place);
                        outputs::<S, 3, OUTPUTS>(s, columns, &corner, &unit.store, out);
                    }
                }
            }
        }
    }

    /// Computes a unit of groups that share a vector.
    #[inline(never)]
    fn shared_unit<S: Simd>(
        &self,
        s: S,
        unit: &Unit<'_>,
        [columns, scratch]: [&mut [f32]; 2],
        out: &mut TileMut<'_, f32>,
    ) {
        let step = OUTPUTS * SIDE * S::LANES;
        for line in unit.lines.clone() {
            for tiles in (0..self.across.tasks()).map(|strip| self.across.range(strip)) {
                let width = tiles.len() * OUTPUTS + SIDE - OUTPUTS;
                let columns = &mut columns[..width * SIDE * S::LANES];
                let window = self.window(S::LANES, unit, line, &tiles);
                input_columns(s, &window, columns);
                for (at, tile) in tiles.clone().enumerate() {
                    let columns = &columns[at * step..];
                    self.ask_beside(s, unit, [line, tile], &tiles, out);
                    let permutations = self.permutations;
                    if S::LANES > 8 && self.narrow.channels == 8 {
                        shared_rows::<S, 8, 4>(s, columns, unit.weights, permutations, scratch);
                    } else {
                        shared_rows::<S, 4, 2>(s, columns, unit.weights, permutations, scratch);
                    }
                    let corner = self.corner(unit, [line, tile]);
                    outputs::<S, 3, OUTPUTS>(s, scratch, &corner, &unit.store, out);
                }
            }
        }
    }

    /// Asks for the places where the tile beside one of some tiles will be stored, where they come from afar.
    #[inline(always)]
    fn ask_beside<S: Simd>(
        &self,
        s: S,
        unit: &Unit<'_>,
        [line, tile]: [usize; 2],
        tiles: &Range<usize>,
        out: &mut TileMut<'_, f32>,
    ) {
        if self.far && tile + 1 < tiles.end {
            ask::<S, OUTPUTS>(s, &self.corner(unit, [line, tile + 1]), out);
        }
    }

    /// What some tiles of a line read.
    fn window<'x>(
        &self,
        lanes: usize,
        unit: &Unit<'x>,
        line: usize,
        tiles: &Range<usize>,
    ) -> Window<'x> {
        let taps = self.taps;
        let [h, w] = taps.in_size;
        let first = [line, tiles.start].map(|tile| tile * OUTPUTS);
        let sizes = [1, tiles.len()].map(|tiles| tiles * OUTPUTS);
        let origin = [0, 1].map(|axis| first[axis] as isize + taps.taps[0].offset[axis]);
        let inside = [0, 1].map(|axis| {
            // What only outputs outside the grid would see must not reach the others.
            let outputs = sizes[axis].min(taps.grid[axis] - first[axis]);
            let reach = outputs + SIDE - OUTPUTS;
            let start = origin[axis].min(0).unsigned_abs().min(reach);
            let left = (taps.in_size[axis] as isize - origin[axis]).max(0) as usize;
            start..left.clamp(start, reach)
        });
        let [y, x] = [0, 1].map(|axis| {
            let first = origin[axis] + inside[axis].start as isize;
            first.clamp(0, taps.in_size[axis] as isize) as usize
        });
        let start = ((unit.image * h + y) * w + x) * taps.in_channels + unit.channels.start;
        Window {
            data: unit.x.get(start..).unwrap_or_default(),
            steps: [w * taps.in_channels, taps.in_channels],
            ahead: lanes,
            inside,
        }
    }

    /// The products of all points.
    fn multiply<S: Simd>(&self, s: S, points: &mut [f32], weights: &[f32]) {
        match S::LANES {
            16 => products::<S, 16>(s, points, weights, self.permutations),
            8 => products::<S, 8>(s, points, weights, self.permutations),
            _ => products::<S, 4>(s, points, weights, self.permutations),
        }
    }

    /// Where the outputs of a tile are stored.
    fn corner(&self, unit: &Unit<'_>, tile: [usize; 2]) -> Corner {
        let taps = self.taps;
        let [y, x] = tile.map(|tile| tile * OUTPUTS);
        Corner {
            first: taps.out_pixel([unit.image, y, x]) - unit.first_row,
            steps: [taps.out_step[0] * taps.out_size[1], taps.out_step[1]],
            count: [
                (taps.grid[0] - y).min(OUTPUTS),
                (taps.grid[1] - x).min(OUTPUTS),
            ],
        }
    }
}
