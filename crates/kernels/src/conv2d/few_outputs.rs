//! Convolution to few output channels: a lane for each pixel.
//!
//! A vector of output channels would be mostly empty. So what a band of outputs reads is copied with its
//! padding, channel by channel ([`Bands`]), and a tile of channels times vectors of pixels stays in
//! registers through all terms: a weight is broadcast, and the pixels that a tap reads are a vector at a
//! fixed distance. Lines follow one another in the copy, so a vector may reach over the end of one; what
//! it computes there is dropped. Single pixels whose channels fill vectors are [dot products](dots) instead.
//!
//! The data gradient of a convolution of few input channels is such a convolution for every remainder of
//! the coordinates by the stride (see `backward_input`); all of them read one copy.

use super::band::{Band, Bands};
use super::dots::{self, Dots};
use super::taps::{Reduce, Taps};
use crate::array::array;
use crate::disjoint::{DisjointMut, TileMut};
use crate::elementwise::assign;
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::microkernel::{Offsets, accumulate_shifted, zero};
use crate::gemm::tile::TileKernel;
use crate::geometry::Layout;
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd, dispatch};

/// Multiply-adds that are worth a task, and those that take as long as copying an element.
const TASK: usize = 2_000_000;
const COPY: usize = 16;

/// Cycles of dot products that are worth a task.
const DOTS_TASK: f64 = 25e3;

/// Output pixels of a band, at most; and elements of its copy, about, if no two bands read the same.
const PIXELS: usize = 4096;
const APART: usize = 1 << 14;

/// Output channels of a tile, at most.
const CHANNELS: usize = 3;

/// Elements that the outputs of a line read of a block of input channels, about: most of a first-level cache.
const BLOCK: usize = 1 << 13;

/// Pixels of a tile, at most: what is read and written beyond the last pixel of a band.
const REACH: usize = 4 * 16;

/// The weights of one phase as `[output channel][input channel][tap]`.
pub(super) fn pack(
    taps: &Taps,
    reduce: Reduce,
    weight: &[f32],
) -> Result<Buffer<f32>, KernelError> {
    let (inputs, outputs) = (taps.in_channels, taps.out_channels);
    let kernel = weight.len() / (inputs * outputs).max(1);
    let mut packed = Buffer::recycled(inputs * outputs * taps.taps.len())?;
    for (at, run) in packed.chunks_exact_mut(taps.taps.len()).enumerate() {
        let (output, input) = (at / inputs, at % inputs);
        let pair = match reduce {
            Reduce::Inputs => output * inputs + input,
            Reduce::Outputs => input * outputs + output,
        };
        let source = &weight[pair * kernel..][..kernel];
        for (to, tap) in run.iter_mut().zip(&taps.taps) {
            *to = source[tap.index];
        }
    }
    Ok(packed)
}

/// A convolution that can be computed this way.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    phases: &'a [Taps],
    first: &'a Taps,
    bands: Bands,
    input: Layout,
}

impl<'a> Plan<'a> {
    /// The plan for `phases`, which read one input and write one output, if they are dense and
    /// neighbours in the output read neighbours in the input.
    pub(super) fn new(phases: &'a [Taps], input: Layout) -> Option<Self> {
        let fits = |taps: &Taps| taps.groups == 1 && taps.stride == [1, 1];
        if !phases.iter().all(fits) {
            return None;
        }
        let first = phases.first()?;
        let one_tap = phases.iter().map(|taps| taps.taps.len()).sum::<usize>() == 1;
        let pixels = if one_tap {
            (APART / first.in_channels).clamp(64, PIXELS)
        } else {
            PIXELS
        };
        Some(Self {
            phases,
            first,
            bands: Bands::new(phases, input, pixels)?,
            input,
        })
    }

    /// Whether outputs are dot products of the channels of single pixels, which need no copy.
    fn is_dots(&self, level: Level) -> bool {
        let taps = self.first;
        let single = taps.taps.len() == 1 && taps.taps[0].offset == [0, 0];
        let same = taps.in_size == taps.grid && taps.out_size == taps.grid;
        let alone = self.phases.len() == 1 && single && same;
        alone && self.input == Layout::Nhwc && dots::fits(level, taps.in_channels)
    }

