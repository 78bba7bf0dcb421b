//! Which implementations there are, and which one a convolution gets.

use super::Conv2dGeometry;
use super::lanes::Lanes;
use super::predict::{fastest, predictions};
use super::recent::Recent;
use super::taps::Taps;
use super::winograd::{self, Weights};
use super::{few_channels, few_outputs};
use crate::accuracy::{Accuracy, Policy};
use crate::geometry::Layout;
use std::cell::RefCell;
use striate_simd::Level;

/// A way to compute a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// One channel a group, a vector of channels at a time.
    Depthwise,
    /// A 1x1 convolution as one matrix product, the input read in place.
    Pointwise,
    /// A dense convolution to few channels, a vector of pixels at a time.
    FewOutputs,
    /// A dense convolution of few channels, whose taps and channels are one reduction over padded
    /// pieces of the image.
    FewChannels,
    /// Groups that are narrower than a vector, whose channels are spread over its lanes.
    Grouped,
    /// Tiles of 6 x 6 points of a dense convolution of few channels with a stride of 1 or 2, such as 3 x 3 outputs of
    /// 7 x 7 taps with stride 2, with less than a third of the multiplications.
    WinogradFewChannels,
    /// Tiles of 4 x 4 outputs of a convolution of 3 x 3 taps, with a quarter of the multiplications.
    Winograd4x4,
    /// Tiles of 3 x 3 outputs of such a convolution, with three tenths of the multiplications.
    Winograd3x3,
    /// Tiles of 2 x 2 outputs of such a convolution, with four ninths of the multiplications.
    Winograd2x2,
    /// Tiles of 2 x 2 outputs of such a convolution of images that are no larger and surrounded by padding, as a large
    /// dilation leaves them, with nine sixteenths of the multiplications.
    Winograd2of2,
    /// Tiles of output pixels that read the input in place, tap by tap.
    Direct,
}

/// Output channels that fill a vector.
pub(super) const FULL: usize = 16;

/// The implementations, the most special first: of equally fast ones the first computes a convolution.
const IMPLEMENTATIONS: [Algorithm; 11] = [
    Algorithm::Depthwise,
    Algorithm::Pointwise,
    Algorithm::FewOutputs,
    Algorithm::FewChannels,
    Algorithm::Grouped,
    Algorithm::WinogradFewChannels,
    Algorithm::Winograd4x4,
    Algorithm::Winograd3x3,
    Algorithm::Winograd2x2,
    Algorithm::Winograd2of2,
    Algorithm::Direct,
];

/// The implementations, the most special first.
pub fn implementations() -> &'static [Algorithm] {
    &IMPLEMENTATIONS
}

/// The implementation that computes the forward pass of a convolution whose input has layout
/// `input`, with weights that are packed once and used many times: of those that accept it the one that is
/// [predicted](super::candidates) to be the fastest. A pure function of its arguments.
pub fn choose(g: &Conv2dGeometry, input: Layout, level: Level, accuracy: Accuracy) -> Algorithm {
    choose_for(g, input, level, accuracy, Weights::Kept)
}

/// As [`choose`], for weights that are kept or not.
pub(crate) fn choose_for(
    g: &Conv2dGeometry,
    input: Layout,
    level: Level,
    accuracy: Accuracy,
    weights: Weights,
) -> Algorithm {
    let question = Question {
        g: *g,
        input,
        policy: Policy { level, accuracy },
        weights,
    };
    RECENT.with_borrow_mut(|recent| recent.answer(question, Question::answer))
}

/// What a choice depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Question {
    g: Conv2dGeometry,
    input: Layout,
    policy: Policy,
    weights: Weights,
}

impl Question {
    fn answer(&self) -> Algorithm {
        let candidates = predictions(self.policy, &self.g, self.input, self.weights);
        fastest(candidates, Algorithm::is_tiled).unwrap_or(Algorithm::Direct)
    }
}

thread_local! {
    static RECENT: RefCell<Recent<Question, Algorithm>> = const { RefCell::new(Recent::new()) };
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
            Self::FewOutputs => {
                let taps = [Taps::forward(g)];
                g.out_channels() < FULL && few_outputs::Plan::new(&taps, input).is_some()
            }
            Self::FewChannels => {
                few_channels::accepts(g) && few_channels::Plan::new(g, input).is_some()
            }
            Self::Grouped => Lanes::new(level, &[Taps::forward(g)]).is_some(),
            Self::WinogradFewChannels => winograd::FewChannels::new(g, input).is_some(),
            Self::Direct => true,
            Self::Winograd4x4 | Self::Winograd3x3 | Self::Winograd2x2 | Self::Winograd2of2 => {
                let problem = winograd::Problem::forward(g).zip(self.tile());
                problem.is_some_and(|(problem, size)| problem.accepts(size))
            }
        }
    }

    /// Whether it is a Winograd algorithm, which is less accurate than the others.
    pub(super) fn is_tiled(self) -> bool {
        self == Self::WinogradFewChannels || self.tile().is_some()
    }

    /// The tile of a Winograd algorithm of any number of channels.
    pub(super) fn tile(self) -> Option<winograd::Size> {
        match self {
            Self::Winograd4x4 => Some(winograd::Size::FourOfThree),
            Self::Winograd3x3 => Some(winograd::Size::ThreeOfThree),
            Self::Winograd2x2 => Some(winograd::Size::TwoOfThree),
            Self::Winograd2of2 => Some(winograd::Size::TwoOfImage),
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
            Self::FewOutputs => "few-outputs",
            Self::FewChannels => "few-channels",
            Self::Grouped => "grouped",
            Self::WinogradFewChannels => "winograd-few-channels",
            Self::Winograd4x4 => "winograd4x4",
            Self::Winograd3x3 => "winograd3x3",
            Self::Winograd2x2 => "winograd2x2",
            Self::Winograd2of2 => "winograd2of2",
            Self::Direct => "direct",
        }
    }

    /// The name of the kernel that computes a convolution with this algorithm, such as
    /// `f32-conv2d-direct-3x3s1-avx512`. The level is the one that was asked for: where few channels leave its vectors
    /// empty, a kernel may use shorter ones.
    pub fn name(self, g: &Conv2dGeometry, level: Level) -> String {
        format!("f32-conv2d-{}-{}-{level}", self.family(), g.attributes())
    }
}
