//! Copies of bands of rows with their padding.

use super::taps::{Tap, Taps};
use crate::parallel::Cut;
use std::ops::Range;
use striate_simd::{Level, Simd, dispatch};

/// Multiply-adds that are worth a task.
const TASK: usize = 3_000_000;

/// Elements of a copy: a quarter of a second-level cache of 1 MB; and at most, if a single row of the
/// output needs that many.
const COPY: [usize; 2] = [1 << 16, 1 << 19];

/// The fewest pixels of a row that fill tiles well.
const ROW: usize = 7;

/// The most channels with which finding the rows of a tile for each tap costs more than copying.
const CHANNELS: usize = 48;

/// The output pixels of some taps, cut into bands of rows of one image and group.
#[derive(Debug)]
pub(super) struct Bands<'a> {
    pub(super) taps: &'a Taps,
    rows: Cut,
    /// Bands of a group that are one task.
    pub(super) tasks: Cut,
    /// Multiply-adds of a band.
    cost: usize,
    /// The first row and column that a tap of pixel `[0, 0]` reads.
    origin: [isize; 2],
    /// Rows and columns between the first and the last tap.
    span: [usize; 2],
}

/// Some rows of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Band {
    pub(super) image: usize,
    pub(super) rows: Range<usize>,
}

impl<'a> Bands<'a> {
    /// The cut, if copies are worth it: `columns` output channels are computed of each pixel.
    pub(super) fn new(taps: &'a Taps, columns: usize) -> Option<Self> {
        let few = taps.grid[0] == 0 || taps.grid[1] < ROW;
        if taps.taps.len() < 2 || taps.k_len() > CHANNELS || few {
            return None;
        }
        let bounds = [0, 1].map(|axis| {
            let offsets = || taps.taps.iter().map(|tap| tap.offset[axis]);
            (offsets().min().unwrap_or(0), offsets().max().unwrap_or(0))
        });
        let span = bounds.map(|(first, last)| last.abs_diff(first) + 1);
        let reach = |axis: usize, count: usize| (count - 1) * taps.stride[axis] + span[axis];
        // With much padding, skipping the taps outside saves more than whole tiles do.
        let padded = reach(0, taps.grid[0]).checked_mul(reach(1, taps.grid[1]))?;
        if padded > 2 * taps.in_size[0] * taps.in_size[1] {
            return None;
        }
        let line = reach(1, taps.grid[1]).checked_mul(taps.k_len())?;
        if line.checked_mul(span[0])? > COPY[1] {
            return None;
        }
        let row_cost = taps.grid[1] * taps.taps.len() * taps.k_len() * columns;
        let fitting = (COPY[0] / line).saturating_sub(span[0]) / taps.stride[0] + 1;
        let rows = (TASK / row_cost).max(4).min(fitting).min(taps.grid[0]);
        let rows = taps.grid[0].div_ceil(taps.grid[0].div_ceil(rows));
        let cost = rows * row_cost;
        let rows = Cut::every(taps.grid[0], rows);
        Some(Self {
            tasks: Cut::every(taps.batch * rows.tasks(), TASK / cost),
            rows,
            taps,
            cost,
            origin: bounds.map(|(first, _)| first),
            span,
        })
    }

    /// How many of `panels` are one task.
    pub(super) fn panels_per_task(&self, panels: usize) -> Cut {
        let cost = self.cost * self.tasks.per_task() / panels;
        Cut::every(panels, TASK / cost.max(1))
    }

    pub(super) fn band(&self, index: usize) -> Band {
        Band {
            image: index / self.rows.tasks(),
            rows: self.rows.range(index % self.rows.tasks()),
        }
    }

    /// Rows and columns of the copy of a band of `rows` rows.
    fn size(&self, rows: usize) -> [usize; 2] {
        let (count, stride) = ([rows, self.taps.grid[1]], self.taps.stride);
        [0, 1].map(|axis| (count[axis] - 1) * stride[axis] + self.span[axis])
    }

    /// Elements of the largest copy.
    pub(super) fn copy_len(&self) -> usize {
        let [h, w] = self.size(self.rows.per_task());
        h * w * self.taps.k_len()
    }

    /// The taps of a band, reading its copy and writing the pixels of [`out_rows`](Self::out_rows).
    pub(super) fn taps_of(&self, band: &Band) -> Taps {
        let taps = self.taps;
        let tap = |tap: &Tap| Tap {
            offset: [0, 1].map(|axis| tap.offset[axis] - self.origin[axis]),
            index: tap.index,
        };
        Taps {
            batch: 1,
            in_size: self.size(band.rows.len()),
            in_channels: taps.k_len(),
            grid: [band.rows.len(), taps.grid[1]],
            stride: taps.stride,
            taps: taps.taps.iter().map(tap).collect(),
            out_size: [band.rows.len(), taps.out_size[1]],
            out_start: [0, taps.out_start[1]],
            out_step: taps.out_step,
            out_channels: taps.columns(),
            groups: 1,
        }
    }

    /// The output pixels from the first of a band to behind its last.
    pub(super) fn out_rows(&self, band: &Band) -> Range<usize> {
        let pixel = |y: usize, x: usize| self.taps.out_pixel([band.image, y, x]);
        pixel(band.rows.start, 0)..pixel(band.rows.end - 1, self.taps.grid[1] - 1) + 1
    }

    /// Copies the channels of a group of what a band reads, with zeros outside the image.
    pub(super) fn fill(
        &self,
        level: Level,
        band: &Band,
        group: usize,
        x: &[f32],
        copy: &mut [f32],
    ) {
        let taps = self.taps;
        let ([h, w], k_len, channels) = (taps.in_size, taps.k_len(), taps.in_channels);
        let [lines, columns] = self.size(band.rows.len());
        let left = self.origin[1].min(0).unsigned_abs().min(columns);
        let first = self.origin[1].max(0).unsigned_abs().min(w);
        let count = (w - first).min(columns - left);
        let copy = copy.chunks_exact_mut(columns * k_len).take(lines);
        for (line, copy) in copy.enumerate() {
            let y = (band.rows.start * taps.stride[0] + line).wrapping_add_signed(self.origin[0]);
            if y >= h {
                copy.fill(0.0);
                continue;
            }
            let (before, copy) = copy.split_at_mut(left * k_len);
            let (copy, after) = copy.split_at_mut(count * k_len);
            before.fill(0.0);
            after.fill(0.0);
            let start = ((band.image * h + y) * w + first) * channels;
            let pixels = &x[start..start + count * channels];
            if k_len == channels {
                copy.copy_from_slice(pixels);
                continue;
            }
            dispatch!(level, s => copy_group(s, &pixels[group * k_len..], channels, copy, k_len));
        }
    }
}

/// Copies the first `k_len` channels of pixels of `channels` channels.
#[inline(always)]
fn copy_group<S: Simd>(s: S, pixels: &[f32], channels: usize, copy: &mut [f32], k_len: usize) {
    for (to, from) in copy.chunks_exact_mut(k_len).zip(pixels.chunks(channels)) {
        let vectors = from[..k_len].chunks(S::LANES);
        for (to, from) in to.chunks_mut(S::LANES).zip(vectors) {
            s.store_partial(s.load_partial(from), to);
        }
    }
}
