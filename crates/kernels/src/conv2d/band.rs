//! Padded pieces of images, channel by channel.
//!
//! A rectangle of the image is copied with its padding, one channel after the other. Then the taps and
//! the channels are one reduction of `channels * taps` terms: term `k` lies at a fixed distance
//! `offsets[k]` from the pixel's place in the copy. That serves convolutions of one or three channels, where a
//! tap is too short to be worth a loop of its own, and those to one or three channels, where
//! neighbouring pixels fill a vector better than channels do. The copy stays in the caches.

use super::taps::{Tap, Taps};
use crate::copy::transpose_square;
use crate::gemm::microkernel::Offsets;
use crate::geometry::Layout;
use std::ops::Range;
use striate_simd::{Level, Simd, dispatch};

/// Most elements of the copy: half of a second-level cache of 1 MB.
const MAX_LEN: usize = 1 << 17;

/// How the outputs of all images are cut into bands, and what a band reads.
#[derive(Clone, Debug)]
pub(super) struct Bands {
    batch: usize,
    in_size: [usize; 2],
    channels: usize,
    input: Layout,
    stride: [usize; 2],
    grid: [usize; 2],
    /// The first row and column that a tap of pixel `[0, 0]` reads.
    origin: [isize; 2],
    /// Output rows and columns of a band.
    size: [usize; 2],
    /// Rows and columns of a channel of the copy.
    copy: [usize; 2],
    /// Bands of an image, down and across.
    count: [usize; 2],
}

