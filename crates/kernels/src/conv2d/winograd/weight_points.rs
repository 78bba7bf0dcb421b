//! The points of some tiles, of the inputs and of the gradients of the outputs, and their products.

use super::Size;
use super::planes::{Gather, Scratch, Side};
use super::tiles::{Pixels, Tiles};
use crate::conv2d::backward_weight::{Block, Run};
use crate::conv2d::taps::Taps;
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::gemm::panels::{Panel, Panels};
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level};

/// What a gradient of weights is computed from.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    pub(super) level: Level,
    pub(super) size: Size,
    pub(super) taps: &'a Taps,
    pub(super) tiles: Tiles,
    /// The cut of the output channels.
    pub(super) panels: Panels,
    pub(super) x: Pixels<'a>,
    pub(super) dy: Pixels<'a>,
}

impl Pass<'_> {
    /// Elements of the points of the weights of a group.
    pub(super) fn group_len(&self) -> usize {
        self.size.points() * self.taps.k_len() * self.panels.padded_columns()
    }

    /// Elements of the points of a tile.
    pub(super) fn tile_len(&self) -> usize {
        self.size.points() * (self.taps.k_len() + self.panels.padded_columns())
    }

    /// The width of a panel in elements.
    pub(super) fn width(&self, panel: &Panel) -> usize {
        panel.vectors * self.level.lanes()
    }
}

/// The points of some tiles of one group: of the inputs as `[block of channels][point][tile][channel]`, of the
/// gradients as `[panel][point][tile][channel]`.
#[derive(Debug)]
pub(super) struct Points<'a> {
    pass: &'a Pass<'a>,
    /// The blocks of input channels.
    channels: Cut,
    /// Tiles.
    count: usize,
    inputs: Buffer<f32>,
    gradients: Buffer<f32>,
}

impl<'a> Points<'a> {
    /// Room for `most` tiles.
    pub(super) fn new(pass: &'a Pass<'a>, channels: Cut, most: usize) -> Result<Self, KernelError> {
        let (points, width) = (pass.size.points(), pass.panels.padded_columns());
        let len = points * most * width;
        Ok(Self {
            pass,
            channels,
            count: 0,
            inputs: Buffer::recycled(points * most * pass.taps.k_len())?,
            // Columns beyond the last channel are never written, and multiplied all the same.
            gradients: if width == pass.panels.columns() {
                Buffer::recycled(len)?
            } else {
                Buffer::zeroed(len)?
            },
        })
    }

    /// Transforms the tiles `tiles` of a group, cut into at most `parts` tasks.
    pub(super) fn gather(
        &mut self,
        tiles: &Range<usize>,
        group: usize,
        parts: usize,
    ) -> Result<(), KernelError> {
        let pass = self.pass;
        let (points, taps, count) = (pass.size.points(), pass.taps, tiles.len());
        self.count = count;
        let gather = |side, pixels, channels, width| Gather {
            size: pass.size,
            side,
            tiles: &pass.tiles,
            pixels,
            channels,
            width,
        };
        let mut pieces = Vec::new();
        let mut rest = &mut self.inputs[..];
        for channels in (0..self.channels.tasks()).map(|block| self.channels.range(block)) {
            let width = channels.len();
            let (piece, others) = rest.split_at_mut(points * count * width);
            let first = group * taps.k_len();
            let channels = first + channels.start..first + channels.end;
            let rows = DisjointMut::rows(piece, count * width);
            pieces.push((gather(Side::Inputs, pass.x, channels, width), rows));
            rest = others;
        }
        rest = &mut self.gradients[..];
        for panel in (0..pass.panels.count()).map(|index| pass.panels.panel(index)) {
            let width = pass.width(&panel);
            let (piece, others) = rest.split_at_mut(points * count * width);
            let first = group * taps.columns();
            let channels = first + panel.columns.start..first + panel.columns.end;
            let rows = DisjointMut::rows(piece, count * width);
            pieces.push((gather(Side::Gradients, pass.dy, channels, width), rows));
            rest = others;
        }
        let cut = Cut::every(count, count.div_ceil(parts));
        parallel::try_for_each(cut.tasks(), |part| {
            let (part, mut scratch) = (cut.range(part), Scratch::new()?);
            let of_part = tiles.start + part.start..tiles.start + part.end;
            for (gather, rows) in &pieces {
                let columns = part.start * gather.width..part.end * gather.width;
                let mut out = rows.tile(0..points, columns);
                gather.run(pass.level, of_part.clone(), &mut scratch, &mut out);
            }
            Ok(())
        })
    }

    /// Writes the product of point `point` of a block of input channels and a panel, `[input channel][channel of
    /// the panel]`, or adds it to `out`.
    pub(super) fn product<'p>(
        &'p self,
        point: usize,
        channels: &Range<usize>,
        panel: &Panel,
        add: bool,
        out: &mut [f32],
    ) {
        let (points, count, width) = (self.pass.size.points(), self.count, self.pass.width(panel));
        let inputs =
            &self.inputs[points * count * channels.start..][..points * count * channels.len()];
        let gradients = &self.gradients[self.pass.panels.packed_range(panel, points * count)];
        let (x_len, dy_len) = (count * channels.len(), count * width);
        // Those of the next point come from afar.
        let next =
            |all: &'p [f32], len: usize| all.chunks_exact(len).nth(point + 1).unwrap_or_default();
        let block = Block {
            x: &inputs[point * x_len..],
            channel: 0,
            x_step: channels.len(),
            runs: &[Run {
                x: 0,
                dy: 0,
                len: count,
            }],
            dy: &gradients[point * dy_len..],
            next: [next(inputs, x_len), next(gradients, dy_len)],
            add,
        };
        block.run_on_tiles(self.pass.level, panel.vectors, out);
    }
}
