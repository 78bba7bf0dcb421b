//! The gradient of depthwise weights.
//!
//! ```text
//! dw[c, ky, kx] = sum over n, oy, ox of x[n, oy*s + ky*d - pad, ox*s + kx*d - pad, c] * dy[n, oy, ox, c]
//! ```
//!
//! A few pixels of two lines of the output's gradient are kept in registers while all lines of the input that they
//! read pass by. Tasks add up copies of their own, cut by shape alone, which are then added in pairs.

use super::axis::Axis;
use super::bands::{Bands, Pair, Scratch};
use super::links::Link;
use super::neighbours::{Places, Step, holds_two};
use crate::conv2d::Conv2dGeometry;
use crate::conv2d::copies::add_in_pairs;
use crate::error::KernelError;
use crate::geometry::element_count;
use crate::parallel;
use striate_simd::{Buffer, Level, Simd, dispatch};

/// Copies of the gradient at most.
const COPIES: usize = 16;

/// Computes `dweight`, `[channels, 1, kernel_h, kernel_w]`, from `x` and `dy`, both channels-last.
pub(crate) fn run(
    level: Level,
    g: &Conv2dGeometry,
    x: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    if dy.is_empty() {
        dweight.fill(0.0);
        return Ok(());
    }
    let channels = g.in_channels();
    // Every vector of channels has a place of its own, also the last, which repeats channels of the one before.
    let lanes = level.lanes();
    let row_len = channels.next_multiple_of(lanes);
    let bands = Bands::new(Axis::forward(g), g.batch(), channels, row_len);
    let cut = bands.cut(COPIES, 1);
    let len = element_count(
        "conv2d",
        "copies of dweight",
        &[cut.tasks(), g.taps(), row_len],
    )?;
    let mut copies = Buffer::recycled(len)?;
    let pass = Pass {
        bands: &bands,
        x,
        dy,
    };
    parallel::for_each_chunk(&mut copies, g.taps() * row_len, |task, sums| {
        sums.fill(0.0);
        dispatch!(level, s => pass.run(s, cut.range(task), sums));
    });
    add_in_pairs(&mut copies, g.taps() * row_len);
    let repeated = if channels < lanes {
        0
    } else {
        row_len - channels
    };
    for (channel, filter) in dweight.chunks_exact_mut(g.taps()).enumerate() {
        let last = channel / lanes == row_len / lanes - 1;
        let at = channel + if last { repeated } else { 0 };
        for (tap, weight) in filter.iter_mut().enumerate() {
            *weight = copies[tap * row_len + at];
        }
    }
    Ok(())
}

struct Pass<'a> {
    bands: &'a Bands,
    x: &'a [f32],
    dy: &'a [f32],
}

/// Pixels of a pair of lines.
struct Place<'p> {
    pair: Pair<'p>,
    first: usize,
    channel: usize,
    /// Of the vector of channels.
    slot: usize,
}

