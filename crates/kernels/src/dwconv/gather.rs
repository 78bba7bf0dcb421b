//! Lines of pixels that gather from other lines, a vector of channels at a time.

use super::axis::Chain;
use super::bands::{Bands, Pair, Term};
use super::neighbours::{Places, holds_two};
use crate::elementwise::assign;
use crate::epilogue::Epilogue;
use std::ops::Range;
use striate_simd::{Simd, Stream};

/// A pass over an output.
pub(super) struct Pass<'a> {
    pub(super) bands: &'a Bands,
    pub(super) source: &'a [f32],
    /// `[taps][channels]`
    pub(super) weights: &'a [f32],
    pub(super) epilogue: &'a Epilogue<'a>,
}

/// Some lines of the output.
struct Output<'o, S: Simd> {
    data: Memory<'o, S>,
    /// The number of the first element in the whole output.
    at: usize,
}

enum Memory<'o, S: Simd> {
    Near(&'o mut [f32]),
    Far(Stream<'o, S>),
}

impl<S: Simd> Output<'_, S> {
    #[inline(always)]
    fn store(&mut self, s: S, v: S::F32, at: usize) {
        let at = at - self.at;
        match &mut self.data {
            Memory::Near(data) => s.store(v, &mut data[at..]),
            Memory::Far(data) => data.store(v, at),
        }
    }
}

/// Pixels of a tile of a run of `count` pixels, whose chains are `len` taps long. Sevens waste less of some lengths,
/// but only many registers hold two lines of them; few do not even hold fours beside long chains.
#[inline(always)]
pub(super) fn tile_width(lanes: usize, len: usize, count: usize) -> usize {
    let few_registers = lanes == 8;
    let rounded = |width| count.next_multiple_of(width);
    if few_registers && len > 3 {
        2
    } else if !few_registers && 8 * rounded(7) <= 9 * rounded(4) {
        7
    } else {
        4
    }
}

/// Pixels of a pair of lines.
struct Place<'p> {
    pair: Pair<'p>,
    pixels: Range<usize>,
    channel: usize,
}

impl Place<'_> {
    /// Where a pixel of a line of the output is.
    #[inline(always)]
    fn target(&self, bands: &Bands, line: usize, i: usize) -> usize {
        let pixel = self.pair.run.first + i * self.pair.run.step;
        line * bands.out_line_len() + pixel * bands.channels + self.channel
    }
}

