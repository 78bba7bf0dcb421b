//! Convolution of single pixels to few outputs: dot products along the channels.
//!
//! Where a pixel's channels are contiguous and fill whole vectors they need not be transposed: a tile of pixels times
//! outputs is as many vectors of partial sums, which are added up lane by lane in the end.

use crate::array::array;
use crate::gemm::lanewise::{Whole, accumulate_lanes};
use crate::gemm::microkernel::zero;
use striate_simd::{Level, Simd, dispatch};

/// Outputs of a tile, at most.
const OUTPUTS: usize = 3;

/// Pixels and weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dots<'a> {
    /// The channels of one pixel after the other.
    pub(super) x: &'a [f32],
    pub(super) channels: usize,
    /// As [`arrange`] leaves them.
    pub(super) weights: &'a [f32],
    pub(super) outputs: usize,
}

/// Whether pixels of so many channels can be read this way.
pub(super) fn fits(level: Level, channels: usize) -> bool {
    channels.is_multiple_of(level.lanes())
}

/// The cycles that a pixel takes.
pub(super) fn cycles(level: Level, channels: usize, outputs: usize) -> f64 {
    let vectors = (channels / level.lanes()) as f64;
    vectors * (1.0 + 0.6 * outputs as f64) + 6.0 * outputs as f64
}

/// The places of the first of a tile's outputs, and how many there are.
fn tiles(outputs: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..outputs)
        .step_by(OUTPUTS)
        .map(move |first| (first, OUTPUTS.min(outputs - first)))
}

/// Arranges weights, `channels` of each output, vector by vector: those of a tile's outputs together.
pub(super) fn arrange(level: Level, weight: &[f32], channels: usize, to: &mut [f32]) {
    let lanes = level.lanes();
    let rows = weight.len() / channels.max(1);
    for (first, count) in tiles(rows) {
        let to = to[first * channels..].chunks_exact_mut(lanes);
        for (at, to) in to.take(count * channels / lanes).enumerate() {
            let (vector, row) = (at / count, at % count);
            to.copy_from_slice(&weight[(first + row) * channels + vector * lanes..][..lanes]);
        }
    }
}

impl Dots<'_> {
    /// Computes the outputs of all pixels, one pixel after the other.
    pub(super) fn run(&self, level: Level, y: &mut [f32]) {
        for (first, count) in tiles(self.outputs) {
            dispatch!(level, s => self.select(s, count, first, y));
        }
    }

    /// `count` outputs from number `first` on, with as many sums at a time as there are registers for.
    #[inline(always)]
    fn select<S: Simd>(&self, s: S, count: usize, first: usize, y: &mut [f32]) {
        match count {
            1 => enter::<S, 8, 1>(s, self, first, y),
            2 => enter::<S, 6, 2>(s, self, first, y),
            _ => enter::<S, 4, OUTPUTS>(s, self, first, y),
        }
    }

    /// The outputs from number `first` on.
    #[inline(always)]
    fn tiles<S: Simd, const MR: usize, const NV: usize>(&self, s: S, first: usize, y: &mut [f32]) {
        let Self {
            x,
            channels,
            weights,
            outputs,
        } = *self;
        let count = y.len() / outputs;
        let weights = &weights[first * channels..];
        for pixel in (0..count).step_by(MR) {
            // Of the last tile some pixels may be computed more than once.
            let pixels: [usize; MR] = array(
                #[inline(always)]
                |i| (pixel + i).min(count - 1),
            );
            let starts = array(
                #[inline(always)]
                |i| pixels[i] * channels,
            );
            let mut acc = zero::<S, MR, NV>(s);
            let steps = [S::LANES, NV * S::LANES];
            accumulate_lanes::<Whole, _, _, _>(
                s,
                &mut acc,
                x,
                starts,
                steps,
                channels / S::LANES,
                weights,
            );
            for i in 0..MR {
                let y = &mut y[pixels[i] * outputs + first..][..NV];
                for j in 0..NV {
                    y[j] = s.sum(acc[i][j]);
                }
            }
        }
    }
}

/// A function of its own for every shape.
#[inline(never)]
fn enter<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    dots: &Dots<'_>,
    first: usize,
    y: &mut [f32],
) {
    s.vectorize(
        #[inline(always)]
        || dots.tiles::<S, MR, NV>(s, first, y),
    );
}
