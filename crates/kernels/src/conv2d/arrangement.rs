//! What the order of packed weights depends on.

use super::algorithm::{Algorithm, choose};
use super::taps::{TapWeights, Taps};
use super::{Conv2dGeometry, few_channels, winograd};
use crate::accuracy::Policy;
use crate::gemm::panels::Panels;
use crate::geometry::Layout;
use striate_simd::Level;

/// An order of the weights of a convolution, and all that it depends on: weights of equal arrangements
/// are packed alike, whatever the batch and the image size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrangement {
    pub(super) level: Level,
    pub(super) input: Layout,
    pub(super) algorithm: Algorithm,
    pub(super) attributes: Attributes,
    /// The panels of output channels, if the algorithm computes in panels.
    panels: Option<Panels>,
}

/// What geometries that take the same weights have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    weight_shape: [usize; 4],
    stride: [usize; 2],
    padding: [usize; 4],
    dilation: [usize; 2],
    groups: usize,
}

impl Attributes {
    pub(super) fn of(g: &Conv2dGeometry) -> Self {
        Self {
            weight_shape: g.weight_shape(),
            stride: g.stride(),
            padding: g.padding(),
            dilation: g.dilation(),
            groups: g.groups(),
        }
    }
}

impl Arrangement {
    /// The arrangement for the fastest computation of `g` on inputs of layout `input`, the weights being
    /// packed once and used many times. A pure function of its arguments.
    pub fn choose(policy: impl Into<Policy>, g: &Conv2dGeometry, input: Layout) -> Self {
        let Policy { level, accuracy } = policy.into();
        Self::of(level, g, input, choose(g, input, level, accuracy))
    }

    /// The panels of output channels and the elements of each, if the weights of some of them can be packed and used
    /// without the others: where a sum does not depend on the width of its panel, such that one has at most `most`.
    pub(super) fn separable(&self, g: &Conv2dGeometry, most: usize) -> Option<(Panels, usize)> {
        let taps = Taps::forward(g).flattened();
        let panels = self.panels.filter(|_| g.groups() == 1)?;
        let lanes = self.level.lanes();
        let (panels, rows) = match (self.algorithm, self.algorithm.tile()) {
            (_, Some(size)) if winograd::has_panels(self.level, size, &taps) => {
                let rows = size.points() * taps.k_len();
                (panels.narrowed(most / (rows * lanes).max(1)), rows)
            }
            (Algorithm::Pointwise | Algorithm::Direct, _) => {
                (panels, taps.taps.len() * taps.k_len())
            }
            _ => return None,
        };
        Some((panels, panels.packed_range(&panels.panel(0), rows).len()))
    }

    /// The arrangement for an algorithm that accepts the geometry.
    pub(super) fn of(
        level: Level,
        g: &Conv2dGeometry,
        input: Layout,
        algorithm: Algorithm,
    ) -> Self {
        let panels = match algorithm {
            Algorithm::Depthwise
            | Algorithm::FewOutputs
            | Algorithm::Grouped
            | Algorithm::WinogradFewChannels => None,
            Algorithm::FewChannels => Some(few_channels::panels(level, g)),
            _ => {
                let taps = Taps::forward(g).flattened();
                Some(match algorithm.tile() {
                    Some(size) => winograd::panels(level, size, &taps),
                    None => TapWeights::panels(level, &taps),
                })
            }
        };
        Self {
            level,
            input,
            algorithm,
            attributes: Attributes::of(g),
            panels,
        }
    }
}
