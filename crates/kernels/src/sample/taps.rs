//! From a place to the pixels around it, along one axis.

use crate::cubic;
use crate::geometry::{SampleGeometry, SampleMode, SamplePadding};
use striate_simd::Simd;

/// A pixel inside the image.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tap {
    /// Its position on the axis.
    pub(crate) at: usize,
    /// Its share of the value.
    pub(crate) weight: f64,
    /// The derivative of the share by the coordinate of the grid.
    pub(crate) slope: f64,
}

/// The pixels that a coordinate needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taps {
    taps: [Tap; 4],
    len: usize,
}

impl Taps {
    /// The pixels before and after a place of an axis of `size` pixels between which a line runs; those outside are zero.
    /// `slope` is the derivative of the place.
    pub(crate) fn linear(place: f64, size: f64, slope: f64) -> Self {
        let first = place.floor();
        let mut taps = Self::default();
        taps.push(first, size, 1.0 - (place - first), -slope);
        taps.push(first + 1.0, size, place - first, slope);
        taps
    }

    /// Takes a pixel, unless it lies outside.
    fn push(&mut self, at: f64, size: f64, weight: f64, slope: f64) {
        if at >= 0.0 && at < size {
            let at = at as usize;
            self.taps[self.len] = Tap { at, weight, slope };
            self.len += 1;
        }
    }

    /// From the first to the last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tap> {
        self.taps[..self.len].iter()
    }
}

/// The four pixels around a place between them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Square {
    /// The numbers of the first of them and of the one below.
    pub(crate) rows: [usize; 2],
    /// How far below and how far right of the first the place is.
    pub(crate) rest: [f64; 2],
}

impl Square {
    /// The pixels with their shares, each times `factor`.
    #[inline(always)]
    pub(crate) fn list(&self, factor: f64) -> [(usize, f64); 4] {
        let ([above, below], [down, right]) = (self.rows, self.rest);
        let (upper, lower) = ((1.0 - down) * factor, down * factor);
        [
            (above, upper * (1.0 - right)),
            (above + 1, upper * right),
            (below, lower * (1.0 - right)),
            (below + 1, lower * right),
        ]
    }

    /// From the products of something with each of the pixels, lane by lane: that with what is sampled, and its derivatives by
    /// how far down and how far right the place is.
    #[inline(always)]
    pub(crate) fn gradient<S: Simd>(&self, s: S, [a, b, c, d]: [S::F32; 4]) -> [S::F32; 3] {
        let [down, right] = self.rest;
        let (upper, lower) = (mix(s, a, b, right), mix(s, c, d, right));
        [
            mix(s, upper, lower, down),
            s.sub(lower, upper),
            mix(s, s.sub(b, a), s.sub(d, c), down),
        ]
    }
}

/// What lies `t` of the way from `low` to `high`.
#[inline(always)]
fn mix<S: Simd>(s: S, low: S::F32, high: S::F32, t: f64) -> S::F32 {
    let low = s.mul(low, s.splat((1.0 - t) as f32));
    s.mul_add(high, s.splat(t as f32), low)
}

/// The pixel before a place, and how far behind it the place lies, if the place lies between two pixels of an axis of `size`.
#[inline(always)]
pub(crate) fn between(place: f64, size: f64) -> Option<(usize, f64)> {
    if place > 0.0 && place < size - 1.0 {
        let first = place as i64;
        Some((first as usize, place - first as f64))
    } else {
        None
    }
}

/// How coordinates of one axis become pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    size: f64,
    mode: SampleMode,
    padding: SamplePadding,
    align_corners: bool,
}

impl Axis {
    /// Of the rows (0) or the columns (1).
    pub(super) fn new(g: &SampleGeometry, axis: usize) -> Self {
        Self {
            size: g.input()[2 + axis] as f64,
            mode: g.mode,
            padding: g.padding,
            align_corners: g.align_corners,
        }
    }

    /// The first of the two pixels for a coordinate, and how far behind it the place lies, where all of a line between two pixels is inside of the image, as it mostly is.
    #[inline(always)]
    pub(super) fn between(&self, coordinate: f32) -> Option<(usize, f64)> {
        if self.mode != SampleMode::Bilinear {
            return None;
        }
        between(self.place(f64::from(coordinate)), self.size)
    }

    /// The pixels from -1 to 1.
    #[inline(always)]
    pub(super) fn pixels(&self) -> f64 {
        if self.align_corners {
            self.size - 1.0
        } else {
            self.size
        }
    }

    /// The place of a coordinate, in pixels.
    #[inline(always)]
    fn place(&self, coordinate: f64) -> f64 {
        (coordinate * self.pixels() + self.size - 1.0) / 2.0
    }

    /// The pixels for a coordinate from -1 to 1. One that is no number, or infinite, lies outside.
    pub(super) fn taps(&self, coordinate: f64) -> Taps {
        let finite = coordinate.is_finite();
        let coordinate = match self.padding {
            SamplePadding::Zeros if !finite => return Taps::default(),
            _ if !finite => -1.0,
            _ => coordinate,
        };
        let place = self.place(coordinate);
        let slope = if finite { self.pixels() / 2.0 } else { 0.0 };
        if self.mode == SampleMode::Bicubic {
            return self.cubic(place, slope);
        }
        let (place, sign) = self.inside(place);
        if self.mode == SampleMode::Nearest {
            let mut taps = Taps::default();
            taps.push(place.round_ties_even(), self.size, 1.0, 0.0);
            return taps;
        }
        Taps::linear(place, self.size, slope * sign)
    }

    /// Each of the four pixels is looked up by itself.
    fn cubic(&self, place: f64, slope: f64) -> Taps {
        let (first, t) = (place.floor(), place - place.floor());
        let (weights, slopes) = (cubic::weights(t), cubic::slopes(t));
        let mut taps = Taps::default();
        for i in 0..4 {
            let (at, _) = self.inside(first + i as f64 - 1.0);
            taps.push(at, self.size, weights[i], slopes[i] * slope);
        }
        taps
    }

    /// A place as the padding has it, and its derivative: 1, -1 or, where the padding holds it fast, 0.
    fn inside(&self, place: f64) -> (f64, f64) {
        let last = self.size - 1.0;
        let (place, sign) = match self.padding {
            SamplePadding::Zeros => return (place, 1.0),
            SamplePadding::Border => (place, 1.0),
            SamplePadding::Reflection => self.reflected(place),
        };
        let free = place > 0.0 && place < last;
        (place.clamp(0.0, last), if free { sign } else { 0.0 })
    }

    fn reflected(&self, place: f64) -> (f64, f64) {
        let (low, span) = if self.align_corners {
            (0.0, self.size - 1.0)
        } else {
            (-0.5, self.size)
        };
        if span == 0.0 {
            return (0.0, 0.0);
        }
        let distance = (place - low).abs();
        let sign = if place < low { -1.0 } else { 1.0 };
        let flips = (distance / span).floor();
        let rest = distance - flips * span;
        if flips % 2.0 == 0.0 {
            (low + rest, sign)
        } else {
            (low + span - rest, -sign)
        }
    }
}
