//! The points of some tiles, of the inputs and of the gradients of the outputs, and their products.

use super::Size;
use super::planes::{Gather, Side, gather_all};
use super::tiles::{Pixels, Tiles};
use crate::conv2d::backward_weight::{Block, Run};
use crate::conv2d::taps::Taps;
use crate::error::KernelError;
use crate::gemm::microkernel::{Ahead, Aheads};
use crate::gemm::panels::{Panel, Panels};
use crate::parallel::Cut;
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
    /// The inputs, and behind them the gradients.
    data: Buffer<f32>,
}

impl<'a> Points<'a> {
    /// Room for `most` tiles.
    pub(super) fn new(pass: &'a Pass<'a>, channels: Cut, most: usize) -> Result<Self, KernelError> {
        let len = most * pass.tile_len();
        Ok(Self {
            pass,
            channels,
            count: 0,
            // Columns beyond the last channel are never written, and multiplied all the same.
            data: if pass.panels.padded_columns() == pass.panels.columns() {
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
        let Pass { taps, panels, .. } = self.pass;
        self.count = tiles.len();
        let gather = |side, pixels, first: usize, channels: &Range<usize>, width| Gather {
            size: self.pass.size,
            side,
            tiles: &self.pass.tiles,
            pixels,
            channels: first + channels.start..first + channels.end,
            width,
        };
        let inputs = (0..self.channels.tasks()).map(|block| {
            let (first, channels) = (group * taps.k_len(), self.channels.range(block));
            gather(Side::Inputs, self.pass.x, first, &channels, channels.len())
        });
        let gradients = (0..panels.count()).map(|index| {
            let (first, panel) = (group * taps.columns(), panels.panel(index));
            let width = self.pass.width(&panel);
            gather(Side::Gradients, self.pass.dy, first, &panel.columns, width)
        });
        let gathers = inputs.chain(gradients);
        gather_all(self.pass.level, tiles, parts, gathers, &mut self.data)
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
        let (inputs, gradients) = self.data.split_at(points * count * self.pass.taps.k_len());
        let inputs = &inputs[points * count * channels.start..][..points * count * channels.len()];
        let gradients = &gradients[self.pass.panels.packed_range(panel, points * count)];
        let (x_len, dy_len) = (count * channels.len(), count * width);
        // Those of the next point come from afar.
        let next =
            |all: &'p [f32], len: usize| all.chunks_exact(len).nth(point + 1).unwrap_or_default();
        let next = [next(inputs, x_len), next(gradients, dy_len)];
        let next = [Ahead::new(next, self.pass.level.lanes())];
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
            add,
        };
        block.run_on_tiles(self.pass.level, panel.vectors, Aheads::new(&next), out);
    }
}
