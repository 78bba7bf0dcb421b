//! Convolutions of three by three or two by two taps with fewer multiplications (Winograd).
//!
//! The output is cut into tiles of `M x M` pixels. A tile of `R x R` taps depends on `N x N` inputs,
//! `N = M + R - 1`, which are transformed to `N x N` points; there a sum over input channels is all that
//! is left to do, so that the convolution becomes `N * N` matrix products, tiles times channels, and a
//! transform back: `R^2 M^2 / N^2` times fewer multiplications. With 6 x 6 points that is 4 for three
//! by three taps and 2.8 for two by two, with 4 x 4 points 2.25 for both. 5 x 5 points are 3.2 times fewer
//! for three by three taps: images of 3, 5, 6 or 9 pixels a side, as a large dilation leaves them, waste
//! less of tiles of 3 x 3 outputs. Two by two taps are what a kernel of 4 x 4 with stride 2 leaves for each
//! remainder of the coordinates of its data gradient.
//!
//! Where a large dilation leaves images of at most two pixels a side, padding on either side and no further taps, a
//! tile has 2 x 2 inputs as well and 3 x 3 points: an image of two pixels is two sums of two products, with three
//! multiplications.
//!
//! Images of few channels, such as the input of a network, have a way of their own, for larger kernels with a stride as well
//! ([`FewChannels`]).
//!
//! # Rounding
//!
//! With `u = 2^-24` and `S` the largest sum of the magnitudes of the terms of an output among those of its
//! tile, errors stay below `40 u S` for `N = 6`, `24 u S` for `N = 5` and `8 u S` for `N = 4` and 3 on numbers as
//! networks have them.
//! That holds for any numbers if `S` is the sum an output would have if all its inputs were as large as the
//! largest that the tile reads of their channel. The transforms of `N = 4` are sums, halves at most: it is
//! exact on small integers. Products are summed over the channels in one order, and tiles do not depend
//! on each other, so that neither the blocks nor the threads change a bit.
//!
//! # Values that are not finite
//!
//! A NaN in a tile's inputs makes all of its outputs NaN, in the channels that the weights connect; an
//! infinity makes them infinite or NaN. Padding and what lies outside the image are read as zeros and never
//! carry anything in; inputs that only outputs beyond the image would see are not read.

mod backward_weight;
mod cost;
mod dense;
mod few_channels;
mod few_channels_tiles;
mod forward;
mod narrow;
mod narrow_tiles;
mod outputs;
mod pack;
mod planes;
mod products;
mod tiles;
mod transform;
mod weight_blocks;
mod weight_points;

use super::taps::Taps;

pub(super) use backward_weight::{backward_weight, gradient_work};
pub(crate) use cost::Weights;
pub(super) use cost::{MARGIN, Problem};
pub(super) use dense::{run_dense, suits_dense};
pub(super) use few_channels::FewChannels;
pub(super) use forward::run;
pub(super) use pack::{has_panels, pack, pack_held, panels};

/// The size of the tiles, and of the images that they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Size {
    /// 2 x 2 outputs of 3 x 3 taps in images of at most 2 x 2 pixels surrounded by padding, with 3 x 3 points.
    TwoOfImage,
    /// 2 x 2 outputs of 3 x 3 taps, with 4 x 4 points.
    TwoOfThree,
    /// 3 x 3 outputs of 2 x 2 taps, with 4 x 4 points.
    ThreeOfTwo,
    /// 3 x 3 outputs of 3 x 3 taps, with 5 x 5 points.
    ThreeOfThree,
    /// 4 x 4 outputs of 3 x 3 taps, with 6 x 6 points.
    FourOfThree,
    /// 5 x 5 outputs of 2 x 2 taps, with 6 x 6 points.
    FiveOfTwo,
}

impl Size {
    /// Outputs of a tile along either axis.
    fn outputs(self) -> usize {
        match self {
            Self::TwoOfThree | Self::TwoOfImage => 2,
            Self::ThreeOfTwo | Self::ThreeOfThree => 3,
            Self::FourOfThree => 4,
            Self::FiveOfTwo => 5,
        }
    }

    /// Taps along either axis.
    fn taps(self) -> usize {
        match self {
            Self::ThreeOfTwo | Self::FiveOfTwo => 2,
            Self::TwoOfImage | Self::TwoOfThree | Self::ThreeOfThree | Self::FourOfThree => 3,
        }
    }

    /// Points of a tile.
    pub(super) fn points(self) -> usize {
        let side = match self {
            Self::TwoOfImage => 3,
            _ => self.outputs() + self.taps() - 1,
        };
        side * side
    }

    /// Whether it computes regular sums over `taps`.
    pub(super) fn suits(self, taps: &Taps) -> bool {
        self != Self::TwoOfImage || tiles::are_images_of_two(taps)
    }
}

#[cfg(test)]
mod tests;
