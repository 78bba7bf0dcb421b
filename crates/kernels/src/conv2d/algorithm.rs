//! Which implementations there are, and which one a convolution gets.

use super::Conv2dGeometry;
use super::band::Bands;
use super::lanes::Lanes;
use super::taps::Taps;
use super::winograd::{self, Weights};
use crate::accuracy::Accuracy;
use crate::geometry::Layout;
use striate_simd::Level;

/// A way to compute a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// One channel a group, a vector of channels at a time.
    Depthwise,
    /// A 1x1 convolution as one matrix product, the input read in place.
    Pointwise,
    /// A dense convolution of few channels, whose taps and channels are one reduction over padded
    /// pieces of the image.
    FewChannels,
    /// Groups that are narrower than a vector, whose channels are spread over its lanes.
    Grouped,
    /// Tiles of 4 x 4 outputs of a convolution of 3 x 3 taps, with a quarter of the multiplications.
    Winograd4x4,
    /// Tiles of 2 x 2 outputs of such a convolution, with four ninths of the multiplications.
    Winograd2x2,
    /// Tiles of output pixels that read the input in place, tap by tap.
    Direct,
}

/// The implementations, best first: the first that accepts a convolution computes it.
const IMPLEMENTATIONS: [Algorithm; 7] = [
    Algorithm::Depthwise,
    Algorithm::Pointwise,
    Algorithm::FewChannels,
    Algorithm::Grouped,
    Algorithm::Winograd4x4,
    Algorithm::Winograd2x2,
    Algorithm::Direct,
];

/// The implementations, best first.
pub fn implementations() -> &'static [Algorithm] {
    &IMPLEMENTATIONS
}

/// The implementation that computes the forward pass of a convolution whose input has layout
/// `input`, with weights that are packed once and used many times. A pure function of its arguments.
pub fn choose(g: &Conv2dGeometry, input: Layout, level: Level, accuracy: Accuracy) -> Algorithm {
    choose_for(g, input, level, accuracy, Weights::Kept)
}

/// As [`choose`], for weights that are kept or not.
pub(super) fn choose_for(
    g: &Conv2dGeometry,
    input: Layout,
    level: Level,
    accuracy: Accuracy,
    weights: Weights,
) -> Algorithm {
    let size = (accuracy == Accuracy::Fast)
        .then(|| winograd::Problem::forward(g)?.choose(level, weights))
        .flatten();
    // The tiles are chosen by the time they are predicted to take.
    let first = |algorithm: &&Algorithm| match algorithm.tile() {
        Some(tile) => size == Some(tile),
        None => algorithm.accepts(g, input, level),
    };
    IMPLEMENTATIONS
        .iter()
        .find(first)
        .copied()
        .unwrap_or(Algorithm::Direct)
}

impl Algorithm {
    /// Whether it can compute a convolution whose input has layout `input`.
    pub fn accepts(self, g: &Conv2dGeometry, input: Layout, level: Level) -> bool {
        match self {
            Self::Depthwise => g.is_depthwise() && g.groups() > 1,
            Self::Pointwise => {
                let trivial = g.kernel() == [1, 1] && g.stride() == [1, 1] && g.padding() == [0; 4];
                trivial && g.groups() == 1 && input == Layout::Nhwc
            }
            Self::FewChannels => {
                let few = if input == Layout::Nchw { 16 } else { 8 };
                g.groups() == 1 && g.in_channels() < few && Bands::new(g, input).is_some()
            }
            Self::Grouped => Lanes::new(level, &Taps::forward(g)).is_some(),
            Self::Direct => true,
            Self::Winograd4x4 | Self::Winograd2x2 => winograd::Problem::forward(g).is_some(),
        }
    }

    /// The tile of a Winograd algorithm.
    pub(super) fn tile(self) -> Option<winograd::Size> {
        match self {
            Self::Winograd4x4 => Some(winograd::Size::Four),
            Self::Winograd2x2 => Some(winograd::Size::Two),
            _ => None,
        }
    }

    /// The algorithm of a [family](Self::family).
    pub fn of_family(family: &str) -> Option<Self> {
        IMPLEMENTATIONS
            .into_iter()
            .find(|algorithm| algorithm.family() == family)
    }

    /// The family, the middle of [`name`](Self::name).
    pub fn family(self) -> &'static str {
        match self {
            Self::Depthwise => "depthwise",
            Self::Pointwise => "pointwise",
            Self::FewChannels => "few-channels",
            Self::Grouped => "grouped",
            Self::Winograd4x4 => "winograd4x4",
            Self::Winograd2x2 => "winograd2x2",
            Self::Direct => "direct",
        }
    }

    /// The name of the kernel that computes a convolution with this algorithm, such as
    /// `f32-conv2d-direct-3x3s1-avx512`.
    pub fn name(self, g: &Conv2dGeometry, level: Level) -> String {
        format!("f32-conv2d-{}-{}-{level}", self.family(), g.attributes())
    }
}
