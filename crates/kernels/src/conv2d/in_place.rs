//! Images of few channels that are read where they lie, channel by channel.
//!
//! Outputs at which the same taps lie inside the image are sums over the same terms, each at a fixed distance
//! from the pixel's place in the image. So nothing is copied, and what lies in the padding costs nothing. A strip
//! along an edge, which is a pixel or two wide, is gone through along its longer side.

use super::areas::{Segment, segments, taps_inside};
use super::taps::Taps;
use crate::error::KernelError;
use crate::gemm::microkernel::Offsets;
use crate::gemm::panels::{Panels, tile_cost};
use crate::geometry::Layout;
use crate::parallel::Cut;
use std::ops::Range;
use striate_simd::{Buffer, Level};

/// Multiply-adds that are worth a task.
const TASK: usize = 3_000_000;

/// Cycles that an area takes beside its sums, and those that copying an element takes.
const AREA: f64 = 1500.0;
const COPY: f64 = 0.5;

/// The areas of the outputs of one image, and how they are cut into tasks.
#[derive(Debug)]
pub(super) struct InPlace {
    axes: [Vec<Segment>; 2],
    /// What the pixels of each area read, row of areas by row of areas.
    terms: Vec<Terms>,
    /// Lines of an image that are a task.
    lines: Cut,
    stride: [usize; 2],
    /// Outputs of a line.
    width: usize,
    /// Elements of a line of a channel, and of an image.
    line: usize,
    image: usize,
}

/// What the outputs of an area are sums over.
#[derive(Debug)]
struct Terms {
    offsets: Offsets,
    /// Their places among the terms of all taps.
    rows: Vec<usize>,
}

/// Outputs that are sums over the same terms: rows and columns of elements that lie at constant distances.
#[derive(Clone, Debug)]
pub(super) struct Area<'a> {
    /// What an output reads, and the packed weights of that.
    pub(super) offsets: &'a Offsets,
    pub(super) weights: &'a [f32],
    /// Where the first term of the first output begins.
    pub(super) start: usize,
    /// Elements of the input from one output to the next, down and across.
    pub(super) steps: [usize; 2],
    /// The first output, and outputs from one to the next, down and across.
    pub(super) out_start: usize,
    pub(super) out_steps: [usize; 2],
    /// Rows and columns.
    pub(super) size: [usize; 2],
}

impl Area<'_> {
    /// The same outputs, with as many of them in a row as suits tiles.
    pub(super) fn turned(mut self, level: Level, vectors: usize) -> Self {
        let [rows, columns] = self.size;
        let along = rows as f64 * tile_cost(level, columns, vectors);
        let down = columns as f64 * tile_cost(level, rows, vectors);
        if 2.0 * down < along {
            self.steps.reverse();
            self.out_steps.reverse();
            self.size.reverse();
        }
        self
    }
}

impl InPlace {
    /// The plan, if channels are contiguous and it costs less than copying `copied` elements of each image.
    pub(super) fn new(taps: &Taps, input: Layout, copied: usize) -> Option<Self> {
        if taps.in_channels > 1 && input == Layout::Nhwc {
            return None;
        }
        let axes = [0, 1].map(|axis| segments(taps, axis));
        let [h, w] = taps.in_size;
        let [height, width] = taps.grid;
        let cost = width * taps.in_channels * taps.taps.len() * taps.out_channels;
        // An even number, so that two threads end together.
        let tasks = match height.div_ceil((TASK / cost).max(1)) {
            1 => 1,
            tasks => tasks.next_multiple_of(2),
        };
        let areas = (axes[0].len() + tasks) * axes[1].len();
        if AREA * areas as f64 > COPY * copied as f64 {
            return None;
        }
        let mut terms = Vec::with_capacity(areas);
        for rows in &axes[0] {
            for columns in &axes[1] {
                let first = [rows.inside.start, columns.inside.start];
                let count = taps.taps.len();
                let rows = (0..taps.in_channels).flat_map(|channel| {
                    taps_inside(taps, rows, columns).map(move |tap| channel * count + tap)
                });
                let rows: Vec<usize> = rows.collect();
                if rows.is_empty() {
                    return None;
                }
                let offsets = rows.iter().map(|row| {
                    let (channel, [y, x]) = (row / count, taps.taps[row % count].offset);
                    let [y, x] = [y - first[0], x - first[1]].map(isize::unsigned_abs);
                    (channel * h + y) * w + x
                });
                terms.push(Terms {
                    offsets: Offsets::new(offsets.collect()),
                    rows,
                });
            }
        }
        Some(Self {
            axes,
            terms,
            lines: Cut::every(height, height.div_ceil(tasks)),
            stride: taps.stride,
            width,
            line: w,
            image: taps.in_channels * h * w,
        })
    }

    /// The number of tasks of an image.
    pub(super) fn tasks(&self) -> usize {
        self.lines.tasks()
    }

    /// The weights of each area, from those of all taps.
    pub(super) fn weights(
        &self,
        panels: &Panels,
        packed: &[f32],
    ) -> Result<Vec<Buffer<f32>>, KernelError> {
        let k_len = packed.len() / panels.padded_columns();
        let of_area = |terms: &Terms| -> Result<Buffer<f32>, KernelError> {
            let count = terms.rows.len();
            let mut weights = Buffer::recycled(count * panels.padded_columns())?;
            for panel in (0..panels.count()).map(|index| panels.panel(index)) {
                let from = &packed[panels.packed_range(&panel, k_len)];
                let to = &mut weights[panels.packed_range(&panel, count)];
                let width = to.len() / count;
                for (to, row) in to.chunks_exact_mut(width).zip(&terms.rows) {
                    to.copy_from_slice(&from[row * width..][..width]);
                }
            }
            Ok(weights)
        };
        self.terms.iter().map(of_area).collect()
    }

    /// The image of a task, and its lines of that.
    pub(super) fn lines(&self, task: usize) -> (usize, Range<usize>) {
        (task / self.tasks(), self.lines.range(task % self.tasks()))
    }

    /// Elements of an image.
    pub(super) fn image(&self) -> usize {
        self.image
    }

    /// The areas of some lines of an image, whose outputs are counted from the first of them, with the
    /// [weights](Self::weights) of all areas.
    pub(super) fn areas_of<'a>(
        &'a self,
        lines: &Range<usize>,
        weights: &'a [Buffer<f32>],
    ) -> Vec<Area<'a>> {
        let place = |pixel: usize, axis: usize, segment: &Segment| {
            (pixel * self.stride[axis]).wrapping_add_signed(segment.inside.start)
        };
        let [down, across] = &self.axes;
        let mut areas = Vec::new();
        for (index, (terms, weights)) in self.terms.iter().zip(weights).enumerate() {
            let rows = &down[index / across.len()];
            let columns = &across[index % across.len()];
            let start = rows.pixels.start.max(lines.start);
            let end = rows.pixels.end.min(lines.end);
            if start >= end {
                continue;
            }
            let first = columns.pixels.start;
            areas.push(Area {
                offsets: &terms.offsets,
                weights,
                start: place(start, 0, rows) * self.line + place(first, 1, columns),
                steps: [self.stride[0] * self.line, self.stride[1]],
                out_start: (start - lines.start) * self.width + first,
                out_steps: [self.width, 1],
                size: [end - start, columns.pixels.len()],
            });
        }
        areas
    }
}
