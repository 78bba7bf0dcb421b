//! The input rows under the kernel, with their padding, in the order in which lanes multiply them.
//!
//! They are kept in a ring that stays in the first-level cache, so that every input element is fetched
//! once for all rows of taps.

use super::lanes::{Lanes, Strip};
use std::ops::Range;
use striate_simd::Simd;

/// Which channels of a pixel the lanes of a vector of inputs hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    /// The first of them, if a vector that starts there has them all.
    base: Option<usize>,
    /// Whether that vector has them in their order.
    ordered: bool,
    /// For each lane, the place of its channel behind the base, as the bits of an integer: -1 is none.
    index: Vec<f32>,
}

impl Source {
    /// The channels of each lane, counted from the first channel of a block.
    pub(super) fn new(channels: Vec<Option<usize>>) -> Self {
        let lanes = channels.len();
        let all: Option<Vec<usize>> = channels.iter().copied().collect();
        let base = all.and_then(|all| {
            let (first, last) = (all.iter().min()?, all.iter().max()?);
            (last - first < lanes).then_some(*first)
        });
        let place = |channel: &Option<usize>| {
            channel.map_or(-1, |channel| (channel - base.unwrap_or(0)) as i32)
        };
        let places: Vec<i32> = channels.iter().map(place).collect();
        Self {
            base,
            ordered: places.iter().zip(0..).all(|(&place, lane)| place == lane),
            index: places
                .iter()
                .map(|&place| f32::from_bits(place as u32))
                .collect(),
        }
    }
}

/// The input rows under the kernel for one strip of one block.
pub(super) struct Ring<'a, 'r> {
    plan: &'a Lanes<'a>,
    sources: &'a [Source],
    /// The rows of one image.
    image: &'a [f32],
    channels: Range<usize>,
    strip: &'a Strip,
    rows: &'r mut [f32],
    row_len: usize,
    /// The first row, counted from the origin, that has not been copied yet.
    next: usize,
}

impl<'a, 'r> Ring<'a, 'r> {
    pub(super) fn new(
        plan: &'a Lanes<'a>,
        layouts: &'a [Vec<Source>],
        image: &'a [f32],
        block: usize,
        strip: &'a Strip,
        rows: &'r mut [f32],
    ) -> Self {
        Self {
            plan,
            sources: &layouts[block % layouts.len()],
            image,
            channels: plan.inputs(block),
            strip,
            row_len: plan.row_len(strip.columns.len()),
            rows,
            next: 0,
        }
    }

    /// Brings the rows that row `y` of the grid reads into the ring, and tells where the first of them
    /// is. `y` never decreases.
    #[inline(always)]
    pub(super) fn advance<S: Simd>(&mut self, s: S, y: usize) -> usize {
        let first = y * self.plan.taps.stride[0];
        let last = first + self.plan.span[0];
        for row in self.next.max(first)..last {
            self.copy(s, row);
        }
        self.next = last;
        first % self.plan.span[0]
    }

    /// All rows.
    pub(super) fn rows(&self) -> &[f32] {
        self.rows
    }

    /// Copies the row that lies `row` below the origin.
    #[inline(always)]
    fn copy<S: Simd>(&mut self, s: S, row: usize) {
        let taps = self.plan.taps;
        let ([h, w], stride) = (taps.in_size, taps.stride[1]);
        let start = row % self.plan.span[0] * self.row_len;
        let out = &mut self.rows[start..start + self.row_len];
        let y = row.wrapping_add_signed(self.plan.origin[0]);
        if y >= h {
            out.fill(0.0);
            return;
        }
        let lines = out.chunks_exact_mut(self.row_len / stride);
        let origin = (self.strip.columns.start * stride) as isize + self.plan.origin[1];
        for ((line, inside), out) in (0..).zip(&self.strip.inside).zip(lines) {
            if inside.is_empty() {
                out.fill(0.0);
                continue;
            }
            let first = (y * w + inside.start * stride).wrapping_add_signed(origin + line);
            let pixels = Pixels {
                data: &self.image[first * taps.in_channels + self.channels.start..],
                step: stride * taps.in_channels,
                inputs: self.channels.len(),
            };
            pixels.copy(s, self.sources, out, inside.clone());
        }
    }
}

/// Pixels of a row of an image, of which the first channels are copied.
struct Pixels<'a> {
    data: &'a [f32],
    /// Elements from one pixel to the next.
    step: usize,
    /// Channels to copy.
    inputs: usize,
}

impl Pixels<'_> {
    /// Copies every pixel to the columns `inside` of the line of each of `sources`, and zeros to the
    /// others. Compiled once for all tiles of a level.
    #[inline(never)]
    fn copy<S: Simd>(&self, s: S, sources: &[Source], out: &mut [f32], inside: Range<usize>) {
        s.vectorize(
            #[inline(always)]
            || {
                let lines = out.chunks_exact_mut(out.len() / sources.len());
                for (source, line) in sources.iter().zip(lines) {
                    let index = s.bits(s.load(&source.index));
                    let (line, after) = line.split_at_mut(inside.end * S::LANES);
                    let (before, line) = line.split_at_mut(inside.start * S::LANES);
                    for halo in [before, after] {
                        for out in halo.chunks_exact_mut(S::LANES) {
                            s.store(s.splat(0.0), out);
                        }
                    }
                    let out = line.chunks_exact_mut(S::LANES);
                    match source.base {
                        Some(base) if source.ordered => self.each(
                            s,
                            base,
                            out,
                            #[inline(always)]
                            |v| v,
                        ),
                        Some(base) => self.each(
                            s,
                            base,
                            out,
                            #[inline(always)]
                            |v| s.permute(v, index),
                        ),
                        None => self.gather(s, index, out),
                    }
                }
            },
        );
    }

    /// Copies `f` of the vector at `base` of every pixel.
    #[inline(always)]
    fn each<'o, S: Simd>(
        &self,
        s: S,
        base: usize,
        mut out: impl Iterator<Item = &'o mut [f32]>,
        f: impl Fn(S::F32) -> S::F32,
    ) {
        // The vector may reach beyond the channels of the block, with lanes that count for nothing.
        let pixels = self.data[base..].chunks_exact(self.step.max(S::LANES));
        if self.step >= S::LANES {
            let last = pixels.remainder();
            for (pixel, out) in pixels.zip(out.by_ref()) {
                s.store(f(s.load(pixel)), out);
            }
            if let Some(out) = out.next() {
                s.store(f(s.load_partial(last)), out);
            }
            return;
        }
        for (pixel, out) in self.data[base..].chunks(self.step).zip(out) {
            s.store(f(s.load_partial(pixel)), out);
        }
    }

    /// Copies channels that are far apart.
    #[inline(always)]
    fn gather<'o, S: Simd>(&self, s: S, index: S::I32, out: impl Iterator<Item = &'o mut [f32]>) {
        for (pixel, out) in self.data.chunks(self.step).zip(out) {
            let mut sum = s.splat(0.0);
            for (v, inputs) in pixel[..self.inputs].chunks(S::LANES).enumerate() {
                let here = s.permute(s.load_partial(inputs), index);
                let before = s.splat_i32((v * S::LANES) as i32 - 1);
                sum = s.select(s.gt_i32(index, before), here, sum);
            }
            s.store(sum, out);
        }
    }
}
