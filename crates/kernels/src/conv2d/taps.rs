//! A convolution as a sum over taps, and its weights in the order of that sum.

use super::Conv2dGeometry;
use super::pack::{pack_panel, unpack_panel};
use super::padded::Bands;
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::gemm::panels::{Panel, Panels};
use crate::parallel;
use std::ops::Range;
use striate_simd::{Buffer, Level};

/// Output pixels, each the sum of some input pixels at fixed distances, times a matrix per distance.
///
/// ```text
/// y[n, start + step * p] = sum over taps t of x[n, p * stride + t.offset] * weight[t]
/// ```
///
/// for every pixel `p` of `grid`. The forward pass is one of these; the data gradient is one for
/// every remainder of the input coordinates by the stride.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taps {
    /// Images.
    pub(super) batch: usize,
    /// Pixels of an input image, `[h, w]`.
    pub(super) in_size: [usize; 2],
    /// Channels of an input pixel.
    pub(super) in_channels: usize,
    /// Pixels computed of an image.
    pub(super) grid: [usize; 2],
    /// Input pixels between neighbours of the grid.
    pub(super) stride: [usize; 2],
    /// The taps, in the order of the packed weights.
    pub(super) taps: Vec<Tap>,
    /// Pixels of an output image.
    pub(super) out_size: [usize; 2],
    /// Where the grid begins in an output image.
    pub(super) out_start: [usize; 2],
    /// Output pixels between neighbours of the grid.
    pub(super) out_step: [usize; 2],
    /// Channels of an output pixel.
    pub(super) out_channels: usize,
    /// Groups of channels.
    pub(super) groups: usize,
}

/// One tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tap {
    /// The input pixel it reads, relative to `p * stride`.
    pub(super) offset: [isize; 2],
    /// Its place `ky * kernel_w + kx` in the kernel.
    pub(super) index: usize,
}

impl Taps {
    /// The forward pass.
    pub(super) fn forward(g: &Conv2dGeometry) -> Self {
        let [top, _, left, _] = g.padding();
        let [kh, kw] = g.kernel();
        let offset =
            |k: usize, axis: usize, pad: usize| (k * g.dilation()[axis]) as isize - pad as isize;
        let tap = |index: usize| Tap {
            offset: [offset(index / kw, 0, top), offset(index % kw, 1, left)],
            index,
        };
        Self {
            batch: g.batch(),
            in_size: g.in_size(),
            in_channels: g.in_channels(),
            grid: g.out_size(),
            stride: g.stride(),
            taps: (0..kh * kw).map(tap).collect(),
            out_size: g.out_size(),
            out_start: [0, 0],
            out_step: [1, 1],
            out_channels: g.out_channels(),
            groups: g.groups(),
        }
    }

    /// The same sum over images of one row, if pixels do not look at their neighbours.
    pub(super) fn flattened(mut self) -> Self {
        let alone = self.taps.len() == 1 && self.taps[0].offset == [0, 0];
        if alone && self.in_size == self.grid && self.stride == [1, 1] && self.out_size == self.grid
        {
            let pixels = self.pixels();
            (self.batch, self.in_size, self.grid, self.out_size) =
                (1, [1, pixels], [1, pixels], [1, pixels]);
        }
        self
    }

    /// The pixels of one image whose outputs lie in `rows`, counted from there, the first of which is a
    /// multiple of the step.
    pub(super) fn band(&self, rows: &Range<usize>) -> Self {
        let step = self.out_step[0];
        let first = rows.start / step * self.stride[0];
        let tap = |tap: &Tap| Tap {
            offset: [tap.offset[0] + first as isize, tap.offset[1]],
            index: tap.index,
        };
        Self {
            batch: 1,
            grid: [
                rows.len().saturating_sub(self.out_start[0]).div_ceil(step),
                self.grid[1],
            ],
            taps: self.taps.iter().map(tap).collect(),
            out_size: [rows.len(), self.out_size[1]],
            ..*self
        }
    }

    /// Input channels of a group.
    pub(super) fn k_len(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Output channels of a group.
    pub(super) fn columns(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Pixels computed, of all images.
    pub(super) fn pixels(&self) -> usize {
        self.batch * self.grid[0] * self.grid[1]
    }

    /// The place among all output pixels of pixel `[y, x]` of the grid of image `n`.
    pub(super) fn out_pixel(&self, [n, y, x]: [usize; 3]) -> usize {
        let row = n * self.out_size[0] + self.out_start[0] + y * self.out_step[0];
        row * self.out_size[1] + self.out_start[1] + x * self.out_step[1]
    }

    /// Image, row and column of the grid's pixel number `index`.
    pub(super) fn coordinates(&self, index: usize) -> [usize; 3] {
        let [h, w] = self.grid;
        [index / w / h, index / w % h, index % w]
    }
}

/// Weights as `[group][panel][tap][input channel][output channels of the panel]`.
#[derive(Debug)]
pub(super) struct TapWeights {
    pub(super) panels: Panels,
    /// The panels that `data` has: all of them, or some of a single group.
    pub(super) held: Range<usize>,
    pub(super) data: Buffer<f32>,
}

/// Which index of dense `[out, in / groups, kernel]` weights a reduction runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reduce {
    /// Input channels: the forward pass.
    Inputs,
    /// Output channels: the data gradient.
    Outputs,
}

/// Dense `[out, in / groups, kernel]` weights, and the index that a sum runs over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dense<'a> {
    pub(super) reduce: Reduce,
    pub(super) weight: &'a [f32],
}