    /// The time this is predicted to take on one thread, in cycles.
    pub(super) fn cycles(&self, level: Level) -> f64 {
        let Taps {
            batch,
            in_size: [h, w],
            in_channels,
            out_channels,
            ..
        } = *self.first;
        if self.is_dots(level) {
            let pixels = self.first.pixels() as f64;
            return pixels * dots::cycles(level, in_channels, out_channels);
        }
        // For each vector of a term: fewer sums at a time do less with what is loaded.
        let tile = |channels: usize| [0.0, 1.1, 1.3, 1.7][channels];
        let tiles =
            (out_channels / CHANNELS) as f64 * tile(CHANNELS) + tile(out_channels % CHANNELS);
        let dropped = self.bands.pitch() as f64 / self.bands.columns() as f64;
        let sums = self.terms() as f64 * tiles * dropped / level.lanes() as f64;
        let copied = match self.input {
            Layout::Nchw => 0.1,
            Layout::Nhwc => 0.5,
        };
        let read = copied * (batch * in_channels * h * w) as f64;
        let pixels: usize = self.phases.iter().map(Taps::pixels).sum();
        let written = 2.0 * (pixels * out_channels) as f64;
        sums + read + written
    }

    /// The terms of the sums of all pixels of an output channel.
    fn terms(&self) -> usize {
        let of_phase = |taps: &Taps| taps.pixels() * taps.taps.len() * taps.in_channels;
        self.phases.iter().map(of_phase).sum()
    }

    /// Computes `y` (NHWC) from `x`, with the weights of each phase as [`pack`] arranges them.
    pub(super) fn run(
        &self,
        level: Level,
        weights: &[&[f32]],
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        if self.is_dots(level) {
            return self.run_dots(level, weights[0], x, epilogue, y);
        }
        let (bands, first) = (&self.bands, self.first);
        let blocks = Cut::every(first.in_channels, BLOCK / bands.reach());
        let offsets = self.phases.iter().map(|taps| {
            let blocks = (0..blocks.tasks()).map(|block| blocks.range(block));
            blocks
                .map(|channels| bands.offsets(channels, &taps.taps))
                .collect()
        });
        let offsets: Vec<Vec<Offsets>> = offsets.collect();
        let terms: usize = offsets.iter().flatten().map(Offsets::len).sum();
        let cost = bands.pixels() * terms * first.out_channels + COPY * bands.copy_len();
        let tasks = Cut::every(bands.count(), TASK / cost.max(1));
        let flat = bands.flat_len() + REACH;
        let pixels: usize = self.phases.iter().map(Taps::pixels).sum();
        let gaps = pixels * first.out_channels < y.len();
        let row_len = first.out_size[1] * first.out_channels;
        let y = DisjointMut::rows(y, row_len);
        parallel::try_for_each(tasks.tasks(), |task| {
            let mut copy = Buffer::recycled(bands.copy_len() + REACH)?;
            let mut sums = Buffer::recycled(CHANNELS * flat)?;
            for band in tasks.range(task).map(|index| bands.band(index)) {
                bands.fill(level, &band, x, &mut copy);
                let place = self.place(&band);
                let mut out = y.tile(place[0].clone(), place[1].clone());
                if gaps {
                    (0..out.row_count()).for_each(|row| out.row(row).fill(0.0));
                }
                for ((taps, offsets), weights) in self.phases.iter().zip(&offsets).zip(weights) {
                    let phase = Phase {
                        taps,
                        offsets,
                        weights,
                        pitch: bands.pitch(),
                        copy: &copy,
                    };
                    phase.run(level, &band, &mut sums, &mut out);
                }
                finish(
                    level,
                    epilogue,
                    first.out_channels,
                    &place,
                    row_len,
                    &mut out,
                );
            }
            Ok(())
        })
    }

    /// As [`run`](Self::run), with dot products.
    fn run_dots(
        &self,
        level: Level,
        weight: &[f32],
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        let (channels, outputs) = (self.first.in_channels, self.first.out_channels);
        let mut weights = Buffer::recycled(weight.len())?;
        dots::arrange(level, weight, channels, &mut weights);
        let per_task = DOTS_TASK / dots::cycles(level, channels, outputs);
        let tasks = Cut::every(self.first.pixels(), per_task as usize);
        let row_len = y.len();
        let y = DisjointMut::new(y);
        parallel::for_each(tasks.tasks(), |task| {
            let pixels = tasks.range(task);
            let place = [0..1, pixels.start * outputs..pixels.end * outputs];
            let mut out = y.tile(place[0].clone(), place[1].clone());
            let dots = Dots {
                x: &x[pixels.start * channels..],
                channels,
                weights: &weights,
                outputs,
            };
            dots.run(level, out.row(0));
            finish(level, epilogue, outputs, &place, row_len, &mut out);
        });
        Ok(())
    }

