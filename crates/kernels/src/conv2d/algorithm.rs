//! Which implementations there are, and which one a convolution gets.

use super::Conv2dGeometry;
use super::band::Bands;
use super::lanes::Lanes;
use super::taps::Taps;
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
    /// Tiles of output pixels that read the input in place, tap by tap.
    Direct,
}

/// The implementations, best first: the first that accepts a convolution computes it.
const IMPLEMENTATIONS: [Algorithm; 5] = [
    Algorithm::Depthwise,
    Algorithm::Pointwise,
    Algorithm::FewChannels,
    Algorithm::Grouped,
    Algorithm::Direct,
];

/// The implementations, best first.
pub fn implementations() -> &'static [Algorithm] {
    &IMPLEMENTATIONS
}

/// The implementation that computes the forward pass of a convolution whose input has layout
/// `input`. A pure function of its arguments.
pub fn choose(g: &Conv2dGeometry, input: Layout, level: Level) -> Algorithm {
    let accepts = |algorithm: &&Algorithm| algorithm.accepts(g, input, level);
    IMPLEMENTATIONS
        .iter()
        .find(accepts)
        .copied()
        .unwrap_or(Algorithm::Direct)
}

impl Algorithm {
    fn accepts(self, g: &Conv2dGeometry, input: Layout, level: Level) -> bool {
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
        }
    }

    /// The family, the middle of [`name`](Self::name).
    pub fn family(self) -> &'static str {
        match self {
            Self::Depthwise => "depthwise",
            Self::Pointwise => "pointwise",
            Self::FewChannels => "few-channels",
            Self::Grouped => "grouped",
            Self::Direct => "direct",
        }
    }

    /// The name of the kernel that computes a convolution with this algorithm, such as
    /// `f32-conv2d-direct-3x3s1-avx512`.
    pub fn name(self, g: &Conv2dGeometry, level: Level) -> String {
        let short = |[h, w]: [usize; 2]| {
            if h == w {
                h.to_string()
            } else {
                format!("{h}x{w}")
            }
        };
        let [kh, kw] = g.kernel();
        let stride = short(g.stride());
        let mut name = format!("f32-conv2d-{}-{kh}x{kw}s{stride}", self.family());
        if g.dilation() != [1, 1] {
            name.push_str(&format!("d{}", short(g.dilation())));
        }
        if g.groups() > 1 {
            name.push_str(&format!("g{}", g.groups()));
        }
        format!("{name}-{level}")
    }
}
