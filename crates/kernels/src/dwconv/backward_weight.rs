//! The gradient of depthwise weights.
//!
//! ```text
//! dw[c, ky, kx] = sum over n, oy, ox of x[n, oy*s + ky*d - pad, ox*s + kx*d - pad, c] * dy[n, oy, ox, c]
//! ```
//!
//! A few pixels of two lines of the output's gradient are kept in registers while all lines of the input that they
//! read pass by. Tasks add up copies of their own, cut by shape alone, which are then added in pairs.

use super::axis::{Axis, Chain, Run};
use super::bands::{Bands, Term};
use super::neighbours::Window;
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
    let bands = Bands::new(Axis::forward(g), g.batch(), channels);
    let cut = bands.cut(COPIES);
    // Every vector of channels has a place of its own, also the last, which repeats channels of the one before.
    let lanes = level.lanes();
    let row_len = channels.next_multiple_of(lanes);
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
        row_len,
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
    /// Elements of the sums of a tap.
    row_len: usize,
}

/// Pixels of a pair of lines.
struct Place<'p> {
    lines: [Option<usize>; 2],
    terms: &'p [Term],
    run: &'p Run,
    first: usize,
    channel: usize,
    /// Of the vector of channels.
    slot: usize,
}

impl Pass<'_> {
    /// Adds what some bands of the output contribute to `sums`.
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, bands: std::ops::Range<usize>, sums: &mut [f32]) {
        for band in bands {
            self.bands.pairs(
                band,
                #[inline(always)]
                |lines, terms| {
                    for run in &self.bands.column_runs {
                        self.pair(s, lines, terms, run, sums);
                    }
                },
            );
        }
    }

    #[inline(always)]
    fn pair<S: Simd>(
        &self,
        s: S,
        lines: [Option<usize>; 2],
        terms: &[Term],
        run: &Run,
        sums: &mut [f32],
    ) {
        match run.lengths() {
            [1, _] => self.tiles::<S, 1, 0>(s, lines, terms, run, sums),
            [2, 0] => self.tiles::<S, 2, 0>(s, lines, terms, run, sums),
            [2, _] => self.tiles::<S, 2, 1>(s, lines, terms, run, sums),
            [3, 0] => self.tiles::<S, 3, 0>(s, lines, terms, run, sums),
            [3, _] => self.tiles::<S, 3, 2>(s, lines, terms, run, sums),
            [4, 0] => self.tiles::<S, 4, 0>(s, lines, terms, run, sums),
            [4, _] => self.tiles::<S, 4, 3>(s, lines, terms, run, sums),
            _ => self.tiles::<S, 5, 0>(s, lines, terms, run, sums),
        }
    }

    /// All tiles of a run, whose chains have the lengths `A` and, unless it is zero, `B`.
    #[inline(always)]
    fn tiles<S: Simd, const A: usize, const B: usize>(
        &self,
        s: S,
        lines: [Option<usize>; 2],
        terms: &[Term],
        run: &Run,
        sums: &mut [f32],
    ) {
        let channels = self.bands.channels;
        for group in self.bands.groups(S::LANES, 7) {
            let mut first = 0;
            while first < run.count {
                let width = match run.count - first {
                    7.. if S::LANES != 8 => 7,
                    4.. => 4,
                    _ => 1,
                };
                for vector in group.clone() {
                    let place = Place {
                        lines,
                        terms,
                        run,
                        first,
                        channel: (vector * S::LANES).min(channels.saturating_sub(S::LANES)),
                        slot: vector * S::LANES,
                    };
                    match width {
                        _ if channels < S::LANES => self.narrow(s, &place, width, sums),
                        7 => self.tile::<S, A, B, 7>(s, &place, sums),
                        4 => self.tile::<S, A, B, 4>(s, &place, sums),
                        _ => self.tile::<S, A, B, 1>(s, &place, sums),
                    }
                }
                first += width;
            }
        }
    }

    /// Where pixel `i` of a line of the output's gradient is.
    #[inline(always)]
    fn gradient(&self, place: &Place<'_>, line: usize, i: usize) -> usize {
        let pixel = place.run.first + i * place.run.step;
        line * self.bands.out_line_len() + pixel * self.bands.channels + place.channel
    }

    /// `T` pixels of two lines, and one vector of channels.
    #[inline(always)]
    fn tile<S: Simd, const A: usize, const B: usize, const T: usize>(
        &self,
        s: S,
        place: &Place<'_>,
        sums: &mut [f32],
    ) {
        let mut gradients = [[s.splat(0.0); T]; 2];
        for side in 0..2 {
            if let Some(line) = place.lines[side] {
                for t in 0..T {
                    let at = self.gradient(place, line, place.first + t);
                    gradients[side][t] = s.load(&self.dy[at..]);
                }
            }
        }
        for term in place.terms {
            if B == 0 {
                for chain in &place.run.chains {
                    self.chain::<S, A, T>(s, gradients, place, term, chain, sums);
                }
            } else if let [a, b] = &place.run.chains[..] {
                self.chain::<S, A, T>(s, gradients, place, term, a, sums);
                self.chain::<S, B, T>(s, gradients, place, term, b, sums);
            }
        }
    }

    #[inline(always)]
    fn chain<S: Simd, const K: usize, const T: usize>(
        &self,
        s: S,
        gradients: [[S::F32; T]; 2],
        place: &Place<'_>,
        term: &Term,
        chain: &Chain,
        sums: &mut [f32],
    ) {
        let channels = self.bands.channels;
        let line_len = self.bands.source_line_len();
        let pixel = chain.start + (place.first * place.run.source_step) as isize;
        let window = Window {
            line: &self.x[term.source * line_len..][..line_len],
            at: place.channel.wrapping_add_signed(pixel * channels as isize),
            step: place.run.source_step * channels,
        };
        match term.filters {
            [Some(a), Some(b)] => {
                let [a, b] = [self.taps(place, a, chain), self.taps(place, b, chain)];
                let filters = [load_each::<S, K>(s, a, sums), load_each(s, b, sums)];
                let [first, second] = window.correlate(s, filters, gradients);
                store_each(s, first, a, sums);
                store_each(s, second, b, sums);
            }
            [Some(row), None] => {
                let row = self.taps(place, row, chain);
                let filter = load_each::<S, K>(s, row, sums);
                let [filter] = window.correlate(s, [filter], [gradients[0]]);
                store_each(s, filter, row, sums);
            }
            [None, Some(row)] => {
                let row = self.taps(place, row, chain);
                let filter = load_each::<S, K>(s, row, sums);
                let [filter] = window.correlate(s, [filter], [gradients[1]]);
                store_each(s, filter, row, sums);
            }
            [None, None] => {}
        }
    }

    /// Where the sums of the taps of a chain are.
    #[inline(always)]
    fn taps<const K: usize>(&self, place: &Place<'_>, row: usize, chain: &Chain) -> [usize; K] {
        let at = (row * self.bands.columns.taps() + chain.tap) * self.row_len + place.slot;
        let step = chain.tap_step * self.row_len as isize;
        let mut places = [at; K];
        for k in 0..K {
            places[k] = at.wrapping_add_signed(k as isize * step);
        }
        places
    }

    /// Pixels of fewer channels than a vector has, one by one.
    #[inline(always)]
    fn narrow<S: Simd>(&self, s: S, place: &Place<'_>, count: usize, sums: &mut [f32]) {
        let channels = self.bands.channels;
        let source_len = self.bands.columns.source_len();
        for side in 0..2 {
            let Some(line) = place.lines[side] else {
                continue;
            };
            for i in place.first..place.first + count {
                let gradient = &self.dy[self.gradient(place, line, i)..][..channels];
                let gradient = s.load_partial(gradient);
                for term in place.terms {
                    let Some(row) = term.filters[side] else {
                        continue;
                    };
                    for (column, pixel) in place.run.sources(i, source_len) {
                        let from = (term.source * source_len + pixel) * channels;
                        let x = s.load_partial(&self.x[from..][..channels]);
                        let tap = row * self.bands.columns.taps() + column;
                        let sum = &mut sums[tap * self.row_len..];
                        s.store(s.mul_add(x, gradient, s.load(sum)), sum);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn load_each<S: Simd, const K: usize>(s: S, at: [usize; K], data: &[f32]) -> [S::F32; K] {
    let mut vectors = [s.splat(0.0); K];
    for k in 0..K {
        vectors[k] = s.load(&data[at[k]..]);
    }
    vectors
}

#[inline(always)]
fn store_each<S: Simd, const K: usize>(s: S, v: [S::F32; K], at: [usize; K], data: &mut [f32]) {
    for k in 0..K {
        s.store(v[k], &mut data[at[k]..]);
    }
}
