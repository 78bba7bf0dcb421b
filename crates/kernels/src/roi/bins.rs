//! Which pixels a bin is the average of, along each axis: rows and columns have weights of their own.

use super::geometry::{RoiGeometry, RoiSampling};
use crate::real::Real;
use crate::sample::taps::{Tap, Taps};

/// The part of a region along one axis, in pixels.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: f64,
    size: f64,
}

/// One axis of a bin.
#[derive(Clone, Debug, Default)]
struct Side {
    taps: Vec<Tap>,
    /// Samples that are averaged.
    count: f64,
}

/// The pixels of one bin.
#[derive(Clone, Debug, Default)]
pub(super) struct Bin {
    rows: Side,
    columns: Side,
    /// One by the number of samples.
    factor: f64,
    /// What an offset of one moves the bin by, down and right.
    reach: [f64; 2],
}

/// A region: its image, and what of it lies along each axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    pub(super) image: usize,
    spans: [Span; 2],
}

impl Region {
    /// The region that a row `[image, x1, y1, x2, y2]` describes.
    pub(super) fn new<R: Real>(g: &RoiGeometry, row: &[R]) -> Self {
        let at = |i: usize| row[i].to_f64();
        let span = |axis: usize| {
            let (low, high, scale) = (at(2 - axis), at(4 - axis), g.scale());
            let (start, end, least) = match g.sampling() {
                RoiSampling::Align { aligned: true, .. } => {
                    (low * scale - 0.5, high * scale - 0.5, f64::NEG_INFINITY)
                }
                RoiSampling::Align { .. } => (low * scale, high * scale, 1.0),
                RoiSampling::Pixels => ((low * scale).round(), (high * scale).round(), 1.0),
                RoiSampling::Steps(_) => {
                    let end = (high.round_ties_even() + 1.0) * scale - 0.5;
                    (low.round_ties_even() * scale - 0.5, end, 0.1)
                }
            };
            let size = (end - start).max(least);
            Span { start, size }
        };
        Self {
            image: at(0) as usize,
            spans: [span(0), span(1)],
        }
    }

    /// The pixels of a bin that is moved by `[down, right]` of the offsets.
    pub(super) fn bin(&self, g: &RoiGeometry, bin: [usize; 2], offset: [f64; 2]) -> Bin {
        let [_, _, h, w] = g.input();
        let [_, _, bins_h, bins_w] = g.output();
        let gamma = g.offsets().map_or(0.0, |offsets| offsets.gamma);
        let reach = self.spans.map(|span| gamma * span.size);
        let side = |axis: usize| {
            let (size, bins) = ([h, w][axis], [bins_h, bins_w][axis]);
            let shift = reach[axis] * offset[axis];
            self.spans[axis].side(g.sampling(), size, bins, bin[axis], shift)
        };
        let (rows, columns) = (side(0), side(1));
        // Of huge regions the numbers of samples need not fit an integer.
        let factor = 1.0 / (rows.count * columns.count).max(1.0);
        Bin {
            rows,
            columns,
            factor,
            reach,
        }
    }
}

impl Span {
    /// The samples of bin `bin` of `bins` on an axis of `size` pixels.
    fn side(self, sampling: RoiSampling, size: usize, bins: usize, bin: usize, shift: f64) -> Side {
        let step = self.size / bins as f64;
        let start = self.start + bin as f64 * step + shift;
        let mut side = Side::default();
        match sampling {
            RoiSampling::Align { ratio: 0, .. } => {
                let count = step.ceil().max(0.0);
                // Of a region that is much larger than the image, only the samples near the image.
                let cell = step / count;
                let first = ((-1.0 - start) / cell - 1.0).clamp(0.0, count) as usize;
                let last = ((size as f64 + 1.0 - start) / cell + 1.0).clamp(0.0, count) as usize;
                side.count = count;
                for i in first..last {
                    side.align(start + (i as f64 + 0.5) * cell, size);
                }
            }
            RoiSampling::Align { ratio, .. } => {
                side.count = ratio as f64;
                for i in 0..ratio {
                    side.align(start + (i as f64 + 0.5) * step / ratio as f64, size);
                }
            }
            RoiSampling::Pixels => {
                // Exactly, where a bin ends between two pixels.
                let end = |bin: usize| self.size * bin as f64 / bins as f64;
                let inside = |place: f64| place.clamp(0.0, size as f64 - 1.0) as usize;
                let first = inside(self.start + end(bin).floor());
                for at in first..inside(self.start + end(bin + 1).ceil()) {
                    side.add([Tap {
                        at,
                        weight: 1.0,
                        slope: 0.0,
                    }]);
                    side.count += 1.0;
                }
            }
            RoiSampling::Steps(samples) => {
                let far = size as f64 - 0.5;
                for i in 0..samples {
                    let place = start + i as f64 * step / samples as f64;
                    if (-0.5..=far).contains(&place) {
                        side.count += 1.0;
                        side.align(place, size);
                    }
                }
            }
        }
        side
    }
}

impl Side {
    /// Takes a sample by the rule of RoIAlign; where its place is held fast, its derivative is zero.
    fn align(&mut self, place: f64, size: usize) {
        let (size, last) = (size as f64, size as f64 - 1.0);
        if (-1.0..=size).contains(&place) {
            let free = place > 0.0 && place < last;
            let slope = if free { 1.0 } else { 0.0 };
            let taps = Taps::linear(place.clamp(0.0, last), size, slope);
            self.add(taps.iter().copied());
        }
    }

    /// Adds to the weights of pixels; neighbouring samples share them.
    fn add(&mut self, taps: impl IntoIterator<Item = Tap>) {
        for tap in taps {
            match self.taps.iter_mut().rev().take(3).find(|t| t.at == tap.at) {
                Some(same) => {
                    same.weight += tap.weight;
                    same.slope += tap.slope;
                }
                None => self.taps.push(tap),
            }
        }
    }
}

impl Bin {
    /// Calls `f(row, column, weight, [slope down, slope right])` for every pixel; slopes are by the offsets.
    pub(super) fn for_each(&self, f: &mut dyn FnMut(usize, usize, f64, [f64; 2])) {
        let [down, right] = self.reach;
        for row in &self.rows.taps {
            for column in &self.columns.taps {
                let slopes = [
                    row.slope * column.weight * self.factor * down,
                    row.weight * column.slope * self.factor * right,
                ];
                f(
                    row.at,
                    column.at,
                    row.weight * column.weight * self.factor,
                    slopes,
                );
            }
        }
    }
}

/// The bin of a region for a class, with the offsets of its region.
pub(super) fn moved<R: Real>(
    g: &RoiGeometry,
    region: &Region,
    bin: [usize; 2],
    class: usize,
    offsets: &[R],
) -> Bin {
    let offset = g.offset_at(class, bin).map_or([0.0; 2], |[x, y]| {
        [offsets[y].to_f64(), offsets[x].to_f64()]
    });
    region.bin(g, bin, offset)
}
