//! Lines of pixels that gather from other lines, a vector of channels at a time.

use super::axis::Run;
use super::bands::{Bands, Pair, Scratch};
use super::links::Link;
use super::neighbours::{Places, Step, holds_two};
use super::strips::Strips;
use crate::elementwise::assign;
use crate::epilogue::{Bounds, Epilogue};
use std::ops::Range;
use striate_simd::{Simd, Stream};

/// A pass over an output.
pub(super) struct Pass<'a> {
    pub(super) bands: &'a Bands,
    pub(super) strips: Option<Strips>,
    pub(super) source: &'a [f32],
    /// `[taps][channels]`
    pub(super) weights: &'a [f32],
    pub(super) epilogue: &'a Epilogue<'a>,
    /// What the epilogue does in registers.
    pub(super) bounds: &'a Bounds,
}

/// Some lines of the output.
pub(super) struct Output<'o, S: Simd> {
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
    fn store<const T: usize>(&mut self, s: S, vectors: [S::F32; T], places: Places, step: usize) {
        let at = places.at - self.at;
        match &mut self.data {
            Memory::Near(data) => Places { at, ..places }.store(s, vectors, data),
            Memory::Far(data) => data.store_each(vectors, at, step),
        }
    }
}

/// Pixels of a tile of a run of `count` pixels, whose chains are `len` taps long. Sevens waste less of some lengths,
/// but only many registers hold two lines of them; few do not even hold fours beside long chains.
#[inline(always)]
pub(super) fn tile_width(lanes: usize, len: usize, count: usize) -> usize {
    let few_registers = lanes == 8;
    let rounded = |width| count.next_multiple_of(width);
    if count < 2 {
        1
    } else if count < 4 || few_registers && len > 3 {
        2
    } else if !few_registers && 8 * rounded(7) <= 9 * rounded(4) && count >= 7 {
        7
    } else {
        4
    }
}

/// Pixels of a pair of lines, and a vector of their channels.
struct Place<'p> {
    pair: Pair<'p>,
    first: usize,
    channel: usize,
}

/// Where the sums of neighbours in a line go.
pub(super) struct Target {
    /// The first one, in the whole output.
    pub(super) at: usize,
    /// From one to the next.
    pub(super) step: usize,
    pub(super) channel: usize,
}

/// What happens to the sums of a vector of channels when they are stored.
///
/// The loops that store hold copies, since whatever is behind a reference may have been changed by a store, as far as the
/// compiler knows.
#[derive(Clone, Copy)]
pub(super) struct Steps<'a> {
    scale: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    residual: Option<&'a [f32]>,
    bounds: &'a Bounds,
}

impl<'a> Steps<'a> {
    #[inline(always)]
    pub(super) fn new<S: Simd>(pass: &Pass<'a>, channel: usize) -> Self {
        let vector = |of: Option<&'a [f32]>| of.map(|of| &of[channel..][..S::LANES]);
        Self {
            scale: vector(pass.epilogue.scale),
            bias: vector(pass.epilogue.bias),
            residual: pass.epilogue.residual,
            bounds: pass.bounds,
        }
    }

    /// Stores the sums of neighbours, in loops so small that they are unrolled.
    #[inline(always)]
    pub(super) fn store<S: Simd, const T: usize>(
        &self,
        s: S,
        mut sums: [S::F32; T],
        target: Target,
        out: &mut Output<'_, S>,
    ) {
        let places = Places {
            at: target.at,
            step: Step::new(target.step),
        };
        if let Some(scale) = self.scale {
            let scale = s.load(scale);
            for t in 0..T {
                sums[t] = s.mul(sums[t], scale);
            }
        }
        if let Some(bias) = self.bias {
            let bias = s.load(bias);
            for t in 0..T {
                sums[t] = s.add(sums[t], bias);
            }
        }
        if let Some(residual) = self.residual {
            let residual = places.load::<S, T>(s, residual);
            for t in 0..T {
                sums[t] = s.add(sums[t], residual[t]);
            }
        }
        let clamp = self.bounds.in_registers(s);
        for t in 0..T {
            sums[t] = clamp.run(s, sums[t]);
        }
        out.store(s, sums, places, target.step);
    }
}

