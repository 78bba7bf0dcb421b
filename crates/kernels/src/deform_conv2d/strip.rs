//! Strips of output pixels, whose samples stay in the cache.

use super::places::Places;
use super::{DeformConv2dGeometry, Inputs};
use crate::sample::taps::Taps;
use std::ops::Range;

/// The most floats of samples of a strip: a megabyte of the second-level cache.
const FLOATS: usize = 1 << 18;

/// The pixels of each strip where `per_pixel` floats are sampled for each: at least a few, so that what is multiplied with them is
/// read often enough, and not so many that there are no tasks.
pub(super) fn len(per_pixel: usize) -> usize {
    (FLOATS / per_pixel.max(1)).clamp(24, 96)
}

/// Where samples come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampler<'a> {
    inputs: Inputs<'a, f32>,
    places: Places,
    taps: usize,
    channels: usize,
}

/// The input pixels around a place: the index of the first channel of each, and its weight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    list: [(usize, f64); 4],
    len: usize,
}

impl Around {
    #[inline(always)]
    pub(super) fn list(&self) -> &[(usize, f64)] {
        &self.list[..self.len]
    }
}

impl<'a> Sampler<'a> {
    pub(super) fn new(g: &DeformConv2dGeometry, inputs: &Inputs<'a, f32>) -> Self {
        Self {
            inputs: *inputs,
            places: Places::new(g),
            taps: g.conv().taps(),
            channels: g.conv().in_channels(),
        }
    }

    /// Channels of the input.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// The rows and columns around tap `tap` of a group of offsets at output pixel `pixel`, and its factor. Compiled once, not for
    /// each level: it is not vectors that it computes with.
    #[inline(never)]
    pub(super) fn taps(&self, pixel: usize, offset_group: usize, tap: usize) -> ([Taps; 2], f64) {
        let tap = offset_group * self.taps + tap;
        self.places.around(&self.inputs, pixel, tap)
    }

    /// The index of the first channel of row `row`, column `column` of the image that output pixel `pixel` belongs to.
    #[inline(always)]
    pub(super) fn start(&self, pixel: usize, [row, column]: [usize; 2]) -> usize {
        let ([h, w], [oh, ow]) = (self.places.input, self.places.output);
        ((pixel / (oh * ow) * h + row) * w + column) * self.channels
    }

    /// The pixels around a place, with all their weight.
    #[inline(never)]
    pub(super) fn around(&self, pixel: usize, offset_group: usize, tap: usize) -> Around {
        let ([rows, columns], mask) = self.taps(pixel, offset_group, tap);
        let mut around = Around {
            list: [(0, 0.0); 4],
            len: 0,
        };
        for row in rows.iter() {
            for column in columns.iter() {
                let start = self.start(pixel, [row.at, column.at]);
                around.list[around.len] = (start, row.weight * column.weight * mask);
                around.len += 1;
            }
        }
        around
    }

    /// The channels `channels` of the pixel that starts at `start`.
    #[inline(always)]
    pub(super) fn x(&self, start: usize, channels: Range<usize>) -> &'a [f32] {
        &self.inputs.x[start + channels.start..start + channels.end]
    }
}
