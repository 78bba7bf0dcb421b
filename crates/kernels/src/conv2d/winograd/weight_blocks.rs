//! The gradient of weights whose points the second-level cache does not hold, a block of them at a time.
//!
//! The points of all tiles, or of as many as take no more memory than those of the weights, are computed first.
//! Then the points of a block of input channels and a panel of output channels are summed over them and
//! transformed, while that cache holds them: they need not be anywhere else.

use super::planes::{Scratch, transform_weight_gradients};
use super::weight_points::{Pass, Points};
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::parallel::{self, Cut};
use striate_simd::Buffer;

/// The most input channels of a block, whose points take a little less than 1 MB with panels of four vectors.
const CHANNELS: usize = 96;

/// Blocks are a multiple of this, which the heights of most tiles divide.
const MULTIPLE: usize = 24;

/// Elements of the points of the tiles that memory always has room for.
pub(super) const TILE_ELEMENTS: usize = 4 << 20;

/// Tasks that the tiles are cut into, and multiply-adds that are worth one.
const TASKS: usize = 8;
const TASK: usize = 3_000_000;

/// Computes the gradients of the taps of all groups, `[group][panel][tap][input channel][channel of the panel]`.
pub(super) fn by_blocks(pass: &Pass<'_>, by_tap: &mut [f32]) -> Result<(), KernelError> {
    let (taps, panels, points) = (pass.taps, &pass.panels, pass.size.points());
    let (k_len, kernel) = (taps.k_len(), taps.taps.len());
    let blocks = k_len.div_ceil(CHANNELS);
    let blocks = Cut::every(k_len, k_len.div_ceil(blocks).next_multiple_of(MULTIPLE));
    let tiles = pass.tiles.len();
    let most = TILE_ELEMENTS.max(pass.group_len()) / pass.tile_len();
    let chunks = tiles.div_ceil(most.max(1));
    let chunks = Cut::every(tiles, tiles.div_ceil(chunks));
    let parts = TASKS.min(chunks.per_task() * pass.group_len() / TASK + 1);

    let mut of_tiles = Points::new(pass, blocks, chunks.per_task())?;
    // What several chunks add up to; a block of one chunk is nobody else's.
    let mut sums = Buffer::recycled(if chunks.tasks() == 1 {
        0
    } else {
        pass.group_len()
    })?;
    let out = DisjointMut::new(by_tap);
    for (group, chunk) in (0..taps.groups).flat_map(|g| (0..chunks.tasks()).map(move |c| (g, c))) {
        of_tiles.gather(&chunks.range(chunk), group, parts)?;
        let sums = DisjointMut::new(&mut sums);
        parallel::try_for_each(blocks.tasks() * panels.count(), |task| {
            let (channels, index) = (blocks.range(task / panels.count()), task % panels.count());
            let panel = panels.panel(index);
            let width = pass.width(&panel);
            let len = channels.len() * width;
            let (mut own, mut shared);
            let block: &mut [f32] = if chunks.tasks() == 1 {
                own = Buffer::recycled(points * len)?;
                &mut own
            } else {
                let start = panels.packed_range(&panel, points * k_len).start
                    + points * channels.start * width;
                shared = sums.range(start..start + points * len);
                &mut shared
            };
            for (point, block) in block.chunks_exact_mut(len).enumerate() {
                of_tiles.product(point, &channels, &panel, chunk > 0, block);
            }
            if chunk + 1 == chunks.tasks() {
                let start = group * panels.padded_columns() * kernel * k_len
                    + panels.packed_range(&panel, kernel * k_len).start;
                let line = |tap: usize| {
                    let start = start + (tap * k_len + channels.start) * width;
                    out.range(start..start + len)
                };
                let mut lines: Vec<_> = (0..kernel).map(line).collect();
                let mut lines: Vec<&mut [f32]> =
                    lines.iter_mut().map(|line| &mut line[..]).collect();
                let mut scratch = Scratch::new()?;
                transform_weight_gradients(pass.level, pass.size, block, &mut lines, &mut scratch);
            }
            Ok::<_, KernelError>(())
        })?;
    }
    Ok(())
}