impl Place<'_> {
    #[inline(always)]
    fn target(&self, bands: &Bands, line: usize) -> Target {
        let Run { first, step, .. } = *self.pair.run;
        let pixel = first + self.first * step;
        Target {
            at: line * bands.out_line_len() + pixel * bands.channels + self.channel,
            step: step * bands.channels,
            channel: self.channel,
        }
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
        // Few registers never go down strips: that is known when the loops are compiled.
        if let Some(strips) = self.strips.filter(|_| S::LANES != 8) {
            self.strips(s, &strips, self.bands.lines(&bands), &mut out);
        } else {
            let mut scratch = Scratch::default();
            for band in bands {
                self.bands.pairs(
                    band,
                    &mut scratch,
                    #[inline(always)]
                    |pair, links| self.pair(s, pair, links, &mut out),
                );
            }
        }
        if let (Some(function), Memory::Near(data)) = (late, out.data) {
            assign(s, function, data);
        }
    }

    #[inline(always)]
    fn pair<S: Simd>(&self, s: S, pair: Pair<'_>, links: &mut [Link], out: &mut Output<'_, S>) {
        if self.bands.channels < S::LANES {
            return self.narrow(s, pair, out);
        }
        // The lengths are constants of the loops, so that sums stay in registers from chain to chain.
        match pair.run.lengths() {
            [1, _] => self.tiles::<S, 1, 0>(s, pair, links, out),
            [2, 0] => self.tiles::<S, 2, 0>(s, pair, links, out),
            [2, _] => self.tiles::<S, 2, 1>(s, pair, links, out),
            [3, 0] => self.tiles::<S, 3, 0>(s, pair, links, out),
            [3, _] => self.tiles::<S, 3, 2>(s, pair, links, out),
            [4, 0] => self.tiles::<S, 4, 0>(s, pair, links, out),
            [4, _] => self.tiles::<S, 4, 3>(s, pair, links, out),
            _ => self.tiles::<S, 5, 0>(s, pair, links, out),
        }
    }

    /// All tiles of a run, whose chains have the lengths `A` and, unless it is zero, `B`. Of tiles that would be cut off,
    /// the last begins earlier.
    #[inline(always)]
    fn tiles<S: Simd, const A: usize, const B: usize>(
        &self,
        s: S,
        pair: Pair<'_>,
        links: &mut [Link],
        out: &mut Output<'_, S>,
    ) {
        let (channels, run) = (self.bands.channels, pair.run);
        let width = tile_width(S::LANES, A, run.count);
        for group in self.bands.groups(S::LANES, width) {
            for i in (0..run.count).step_by(width) {
                let first = i.min(run.count - width);
                run.aim(links, first, width, channels, self.bands.source_line_len());
                for vector in group.clone() {
                    let place = Place {
                        pair,
                        first,
                        channel: (vector * S::LANES).min(channels - S::LANES),
                    };
                    pair.ask_ahead(s, self.source, self.bands, first, width, place.channel);
                    match width {
                        7 => self.tile::<S, A, B, 7>(s, &place, links, out),
                        4 => self.tile::<S, A, B, 4>(s, &place, links, out),
                        2 => self.tile::<S, A, B, 2>(s, &place, links, out),
                        _ => self.tile::<S, A, B, 1>(s, &place, links, out),
                    }
                }
            }
        }
    }

    /// `T` pixels of two lines, and one vector of channels.
    #[inline(always)]
    fn tile<S: Simd, const A: usize, const B: usize, const T: usize>(
        &self,
        s: S,
        place: &Place<'_>,
        links: &[Link],
        out: &mut Output<'_, S>,
    ) {
        let Place { pair, channel, .. } = place;
        let mut sums = [[s.splat(0.0); T]; 2];
        for link in links {
            sums = if B == 0 || link.len == A {
                self.chain::<S, A, T>(s, sums, link, *channel)
            } else {
                self.chain::<S, B, T>(s, sums, link, *channel)
            };
        }
        if let Some(line) = pair.lines[0] {
            self.store(s, sums[0], place.target(self.bands, line), out);
        }
        if let Some(line) = pair.lines[1] {
            self.store(s, sums[1], place.target(self.bands, line), out);
        }
    }

    /// Adds the products of a chain of taps with what it reads to the sums.
    #[inline(always)]
    fn chain<S: Simd, const K: usize, const T: usize>(
        &self,
        s: S,
        sums: [[S::F32; T]; 2],
        link: &Link,
        channel: usize,
    ) -> [[S::F32; T]; 2] {
        let (source, pixels) = (self.source, &link.pixels);
        let taps = [link.taps(0, channel), link.taps(1, channel)];
        if let [Some(a), Some(b)] = taps
            && holds_two(S::LANES, K)
        {
            let a = a.load::<S, K>(s, self.weights);
            let b = b.load::<S, K>(s, self.weights);
            return pixels.gather(s, source, channel, sums, [a, b]);
        }
        let [mut first, mut second] = sums;
        if let Some(taps) = taps[0] {
            let filter = taps.load::<S, K>(s, self.weights);
            [first] = pixels.gather(s, source, channel, [first], [filter]);
        }
        if let Some(taps) = taps[1] {
            let filter = taps.load::<S, K>(s, self.weights);
            [second] = pixels.gather(s, source, channel, [second], [filter]);
        }
        [first, second]
    }

    /// Pixels of fewer channels than a vector has, one by one.
    #[inline(always)]
    fn narrow<S: Simd>(&self, s: S, pair: Pair<'_>, out: &mut Output<'_, S>) {
        let channels = self.bands.channels;
        for side in 0..2 {
            let Some(line) = pair.lines[side] else {
                continue;
            };
            for i in 0..pair.run.count {
                let mut sum = s.splat(0.0);
                for term in pair.terms {
                    let Some(row) = term.filters[side] else {
                        continue;
                    };
                    for (column, pixel) in pair.run.sources(i, self.bands.columns.source_len()) {
                        let from = term.source + pixel * channels;
                        let x = s.load_partial(&self.source[from..][..channels]);
                        let tap = row + column * channels;
                        let weight = s.load_partial(&self.weights[tap..][..channels]);
                        sum = s.mul_add(x, weight, sum);
                    }
                }
                let pixel = pair.run.first + i * pair.run.step;
                let at = line * self.bands.out_line_len() + pixel * channels;
                self.store_narrow(s, sum, at, out);
            }
        }
    }

    #[inline(always)]
    fn store<S: Simd, const T: usize>(
        &self,
        s: S,
        sums: [S::F32; T],
        target: Target,
        out: &mut Output<'_, S>,
    ) {
        Steps::new::<S>(self, target.channel).store(s, sums, target, out);
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
        sum = self.bounds.in_registers(s).run(s, sum);
        if let Memory::Near(data) = &mut out.data {
            s.store_partial(sum, &mut data[at - out.at..][..channels]);
        }
    }
}