    /// The rows of a band among those of all images, and its elements of a row.
    fn place(&self, band: &Band) -> [Range<usize>; 2] {
        let Taps {
            out_size,
            out_step,
            out_channels,
            ..
        } = *self.first;
        let range = |axis: usize, range: &Range<usize>| {
            let last = range.end == self.bands.grid()[axis];
            let end = if last {
                out_size[axis]
            } else {
                range.end * out_step[axis]
            };
            range.start * out_step[axis]..end
        };
        let (rows, columns) = (range(0, &band.rows), range(1, &band.columns));
        let image = band.image * out_size[0];
        [
            image + rows.start..image + rows.end,
            columns.start * out_channels..columns.end * out_channels,
        ]
    }
}

/// The outputs of one remainder.
struct Phase<'a> {
    taps: &'a Taps,
    /// What the terms read, block by block of input channels.
    offsets: &'a [Offsets],
    weights: &'a [f32],
    /// Elements from one line of the copy to the next.
    pitch: usize,
    copy: &'a [f32],
}

impl Phase<'_> {
    /// Computes the phase's pixels of a band, whose outputs are `out`.
    fn run(&self, level: Level, band: &Band, sums: &mut [f32], out: &mut TileMut<'_, f32>) {
        let taps = self.taps;
        let count = |axis: usize, range: &Range<usize>| {
            range.end.min(taps.grid[axis]).saturating_sub(range.start)
        };
        let (lines, columns) = (count(0, &band.rows), count(1, &band.columns));
        if lines == 0 || columns == 0 {
            return;
        }
        let terms = taps.in_channels * taps.taps.len();
        let stride = sums.len() / CHANNELS;
        for first in (0..taps.out_channels).step_by(CHANNELS) {
            let channels = CHANNELS.min(taps.out_channels - first);
            let mut done = 0;
            for offsets in self.offsets {
                let tile = Channels {
                    copy: self.copy,
                    offsets,
                    weights: &self.weights[first * terms + done..],
                    terms,
                    add: done > 0,
                    len: (lines - 1) * self.pitch + columns,
                    stride,
                    sums,
                };
                dispatch!(level, s => select(s, channels, tile));
                done += offsets.len();
            }
            for line in 0..lines {
                let row = out.row(taps.out_start[0] + line * taps.out_step[0]);
                for (channel, sums) in sums.chunks_exact(stride).take(channels).enumerate() {
                    let place = taps.out_start[1] * taps.out_channels + first + channel;
                    let to = row[place..].iter_mut();
                    let to = to.step_by(taps.out_step[1] * taps.out_channels);
                    let sums = &sums[line * self.pitch..][..columns];
                    to.zip(sums).for_each(|(y, sum)| *y = *sum);
                }
            }
        }
    }
}

/// Output channels of consecutive pixels of a copy.
struct Channels<'a> {
    copy: &'a [f32],
    offsets: &'a Offsets,
    /// A weight for each offset, and elements from one output channel to the next.
    weights: &'a [f32],
    terms: usize,
    /// Whether the sums are added to those before.
    add: bool,
    /// Pixels.
    len: usize,
    /// The sums of a channel, and elements from one channel to the next.
    sums: &'a mut [f32],
    stride: usize,
}

impl TileKernel for Channels<'_> {
    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let rows: [&[f32]; MR] = array(
            #[inline(always)]
            |i| &self.weights[i * self.terms..][..self.offsets.len()],
        );
        for first in (0..self.len).step_by(NV * S::LANES) {
            let mut acc = zero::<S, MR, NV>(s);
            accumulate_shifted(s, &mut acc, rows, &self.copy[first..], self.offsets);
            for i in 0..MR {
                let sums = &mut self.sums[i * self.stride + first..][..NV * S::LANES];
                for j in 0..NV {
                    let sums = &mut sums[j * S::LANES..];
                    let sum = if self.add {
                        s.add(s.load(sums), acc[i][j])
                    } else {
                        acc[i][j]
                    };
                    s.store(sum, sums);
                }
            }
        }
    }
}

/// Runs `tile` for `channels` channels, with as many sums at a time as there are registers for.
#[inline(always)]
fn select<S: Simd>(s: S, channels: usize, tile: Channels<'_>) {
    match channels {
        1 => enter::<S, 1, 4>(s, tile),
        2 => enter::<S, 2, 4>(s, tile),
        _ if const { S::LANES == 16 } => enter::<S, CHANNELS, 4>(s, tile),
        _ => enter::<S, CHANNELS, 3>(s, tile),
    }
}

/// A function of its own for every shape, so that the compiler allocates registers for one tile only.
#[inline(never)]
fn enter<S: Simd, const MR: usize, const NV: usize>(s: S, tile: Channels<'_>) {
    s.vectorize(
        #[inline(always)]
        || tile.run::<S, MR, NV>(s),
    );
}

