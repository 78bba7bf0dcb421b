//! Runs of input channels that share a group of the convolution and a group of offsets.

use super::DeformConv2dGeometry;
use std::ops::Range;

/// Channels of one group that have the same offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Of the input.
    pub(super) channels: Range<usize>,
    /// The group of the convolution.
    pub(super) group: usize,
    /// The first of them within the group.
    pub(super) start: usize,
    /// The group of offsets.
    pub(super) offset_group: usize,
}

/// All channels in pieces of at most `most`.
pub(super) fn pieces(g: &DeformConv2dGeometry, most: usize) -> Vec<Piece> {
    let channels = g.conv().in_channels();
    let (per_group, per_offset) = (g.conv().group_in_channels(), channels / g.offset_groups());
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < channels {
        let next = |size: usize| (at / size + 1) * size;
        let end = next(per_group)
            .min(next(per_offset))
            .min(at.saturating_add(most));
        pieces.push(Piece {
            channels: at..end,
            group: at / per_group,
            start: at % per_group,
            offset_group: at / per_offset,
        });
        at = end;
    }
    pieces
}