impl Pass<'_> {
    /// Adds what some bands of the output contribute to `sums`.
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, bands: std::ops::Range<usize>, sums: &mut [f32]) {
        let mut scratch = Scratch::default();
        for band in bands {
            self.bands.pairs(
                band,
                &mut scratch,
                #[inline(always)]
                |pair, links| self.pair(s, pair, links, sums),
            );
        }
    }

    #[inline(always)]
    fn pair<S: Simd>(&self, s: S, pair: Pair<'_>, links: &mut [Link], sums: &mut [f32]) {
        if self.bands.channels < S::LANES {
            return self.narrow(s, pair, sums);
        }
        match pair.run.lengths() {
            [1, _] => self.tiles::<S, 1, 0>(s, pair, links, sums),
            [2, 0] => self.tiles::<S, 2, 0>(s, pair, links, sums),
            [2, _] => self.tiles::<S, 2, 1>(s, pair, links, sums),
            [3, 0] => self.tiles::<S, 3, 0>(s, pair, links, sums),
            [3, _] => self.tiles::<S, 3, 2>(s, pair, links, sums),
            [4, 0] => self.tiles::<S, 4, 0>(s, pair, links, sums),
            [4, _] => self.tiles::<S, 4, 3>(s, pair, links, sums),
            _ => self.tiles::<S, 5, 0>(s, pair, links, sums),
        }
    }

    /// All tiles of a run, whose chains have the lengths `A` and, unless it is zero, `B`.
    #[inline(always)]
    fn tiles<S: Simd, const A: usize, const B: usize>(
        &self,
        s: S,
        pair: Pair<'_>,
        links: &mut [Link],
        sums: &mut [f32],
    ) {
        let (channels, run) = (self.bands.channels, pair.run);
        for group in self.bands.groups(S::LANES, 7) {
            let mut first = 0;
            while first < run.count {
                let width = match run.count - first {
                    7.. if S::LANES != 8 => 7,
                    4.. => 4,
                    _ => 1,
                };
                run.aim(links, first, width, channels, self.bands.source_line_len());
                for vector in group.clone() {
                    let place = Place {
                        pair,
                        first,
                        channel: (vector * S::LANES).min(channels - S::LANES),
                        slot: vector * S::LANES,
                    };
                    pair.ask_ahead(s, self.x, self.bands, first, width, place.channel);
                    match width {
                        7 => self.tile::<S, A, B, 7>(s, &place, links, sums),
                        4 => self.tile::<S, A, B, 4>(s, &place, links, sums),
                        _ => self.tile::<S, A, B, 1>(s, &place, links, sums),
                    }
                }
                first += width;
            }
        }
    }

    /// Where pixel `i` of a line of the output's gradient is.
    #[inline(always)]
    fn gradient(&self, pair: &Pair<'_>, line: usize, i: usize) -> usize {
        let pixel = pair.run.first + i * pair.run.step;
        line * self.bands.out_line_len() + pixel * self.bands.channels
    }

    /// `T` pixels of two lines, and one vector of channels.
    #[inline(always)]
    fn tile<S: Simd, const A: usize, const B: usize, const T: usize>(
        &self,
        s: S,
        place: &Place<'_>,
        links: &[Link],
        sums: &mut [f32],
    ) {
        let Place { pair, channel, .. } = place;
        let mut gradients = [[s.splat(0.0); T]; 2];
        for side in 0..2 {
            if let Some(line) = pair.lines[side] {
                let at = self.gradient(pair, line, place.first) + channel;
                let step = pair.run.step * self.bands.channels;
                let places = Places {
                    at,
                    step: Step::new(step),
                };
                gradients[side] = places.load(s, self.dy);
                if let Some(advance) = pair.advance {
                    for t in 0..T {
                        s.prefetch(self.dy, at + t * step + advance);
                    }
                }
            }
        }
        for link in links {
            if B == 0 || link.len == A {
                self.chain::<S, A, T>(s, gradients, place, link, sums);
            } else {
                self.chain::<S, B, T>(s, gradients, place, link, sums);
            }
        }
    }

    /// Adds the products of the gradients with what a chain of taps reads to the sums of these taps.
    #[inline(always)]
    fn chain<S: Simd, const K: usize, const T: usize>(
        &self,
        s: S,
        gradients: [[S::F32; T]; 2],
        place: &Place<'_>,
        link: &Link,
        sums: &mut [f32],
    ) {
        let (x, pixels, channel) = (self.x, &link.pixels, place.channel);
        let taps = [link.taps(0, place.slot), link.taps(1, place.slot)];
        if let [Some(a), Some(b)] = taps
            && holds_two(S::LANES, K)
        {
            let filters = [a.load::<S, K>(s, sums), b.load::<S, K>(s, sums)];
            let [first, second] = pixels.correlate(s, x, channel, filters, gradients);
            a.store(s, first, sums);
            b.store(s, second, sums);
            return;
        }
        for side in 0..2 {
            if let Some(taps) = taps[side] {
                let filter = taps.load::<S, K>(s, sums);
                let [filter] = pixels.correlate(s, x, channel, [filter], [gradients[side]]);
                taps.store(s, filter, sums);
            }
        }
    }

    /// Pixels of fewer channels than a vector has, one by one.
    #[inline(always)]
    fn narrow<S: Simd>(&self, s: S, pair: Pair<'_>, sums: &mut [f32]) {
        let channels = self.bands.channels;
        let source_len = self.bands.columns.source_len();
        for side in 0..2 {
            let Some(line) = pair.lines[side] else {
                continue;
            };
            for i in 0..pair.run.count {
                let gradient = &self.dy[self.gradient(&pair, line, i)..][..channels];
                let gradient = s.load_partial(gradient);
                for term in pair.terms {
                    let Some(row) = term.filters[side] else {
                        continue;
                    };
                    for (column, pixel) in pair.run.sources(i, source_len) {
                        let from = term.source + pixel * channels;
                        let x = s.load_partial(&self.x[from..][..channels]);
                        let sum = &mut sums[row + column * self.bands.tap_len..];
                        s.store(s.mul_add(x, gradient, s.load(sum)), sum);
                    }
                }
            }
        }
    }
}
