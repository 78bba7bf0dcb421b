//! From a place to the pixels around it, along one axis.

use crate::cubic;
use crate::geometry::{SampleGeometry, SampleMode, SamplePadding};

/// A pixel inside the image.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tap {
    /// Its position on the axis.
    pub(super) at: usize,
    /// Its share of the value.
    pub(super) weight: f64,
    /// The derivative of the share by the coordinate of the grid.
    pub(super) slope: f64,
}

/// The pixels that a coordinate needs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taps {
    taps: [Tap; 4],
    len: usize,
}

impl Taps {
    #[inline(always)]
    fn push(&mut self, tap: Tap) {
        self.taps[self.len] = tap;
        self.len += 1;
    }

    #[inline(always)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Tap> {
        self.taps[..self.len].iter()
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

    /// The pixels for a coordinate from -1 to 1. One that is no number, or infinite, lies outside.
    #[inline(always)]
    pub(super) fn taps(&self, coordinate: f64) -> Taps {
        let pixels = if self.align_corners {
            self.size - 1.0
        } else {
            self.size
        };
        let finite = coordinate.is_finite();
        let coordinate = match self.padding {
            SamplePadding::Zeros if !finite => return Taps::default(),
            _ if !finite => -1.0,
            _ => coordinate,
        };
        let place = (coordinate * pixels + self.size - 1.0) / 2.0;
        let slope = if finite { pixels / 2.0 } else { 0.0 };
        if self.mode == SampleMode::Bicubic {
            return self.cubic(place, slope);
        }
        let (place, sign) = self.inside(place);
        if self.mode == SampleMode::Nearest {
            let mut taps = Taps::default();
            self.push(&mut taps, place.round_ties_even(), 1.0, 0.0);
            return taps;
        }
        let (first, slope) = (place.floor(), slope * sign);
        let mut taps = Taps::default();
        self.push(&mut taps, first, 1.0 - (place - first), -slope);
        self.push(&mut taps, first + 1.0, place - first, slope);
        taps
    }

    /// Each of the four pixels is looked up by itself.
    #[inline(always)]
    fn cubic(&self, place: f64, slope: f64) -> Taps {
        let (first, t) = (place.floor(), place - place.floor());
        let (weights, slopes) = (cubic::weights(t), cubic::slopes(t));
        let mut taps = Taps::default();
        for i in 0..4 {
            let (at, _) = self.inside(first + i as f64 - 1.0);
            self.push(&mut taps, at, weights[i], slopes[i] * slope);
        }
        taps
    }

    /// A place as the padding has it, and its derivative: 1, -1 or, where the padding holds it fast, 0.
    #[inline(always)]
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

    #[inline(always)]
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

    /// A pixel outside the image is zero whatever its weight.
    #[inline(always)]
    fn push(&self, taps: &mut Taps, at: f64, weight: f64, slope: f64) {
        if at >= 0.0 && at < self.size {
            let at = at as usize;
            taps.push(Tap { at, weight, slope });
        }
    }
}
