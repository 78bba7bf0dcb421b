//! Convolutions of three by three taps with fewer multiplications (Winograd).
//!
//! The output is cut into tiles of `M x M` pixels. A tile depends on `N x N` inputs, `N = M + 2`, which
//! are transformed to `N x N` points; there a sum over input channels is all that is left to do, so that
//! the convolution becomes `N * N` matrix products, tiles times channels, and a transform back:
//! `9 M^2 / N^2` times fewer multiplications, 4 for `M = 4` and 2.25 for `M = 2`.
//!
//! # Rounding
//!
//! With `u = 2^-24` and `S` the largest sum of the magnitudes of the terms of an output among those of its
//! tile, errors stay below `40 u S` for `M = 4` and `8 u S` for `M = 2` on numbers as networks have them.
//! That holds for any numbers if `S` is the sum an output would have if all its inputs were as large as the
//! largest that the tile reads of their channel. The transforms of `M = 2` are sums, halves at most: it is
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
mod forward;
mod pack;
mod planes;
mod tiles;
mod transform;

pub(super) use backward_weight::backward_weight;
pub(super) use cost::{Problem, Weights};
pub(super) use forward::run;
pub(super) use pack::{pack, panels};

/// The size of the tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Size {
    /// 2 x 2 outputs.
    Two,
    /// 4 x 4 outputs.
    Four,
}

impl Size {
    /// Outputs of a tile along either axis.
    fn outputs(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Points of a tile.
    fn points(self) -> usize {
        let side = self.outputs() + 2;
        side * side
    }
}

#[cfg(test)]
mod tests;