/// Output pixels of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Band {
    pub(super) image: usize,
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Bands {
    /// The cut into bands of about `pixels` outputs, if what all of `phases` read for a single one fits
    /// into a copy; the size of the image does not matter. The phases read the same input.
    pub(super) fn new(phases: &[Taps], input: Layout, pixels: usize) -> Option<Self> {
        let first = phases.first()?;
        let (channels, stride) = (first.in_channels, first.stride);
        let bounds = [0, 1].map(|axis| {
            let offsets = || {
                let taps = phases.iter().flat_map(|taps| &taps.taps);
                taps.map(|tap| tap.offset[axis])
            };
            (offsets().min().unwrap_or(0), offsets().max().unwrap_or(0))
        });
        let origin = bounds.map(|(first, _)| first);
        let span = bounds.map(|(first, last)| last.abs_diff(first) + 1);
        let grid = [0, 1].map(|axis| phases.iter().map(|taps| taps.grid[axis]).max().unwrap_or(0));
        let lines = channels.checked_mul(span[0])?;
        if lines.checked_mul(span[1])? > MAX_LEN || grid.contains(&0) {
            return None;
        }
        let fitting = (MAX_LEN / lines - span[1]) / stride[1] + 1;
        let columns = grid[1].min(pixels).min(fitting);
        let width = (columns - 1) * stride[1] + span[1];
        // Lines follow one another in the output only if they are whole.
        let rows = if columns < grid[1] {
            1
        } else {
            let fitting = MAX_LEN / (width * channels) - span[0];
            (pixels / columns)
                .min(fitting / stride[0] + 1)
                .clamp(1, grid[0])
        };
        // As many rows in one band as in the others.
        let rows = grid[0].div_ceil(grid[0].div_ceil(rows));
        let size = [rows, columns];
        Some(Self {
            batch: first.batch,
            in_size: first.in_size,
            channels,
            // One channel is the same in either.
            input: if channels == 1 { Layout::Nchw } else { input },
            stride,
            grid,
            origin,
            size,
            copy: [(rows - 1) * stride[0] + span[0], width],
            count: [grid[0].div_ceil(rows), grid[1].div_ceil(columns)],
        })
    }

    /// The number of bands, of all images.
    pub(super) fn count(&self) -> usize {
        self.batch * self.count[0] * self.count[1]
    }

    /// The most pixels of a band.
    pub(super) fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Elements of the copy of a band.
    pub(super) fn copy_len(&self) -> usize {
        self.channels * self.copy[0] * self.copy[1]
    }

    /// Elements from one line of the copy to the next.
    pub(super) fn pitch(&self) -> usize {
        self.copy[1]
    }

    /// The most columns of a band.
    pub(super) fn columns(&self) -> usize {
        self.size[1]
    }

    /// Elements of the copy from the first to the last pixel of a band, with stride 1.
    pub(super) fn flat_len(&self) -> usize {
        (self.size[0] - 1) * self.copy[1] + self.size[1]
    }

    /// Rows and columns of an image's outputs.
    pub(super) fn grid(&self) -> [usize; 2] {
        self.grid
    }

    /// Elements of a channel that the outputs of a line of a band read.
    pub(super) fn reach(&self) -> usize {
        (self.copy[0] - (self.size[0] - 1) * self.stride[0]) * self.copy[1]
    }

    /// What the terms of some channels read, channel by channel and tap by tap.
    pub(super) fn offsets(&self, channels: Range<usize>, taps: &[Tap]) -> Offsets {
        let [height, width] = self.copy;
        let place = |channel: usize, tap: &Tap| {
            let [y, x] = [0, 1].map(|axis| tap.offset[axis].abs_diff(self.origin[axis]));
            (channel * height + y) * width + x
        };
        Offsets::new(
            channels
                .flat_map(|channel| taps.iter().map(move |tap| place(channel, tap)))
                .collect(),
        )
    }

    /// Where the copy holds the first tap of output pixel `[y, x]` of the band.
    pub(super) fn place(&self, [y, x]: [usize; 2]) -> usize {
        y * self.stride[0] * self.copy[1] + x * self.stride[1]
    }

    /// The band number `index`.
    pub(super) fn band(&self, index: usize) -> Band {
        let [down, across] = self.count;
        let part = |axis: usize, index: usize| {
            let start = index * self.size[axis];
            start..(start + self.size[axis]).min(self.grid[axis])
        };
        Band {
            image: index / across / down,
            rows: part(0, index / across % down),
            columns: part(1, index % across),
        }
    }

    /// Copies what a band reads, zeros for the padding.
    pub(super) fn fill(&self, level: Level, band: &Band, x: &[f32], copy: &mut [f32]) {
        let ([h, w], channels) = (self.in_size, self.channels);
        let image = &x[band.image * h * w * channels..][..h * w * channels];
        let [height, width] = self.copy;
        // The first row and column of the copy, in the image.
        let [y0, x0] = [(0, band.rows.start), (1, band.columns.start)]
            .map(|(axis, start)| (start * self.stride[axis]) as isize + self.origin[axis]);
        // Columns of the copy that lie inside the image.
        let column = |x: usize| (x as isize - x0).clamp(0, width as isize) as usize;
        let inside = column(0)..column(w);
        let first = x0.max(0) as usize;
        let plane = height * width;
        for row in 0..height {
            let y = y0 + row as isize;
            let lines = copy[row * width..].chunks_mut(plane).take(channels);
            if y < 0 || y >= h as isize {
                lines.for_each(|line| line[..width].fill(0.0));
                continue;
            }
            for line in lines {
                line[..inside.start].fill(0.0);
                line[inside.end..width].fill(0.0);
            }
            if inside.is_empty() {
                continue;
            }
            let y = y as usize;
            let copy = &mut copy[row * width + inside.start..];
            match self.input {
                Layout::Nchw => {
                    for (channel, line) in copy.chunks_mut(plane).take(channels).enumerate() {
                        let start = (channel * h + y) * w + first;
                        line[..inside.len()].copy_from_slice(&image[start..][..inside.len()]);
                    }
                }
                Layout::Nhwc => {
                    let pixels = &image[(y * w + first) * channels..][..inside.len() * channels];
                    dispatch!(level, s => spread(s, pixels, channels, copy, plane));
                }
            }
        }
    }
}

/// Copies `pixels` of `channels` elements each to lines, one for each channel, `plane` apart.
#[inline(always)]
fn spread<S: Simd>(s: S, pixels: &[f32], channels: usize, lines: &mut [f32], plane: usize) {
    let count = pixels.len() / channels;
    for channel in (0..channels).step_by(S::LANES) {
        let width = S::LANES.min(channels - channel);
        for pixel in (0..count).step_by(S::LANES) {
            let height = S::LANES.min(count - pixel);
            let from = (&pixels[pixel * channels + channel..], channels);
            let to = (&mut lines[channel * plane + pixel..], plane);
            transpose_square(s, from, to, [height, width]);
        }
    }
}
