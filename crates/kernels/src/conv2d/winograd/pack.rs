//! The points of the weights.

use super::Size;
use super::narrow::Narrow;
use super::planes::{Scratch, transform_weights};
use crate::conv2d::pack::pack_panel;
use crate::conv2d::taps::{Dense, Reduce, TapWeights, Taps};
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::gemm::panels::Panels;
use crate::parallel;
use striate_simd::{Buffer, Level};

/// The panels that suit the blocks of tiles.
pub(in crate::conv2d) fn panels(level: Level, size: Size, taps: &Taps) -> Panels {
    let rows = super::forward::block_tiles(size, taps);
    Panels::choose(level, rows, taps.columns())
}

/// Arranges the points of the weights as [`TapWeights`] with a point in the place of a tap.
pub(in crate::conv2d) fn pack(
    level: Level,
    size: Size,
    taps: &Taps,
    reduce: Reduce,
    weight: &[f32],
) -> Result<TapWeights, KernelError> {
    let panels = panels(level, size, taps);
    if let Some(narrow) = Narrow::of(level, size, taps) {
        let data = narrow.pack(taps, Dense { reduce, weight })?;
        return Ok(TapWeights { panels, data });
    }
    let (rows, tap_rows) = (size.points() * taps.k_len(), taps.taps.len() * taps.k_len());
    let group_len = panels.padded_columns() * rows;
    let mut data = Buffer::recycled(taps.groups * group_len)?;
    let pieces = DisjointMut::new(&mut data);
    parallel::try_for_each(taps.groups * panels.count(), |task| {
        let group = task / panels.count();
        let panel = panels.panel(task % panels.count());
        let mut by_tap = Buffer::recycled(panels.packed_range(&panel, tap_rows).len())?;
        let (dense, terms) = (Dense { reduce, weight }, 0..taps.k_len());
        pack_panel(level, taps, dense, group, &panel, &terms, &mut by_tap);
        let range = panels.packed_range(&panel, rows);
        let start = group * group_len;
        let mut points = pieces.range(start + range.start..start + range.end);
        let len = points.len() / size.points();
        let mut points: Vec<_> = points.chunks_exact_mut(len).collect();
        transform_weights(level, size, &by_tap, &mut points, &mut Scratch::new()?);
        Ok::<_, KernelError>(())
    })?;
    drop(pieces);
    Ok(TapWeights { panels, data })
}