impl TapWeights {
    /// The panels that suit the pixels of `taps`.
    pub(super) fn panels(level: Level, taps: &Taps) -> Panels {
        let columns = taps.columns();
        let rows = Bands::new(taps, columns).map_or(taps.pixels(), |_| taps.grid[1]);
        Panels::choose(level, rows, columns)
    }

    /// Arranges the weights for `taps` on `level`.
    pub(super) fn pack(
        level: Level,
        taps: &Taps,
        reduce: Reduce,
        weight: &[f32],
    ) -> Result<Self, KernelError> {
        let held = Self::panels(level, taps).all();
        Self::pack_held(level, taps, Dense { reduce, weight }, held)
    }

    /// Arranges the weights of some panels; not all only if there is a single group.
    pub(super) fn pack_held(
        level: Level,
        taps: &Taps,
        dense: Dense<'_>,
        held: Range<usize>,
    ) -> Result<Self, KernelError> {
        let panels = Self::panels(level, taps);
        let rows = taps.taps.len() * taps.k_len();
        let group_len = panels.held_len(&held, rows);
        let first = panels.start(&held, rows);
        let mut data = Buffer::recycled(taps.groups * group_len)?;
        let pieces = DisjointMut::new(&mut data);
        parallel::for_each(taps.groups * held.len(), |task| {
            let group = task / held.len();
            let panel = panels.panel(held.start + task % held.len());
            let range = panels.packed_range(&panel, rows);
            let start = group * group_len;
            let range = start + range.start - first..start + range.end - first;
            let mut packed = pieces.range(range);
            let terms = 0..taps.k_len();
            pack_panel(level, taps, dense, group, &panel, &terms, &mut packed);
        });
        drop(pieces);
        Ok(Self { panels, held, data })
    }

    /// Where the `rows` rows of a panel begin in the data, if it has them.
    pub(super) fn start(&self, group: usize, panel: &Panel, rows: usize) -> usize {
        let group_len = self.panels.padded_columns() * rows;
        let first = self.panels.start(&self.held, rows);
        group * group_len + self.panels.packed_range(panel, rows).start - first
    }

    /// Those of some panels that the data has.
    pub(super) fn held_of(&self, panels: Range<usize>) -> impl Iterator<Item = Panel> {
        let held = panels.start.max(self.held.start)..panels.end.min(self.held.end);
        held.map(|index| self.panels.panel(index))
    }

    /// The inverse of packing for the forward pass: writes `data`, arranged for `panels`, as dense
    /// `[out, in / groups, kernel]` weights.
    pub(super) fn unpack(
        level: Level,
        taps: &Taps,
        panels: &Panels,
        data: &[f32],
        weight: &mut [f32],
    ) {
        let (k_len, kernel) = (taps.k_len(), taps.taps.len());
        let rows = kernel * k_len;
        let group_len = panels.padded_columns() * rows;
        let pieces = DisjointMut::new(weight);
        parallel::for_each(taps.groups * panels.count(), |task| {
            let group = task / panels.count();
            let panel = panels.panel(task % panels.count());
            let range = panels.packed_range(&panel, rows);
            let packed = &data[group * group_len..][range];
            let first = group * taps.columns() + panel.columns.start;
            let last = group * taps.columns() + panel.columns.end;
            let mut weight = pieces.range(first * rows..last * rows);
            unpack_panel(level, [k_len, kernel], packed, &mut weight);
        });
    }

    /// As [`unpack`](Self::unpack), for a sum over output channels: writes to the places of the taps alone.
    pub(super) fn unpack_by_outputs(
        taps: &Taps,
        panels: &Panels,
        data: &[f32],
        weight: &mut [f32],
    ) {
        let (k_len, columns) = (taps.k_len(), taps.columns());
        let kernel = weight.len() / (taps.groups * k_len * columns);
        let rows = taps.taps.len() * k_len;
        let group_len = panels.padded_columns() * rows;
        parallel::for_each_chunk(weight, columns * kernel, |output, weight| {
            let (group, k) = (output / k_len, output % k_len);
            for panel in (0..panels.count()).map(|index| panels.panel(index)) {
                let packed = &data[group * group_len..][panels.packed_range(&panel, rows)];
                let width = packed.len() / rows;
                let weight = &mut weight[panel.columns.start * kernel..];
                for (t, tap) in taps.taps.iter().enumerate() {
                    let row = &packed[(t * k_len + k) * width..][..panel.columns.len()];
                    let places = weight[tap.index..].iter_mut().step_by(kernel);
                    places.zip(row).for_each(|(to, from)| *to = *from);
                }
            }
        });
    }
}