/// Applies an epilogue to rows of sums, each of whole pixels, of a residual whose rows are `row_len` long.
fn finish(
    level: Level,
    epilogue: &Epilogue<'_>,
    channels: usize,
    [rows, columns]: &[Range<usize>; 2],
    row_len: usize,
    out: &mut TileMut<'_, f32>,
) {
    for (at, row) in rows.clone().enumerate() {
        let y = out.row(at);
        if let Some(scale) = epilogue.scale {
            for y in y.chunks_exact_mut(channels) {
                y.iter_mut().zip(scale).for_each(|(y, scale)| *y *= *scale);
            }
        }
        if let Some(bias) = epilogue.bias {
            for y in y.chunks_exact_mut(channels) {
                y.iter_mut().zip(bias).for_each(|(y, bias)| *y += *bias);
            }
        }
        if let Some(residual) = epilogue.residual {
            let residual = &residual[row * row_len + columns.start..];
            y.iter_mut().zip(residual).for_each(|(y, r)| *y += *r);
        }
        if let Some(function) = epilogue.activation.function() {
            dispatch!(level, s => assign(s, function, y));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Conv2dGeometry;
    use super::super::backward_input::phases;
    use super::super::tests::{Problem, exact_backward_input, exact_forward};
    use super::*;
    use crate::testing::{Random, assert_close};
    use striate_simd::test_each_level;

    fn geometries() -> [Conv2dGeometry; 9] {
        let g = |n, c, size, o, kernel, stride, pad, dilation| {
            Conv2dGeometry::new(n, c, size, o, kernel, stride, pad, dilation, 1).unwrap()
        };
        [
            g(2, 3, [13, 40], 20, [7, 7], [2, 2], [3; 4], [1, 1]),
            g(1, 4, [9, 11], 5, [3, 2], [1, 1], [0, 1, 2, 0], [2, 1]),
            // Inputs that no output sees, between the others and behind them.
            g(1, 1, [9, 12], 17, [1, 2], [3, 4], [0; 4], [1, 1]),
            g(1, 2, [7, 5], 8, [1, 1], [2, 2], [1, 0, 1, 0], [1, 1]),
            // A line is more than a band, and an image is more than one.
            g(1, 2, [3, 5000], 3, [2, 3], [1, 1], [1; 4], [1, 1]),
            g(1, 65, [40, 60], 7, [3, 3], [1, 1], [1; 4], [1, 1]),
            // Dot products, forward or back.
            g(2, 32, [5, 7], 1, [1, 1], [1, 1], [0; 4], [1, 1]),
            g(1, 48, [3, 1], 5, [1, 1], [1, 1], [0; 4], [1, 1]),
            g(1, 3, [19, 23], 16, [1, 1], [1, 1], [0; 4], [1, 1]),
        ]
    }

    fn check(level: Level, got: &[f32], [exact, bound]: [Vec<f64>; 2], terms: usize, what: &str) {
        for (i, &got) in got.iter().enumerate() {
            assert_close(got, exact[i], bound[i], terms, || {
                format!("{what} on {level}, element {i}")
            });
        }
    }

    test_each_level!(
        fn data_gradients_agree_with_double_precision(level: Level) {
            for g in geometries() {
                let p = Problem::new(g, Random::normals);
                let phases = phases(&g);
                let plan = Plan::new(&phases, Layout::Nhwc).unwrap();
                let weights = phases
                    .iter()
                    .map(|taps| pack(taps, Reduce::Outputs, &p.weight).unwrap());
                let weights: Vec<_> = weights.collect();
                let weights: Vec<&[f32]> = weights.iter().map(|weights| &weights[..]).collect();
                let mut dx = vec![f32::NAN; g.x_len()];
                plan.run(level, &weights, &p.dy, &Epilogue::NONE, &mut dx)
                    .unwrap();
                check(
                    level,
                    &dx,
                    exact_backward_input(&p),
                    g.out_channels() * g.taps(),
                    &format!("{g:?}"),
                );
            }
        }
    );

    test_each_level!(
        fn outputs_agree_with_double_precision(level: Level) {
            for g in geometries().into_iter().filter(|g| g.stride() == [1, 1]) {
                let p = Problem::new(g, Random::normals);
                for layout in [Layout::Nchw, Layout::Nhwc] {
                    let phases = [Taps::forward(&g)];
                    let plan = Plan::new(&phases, layout).unwrap();
                    let mut y = vec![f32::NAN; g.y_len()];
                    plan.run(level, &[&p.weight], &p.x, &Epilogue::NONE, &mut y)
                        .unwrap();
                    check(
                        level,
                        &y,
                        exact_forward(&p, layout),
                        g.in_channels() * g.taps(),
                        &format!("{g:?}"),
                    );
                }
            }
        }
    );
}
