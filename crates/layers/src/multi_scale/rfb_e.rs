//! The receptive field block of the larger RFBNet-E: one branch more, with the kernel 7 in two lines.
//!
//! ```text
//! four   conv1x1, atrous_1 | conv1x1, 3x3, atrous_3 | conv1x1, 3x3, 3x3, atrous_5
//!        | conv1x1, 1x7, 7x1, atrous_7                       i = C/8, widths i to 2i
//! c      the same without the third branch
//! y = relu(scale * linear1x1([branches]) + shortcut1x1(x))
//! ```
//!
//! Paper: Liu, Huang, Wang, *Receptive Field Block Net for Accurate and Fast Object Detection*, ECCV 2018,
//! arXiv:1711.07767. Departures: none; `BasicRFB` and `BasicRFB_c` of the paper's E network.

use striate_tensor::Result;

use super::rfb::{LAYER, Plan, Rfb, atrous, check_sizes, conv};
use crate::VarBuilder;
use crate::util::at_least_one;

/// The branches of an E block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RfbEVariant {
    /// Four branches.
    Four,
    /// `c`: three, without that of two 3x3 convolutions.
    C,
}

/// How to build the [`Rfb`] of RFBNet-E.
#[derive(Clone, Debug)]
pub struct RfbEConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Stride, 1 or 2.
    pub stride: usize,
    /// Factor of the branches beside the shortcut.
    pub scale: f64,
    /// What the channels are divided by for the branches.
    pub map_reduce: usize,
    /// The branches.
    pub variant: RfbEVariant,
}

impl RfbEConfig {
    /// The code's defaults: four branches, stride 1, scale 0.1, an eighth of the channels.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            stride: 1,
            scale: 0.1,
            map_reduce: 8,
            variant: RfbEVariant::Four,
        }
    }

    /// Sets the stride.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the factor of the branches beside the shortcut.
    #[must_use]
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self
    }

    /// Sets what the channels are divided by for the branches.
    #[must_use]
    pub fn map_reduce(mut self, divisor: usize) -> Self {
        self.map_reduce = divisor;
        self
    }

    /// Sets the branches.
    #[must_use]
    pub fn variant(mut self, variant: RfbEVariant) -> Self {
        self.variant = variant;
        self
    }

    /// Builds the layers `branchB.k.{conv,bn}`, `ConvLinear.{conv,bn}` and `shortcut.{conv,bn}`.
    ///
    /// # Errors
    /// A branch would have fewer than 2 channels, none goes out, the stride is not 1 or 2, or the scale is not
    /// finite.
    pub fn build(&self, vb: &VarBuilder) -> Result<Rfb> {
        let check = || {
            at_least_one(LAYER, "map_reduce", self.map_reduce)?;
            check_sizes(
                self.in_channels,
                self.map_reduce.saturating_mul(2),
                self.stride,
            )
        };
        check().map_err(|e| e.at(vb.path()))?;
        let (c, i, s) = (
            self.in_channels,
            self.in_channels / self.map_reduce,
            self.stride,
        );
        let twice = i.saturating_mul(2);
        let middle = (i / 2).saturating_mul(3);
        let double = |a: (usize, usize), b: (usize, usize), d| {
            let into = conv(middle, twice, b).stride(s);
            vec![conv(c, i, 1), conv(i, middle, a), into, atrous(twice, d)]
        };
        let mut branches = vec![
            vec![conv(c, twice, 1).stride(s), atrous(twice, 1)],
            vec![conv(c, i, 1), conv(i, twice, 3).stride(s), atrous(twice, 3)],
        ];
        if self.variant == RfbEVariant::Four {
            branches.push(double((3, 3), (3, 3), 5));
        }
        branches.push(double((1, 7), (7, 1), 7));
        Plan {
            branches,
            first: 0,
            out_channels: self.out_channels,
            shortcut: Some(conv(c, self.out_channels, 1).stride(s)),
            scale: self.scale,
        }
        .build(vb)
    }
}
