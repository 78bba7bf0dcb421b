//! The points of the weights.

use super::Size;
use super::narrow::Narrow;
use super::planes::{Scratch, transform_weights};
use crate::conv2d::pack::pack_panel;
use crate::conv2d::taps::{Dense, Reduce, TapWeights, Taps};
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::gemm::panels::Panels;
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level};

/// Input channels whose weights are transformed as one task: their points stay in the second-level cache.
const TERMS: usize = 64;

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
    let dense = Dense { reduce, weight };
    let panels = panels(level, size, taps);
    let held = panels.all();
    if let Some(narrow) = Narrow::of(level, size, taps) {
        let data = narrow.pack(taps, dense)?;
        return Ok(TapWeights { panels, held, data });
    }
    pack_held(level, size, taps, dense, (panels, held))
}

/// Whether [`pack_held`] can arrange some panels of the weights.
pub(in crate::conv2d) fn has_panels(level: Level, size: Size, taps: &Taps) -> bool {
    Narrow::of(level, size, taps).is_none()
}

/// Arranges the points of the weights of some panels, of whatever width; not all only if there is a single group.
pub(in crate::conv2d) fn pack_held(
    level: Level,
    size: Size,
    taps: &Taps,
    dense: Dense<'_>,
    (panels, held): (Panels, Range<usize>),
) -> Result<TapWeights, KernelError> {
    let (points, k_len) = (size.points(), taps.k_len());
    let rows = points * k_len;
    let (group_len, first) = (panels.held_len(&held, rows), panels.start(&held, rows));
    let mut data = Buffer::recycled(taps.groups * group_len)?;
    let pieces = DisjointMut::new(&mut data);
    let terms = Cut::every(k_len, TERMS);
    parallel::try_for_each(taps.groups * held.len() * terms.tasks(), |task| {
        let (task, terms) = (task / terms.tasks(), terms.range(task % terms.tasks()));
        let group = task / held.len();
        let panel = panels.panel(held.start + task % held.len());
        let width = panels.packed_range(&panel, 1).len();
        let mut by_tap = Buffer::recycled(taps.taps.len() * terms.len() * width)?;
        pack_panel(level, taps, dense, group, &panel, &terms, &mut by_tap);
        let start = group * group_len + panels.packed_range(&panel, rows).start - first;
        let of_point = |point: usize| {
            let start = start + (point * k_len + terms.start) * width;
            pieces.range(start..start + terms.len() * width)
        };
        let mut lines: Vec<_> = (0..points).map(of_point).collect();
        let mut lines: Vec<_> = lines.iter_mut().map(|line| &mut line[..]).collect();
        transform_weights(level, size, &by_tap, &mut lines, &mut Scratch::new()?);
        Ok::<_, KernelError>(())
    })?;
    drop(pieces);
    Ok(TapWeights { panels, held, data })
}