impl Pass<'_> {
    /// Computes the lines of some bands, which `out` holds.
    #[inline(always)]
    pub(super) fn run<S: Simd>(&self, s: S, bands: Range<usize>, out: &mut [f32]) {
        let at = self.bands.lines(&bands).start * self.bands.out_line_len();
        let late = self.epilogue.activation.late();
        let read_again = late.is_some() || self.epilogue.moments.is_some();
        let whole_vectors = self.bands.channels.is_multiple_of(S::LANES);
        let data = if self.bands.far && whole_vectors && !read_again {
            Stream::new(s, out).map_or_else(Memory::Near, Memory::Far)
        } else {
            Memory::Near(out)
        };
        let mut out = Output { data, at };
        for band in bands {
            self.bands.pairs(
                band,
                #[inline(always)]
                |pair| self.pair(s, pair, &mut out),
            );
        }
        if let (Some(function), Memory::Near(data)) = (late, out.data) {
            assign(s, function, data);
        }
    }

    #[inline(always)]
    fn pair<S: Simd>(&self, s: S, pair: Pair<'_>, out: &mut Output<'_, S>) {
        if self.bands.channels < S::LANES {
            return self.narrow(s, pair, out);
        }
        // The lengths are constants of the loops, so that sums stay in registers from chain to chain.
        match pair.run.lengths() {
            [1, _] => self.tiles::<S, 1, 0>(s, pair, out),
            [2, 0] => self.tiles::<S, 2, 0>(s, pair, out),
            [2, _] => self.tiles::<S, 2, 1>(s, pair, out),
            [3, 0] => self.tiles::<S, 3, 0>(s, pair, out),
            [3, _] => self.tiles::<S, 3, 2>(s, pair, out),
            [4, 0] => self.tiles::<S, 4, 0>(s, pair, out),
            [4, _] => self.tiles::<S, 4, 3>(s, pair, out),
            _ => self.tiles::<S, 5, 0>(s, pair, out),
        }
    }

    /// All tiles of a run, whose chains have the lengths `A` and, unless it is zero, `B`.
    #[inline(always)]
    fn tiles<S: Simd, const A: usize, const B: usize>(
        &self,
        s: S,
        pair: Pair<'_>,
        out: &mut Output<'_, S>,
    ) {
        let (channels, run) = (self.bands.channels, pair.run);
        let width = tile_width(S::LANES, A, run.count);
        for group in self.bands.groups(S::LANES, width) {
            for i in (0..run.count).step_by(width) {
                for vector in group.clone() {
                    let place = Place {
                        pair,
                        pixels: i..(i + width).min(run.count),
                        channel: (vector * S::LANES).min(channels - S::LANES),
                    };
                    pair.ask_ahead(s, self.source, self.bands, i, width, place.channel);
                    match width {
                        7 => self.tile::<S, A, B, 7>(s, &place, out),
                        2 => self.tile::<S, A, B, 2>(s, &place, out),
                        _ => self.tile::<S, A, B, 4>(s, &place, out),
                    }
                }
            }
        }
    }

    /// At most `T` pixels of two lines, and one vector of channels.
    #[inline(always)]
    fn tile<S: Simd, const A: usize, const B: usize, const T: usize>(
        &self,
        s: S,
        place: &Place<'_>,
        out: &mut Output<'_, S>,
    ) {
        let mut sums = [[s.splat(0.0); T]; 2];
        for term in place.pair.terms {
            if B == 0 {
                for chain in &place.pair.run.chains {
                    sums = self.chain::<S, A, T>(s, sums, place, term, chain);
                }
            } else if let [a, b] = &place.pair.run.chains[..] {
                sums = self.chain::<S, A, T>(s, sums, place, term, a);
                sums = self.chain::<S, B, T>(s, sums, place, term, b);
            }
        }
        if let Some(line) = place.pair.lines[0] {
            self.store(s, sums[0], place, line, out);
        }
        if let Some(line) = place.pair.lines[1] {
            self.store(s, sums[1], place, line, out);
        }
    }

    #[inline(always)]
    fn chain<S: Simd, const K: usize, const T: usize>(
        &self,
        s: S,
        sums: [[S::F32; T]; 2],
        place: &Place<'_>,
        term: &Term,
        chain: &Chain,
    ) -> [[S::F32; T]; 2] {
        let channels = self.bands.channels;
        let first = place.pixels.start * place.pair.run.source_step * channels + place.channel;
        let pixels = Places {
            at: first.wrapping_add_signed(chain.start),
            step: (place.pair.run.source_step * channels) as isize,
        };
        let taps = Places {
            at: chain.tap + place.channel,
            step: chain.tap_step,
        };
        let line = &self.source[term.source..][..self.bands.source_line_len()];
        if let [Some(a), Some(b)] = term.filters
            && holds_two(S::LANES, K)
        {
            let a = taps.load::<S, K>(s, &self.weights[a..]);
            let b = taps.load::<S, K>(s, &self.weights[b..]);
            return pixels.gather(s, line, sums, [a, b]);
        }
        let [mut first, mut second] = sums;
        if let Some(row) = term.filters[0] {
            let filter = taps.load::<S, K>(s, &self.weights[row..]);
            [first] = pixels.gather(s, line, [first], [filter]);
        }
        if let Some(row) = term.filters[1] {
            let filter = taps.load::<S, K>(s, &self.weights[row..]);
            [second] = pixels.gather(s, line, [second], [filter]);
        }
        [first, second]
    }

    /// Pixels of fewer channels than a vector has, one by one.
    #[inline(always)]
    fn narrow<S: Simd>(&self, s: S, pair: Pair<'_>, out: &mut Output<'_, S>) {
        let channels = self.bands.channels;
        let place = Place {
            pair,
            pixels: 0..pair.run.count,
            channel: 0,
        };
        for side in 0..2 {
            let Some(line) = place.pair.lines[side] else {
                continue;
            };
            for i in place.pixels.clone() {
                let mut sum = s.splat(0.0);
                for term in place.pair.terms {
                    let Some(row) = term.filters[side] else {
                        continue;
                    };
                    for (column, pixel) in
                        place.pair.run.sources(i, self.bands.columns.source_len())
                    {
                        let from = term.source + pixel * channels;
                        let x = s.load_partial(&self.source[from..][..channels]);
                        let tap = row + column * channels;
                        let weight = s.load_partial(&self.weights[tap..][..channels]);
                        sum = s.mul_add(x, weight, sum);
                    }
                }
                self.store_narrow(s, sum, place.target(self.bands, line, i), out);
            }
        }
    }

    /// Stores the sums of the pixels of a line, in loops so small that they are unrolled.
    #[inline(always)]
    fn store<S: Simd, const T: usize>(
        &self,
        s: S,
        mut sums: [S::F32; T],
        place: &Place<'_>,
        line: usize,
        out: &mut Output<'_, S>,
    ) {
        let step = place.pair.run.step * self.bands.channels;
        let at = place.target(self.bands, line, place.pixels.start);
        let count = place.pixels.len();
        if let Some(scale) = self.epilogue.scale {
            let scale = s.load(&scale[place.channel..]);
            for t in 0..T {
                sums[t] = s.mul(sums[t], scale);
            }
        }
        if let Some(bias) = self.epilogue.bias {
            let bias = s.load(&bias[place.channel..]);
            for t in 0..T {
                sums[t] = s.add(sums[t], bias);
            }
        }
        if let Some(residual) = self.epilogue.residual {
            for t in 0..T {
                if t < count {
                    sums[t] = s.add(sums[t], s.load(&residual[at + t * step..]));
                }
            }
        }
        let floor = s.splat(self.epilogue.activation.floor());
        for t in 0..T {
            if t < count {
                out.store(s, s.max(floor, sums[t]), at + t * step);
            }
        }
    }

    /// Stores the sums of a pixel of fewer channels than a vector has.
    #[inline(always)]
    fn store_narrow<S: Simd>(&self, s: S, mut sum: S::F32, at: usize, out: &mut Output<'_, S>) {
        let channels = self.bands.channels;
        if let Some(scale) = self.epilogue.scale {
            sum = s.mul(sum, s.load_partial(scale));
        }
        if let Some(bias) = self.epilogue.bias {
            sum = s.add(sum, s.load_partial(bias));
        }
        if let Some(residual) = self.epilogue.residual {
            sum = s.add(sum, s.load_partial(&residual[at..][..channels]));
        }
        sum = s.max(s.splat(self.epilogue.activation.floor()), sum);
        if let Memory::Near(data) = &mut out.data {
            s.store_partial(sum, &mut data[at - out.at..][..channels]);
        }
    }
}
