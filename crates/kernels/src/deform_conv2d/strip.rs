//! Strips of output pixels, whose samples stay in the cache.

use super::places::Places;
use super::{DeformConv2dGeometry, Inputs};
use crate::array::array;
use crate::parallel::Cut;
use crate::sample::taps::{Square, Taps, between};
use std::ops::Range;

/// The most floats that are sampled for a strip: half of a second-level cache of a megabyte.
const FLOATS: usize = 1 << 17;

/// The most pixels of a strip: what is multiplied with them is read often enough.
const PIXELS: usize = 192;

/// What the heights of most tiles divide.
const TILES: usize = 12;

/// Strips of `pixels` pixels where `per_pixel` floats are sampled for each: equal but for some rows of a tile, and even in number,
/// so that two threads end together.
pub(super) fn cut(pixels: usize, per_pixel: usize) -> Cut {
    let most = (FLOATS / per_pixel.max(1)).clamp(2 * TILES, PIXELS);
    let strips = pixels.div_ceil(most).next_multiple_of(2);
    let each = pixels.div_ceil(strips.max(1));
    Cut::every(pixels, each.next_multiple_of(TILES))
}

/// Where samples come from.
#[derive(Clone, Debug)]
pub(super) struct Sampler<'a> {
    inputs: Inputs<'a, f32>,
    places: Places,
    /// How far from the first tap each tap lies.
    reach: Vec<[f64; 2]>,
    channels: usize,
}

/// An output pixel, whose taps lie around a corner of the input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pixel: usize,
    /// The number of the first pixel of the image.
    first: usize,
    corner: [f64; 2],
}

/// The input pixels around a place: the number of each, and its weight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    list: [(usize, f64); 4],
    len: usize,
}

impl Around {
    pub(super) const NONE: Self = Self {
        list: [(0, 0.0); 4],
        len: 0,
    };

    #[inline(always)]
    pub(super) fn list(&self) -> &[(usize, f64)] {
        &self.list[..self.len]
    }
}

impl<'a> Sampler<'a> {
    pub(super) fn new(g: &DeformConv2dGeometry, inputs: &Inputs<'a, f32>) -> Self {
        let places = Places::new(g);
        Self {
            inputs: *inputs,
            places,
            reach: places.reach().collect(),
            channels: g.conv().in_channels(),
        }
    }

    #[inline(always)]
    pub(super) fn origin(&self, pixel: usize) -> Origin {
        let ([h, w], [oh, ow]) = (self.places.input, self.places.output);
        Origin {
            pixel,
            first: pixel / (oh * ow) * h * w,
            corner: self.places.corner(pixel),
        }
    }

    /// The place of tap `tap` of a group of offsets, and its factor.
    #[inline(always)]
    pub(super) fn place(&self, origin: &Origin, group: usize, tap: usize) -> ([f64; 2], f64) {
        let (taps, reach) = (self.reach.len(), self.reach[tap]);
        let (offset, mask) = self
            .places
            .moved(&self.inputs, origin.pixel, group * taps + tap);
        let place = array(
            #[inline(always)]
            |axis| origin.corner[axis] + reach[axis] + offset[axis],
        );
        (place, mask)
    }

    /// The pixels around a place, if it lies between four of them: mostly.
    #[inline(always)]
    pub(super) fn square(&self, origin: &Origin, place: [f64; 2]) -> Option<Square> {
        let [h, w] = self.places.input;
        let (row, down) = between(place[0], h as f64)?;
        let (column, right) = between(place[1], w as f64)?;
        let start = origin.first + row * w + column;
        Some(Square {
            rows: [start, start + w],
            rest: [down, right],
        })
    }

    /// The rows and columns around any place. Compiled once, not for each level: it is not vectors that it computes with.
    #[inline(never)]
    pub(super) fn taps(&self, place: [f64; 2]) -> [Taps; 2] {
        self.places.taps(place)
    }

    /// The number of the pixel in a row and a column.
    #[inline(always)]
    pub(super) fn pixel(&self, origin: &Origin, [row, column]: [usize; 2]) -> usize {
        origin.first + row * self.places.input[1] + column
    }

    /// The pixels around a place, with all their weight.
    #[inline(always)]
    pub(super) fn find(&self, origin: &Origin, group: usize, tap: usize, around: &mut Around) {
        let (place, mask) = self.place(origin, group, tap);
        if let Some(square) = self.square(origin, place) {
            around.list = square.list(mask);
            around.len = 4;
        } else {
            self.search(origin, place, mask, around);
        }
    }

    /// Compiled once, as `taps` is.
    #[inline(never)]
    fn search(&self, origin: &Origin, place: [f64; 2], mask: f64, around: &mut Around) {
        let [rows, columns] = self.taps(place);
        around.len = 0;
        for row in rows.iter() {
            for column in columns.iter() {
                let pixel = self.pixel(origin, [row.at, column.at]);
                around.list[around.len] = (pixel, row.weight * column.weight * mask);
                around.len += 1;
            }
        }
    }

    /// The channels `channels` of a pixel.
    #[inline(always)]
    pub(super) fn x(&self, pixel: usize, channels: Range<usize>) -> &'a [f32] {
        &self.inputs.x[pixel * self.channels..][channels]
    }
}
