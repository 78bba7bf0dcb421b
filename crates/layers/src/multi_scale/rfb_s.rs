//! The receptive field block for shallow, fine maps: smaller kernels and more branches.
//!
//! ```text
//! four    conv1x1, atrous_1 | conv1x1, 3x1, atrous_3 | conv1x1, 1x3, atrous_3
//!         | conv1x1, 1x3, 3x1, atrous_5                               i = C/4
//! seven   conv1x1, atrous_1 | 3x1, atrous_3 | 1x3, atrous_3 | 3x1, atrous_5 | 1x3, atrous_5
//!         | 1x3, 3x1, atrous_7 | 3x1, 1x3, atrous_7                   i = C/8, each after a conv1x1
//! y = relu(scale * linear1x1([branches]) + shortcut1x1(x))
//! ```
//!
//! Paper: Liu, Huang, Wang, *Receptive Field Block Net for Accurate and Fast Object Detection*, ECCV 2018,
//! arXiv:1711.07767. Departures: none; `BasicRFB_a` of the paper's code, and that of its E network. There is no
//! stride: the code applies it to some branches only.

use striate_tensor::Result;

use super::rfb::{Plan, Rfb, atrous, check_sizes, conv};
use crate::VarBuilder;

/// The branches of a block for fine maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RfbSVariant {
    /// RFBNet's four branches of a quarter of the channels.
    Four,
    /// The E network's seven branches of an eighth.
    Seven,
}

/// How to build the [`Rfb`] for fine maps.
#[derive(Clone, Debug)]
pub struct RfbSConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Factor of the branches beside the shortcut.
    pub scale: f64,
    /// The branches.
    pub variant: RfbSVariant,
}

impl RfbSConfig {
    /// The code's defaults: four branches, scale 0.1. RFBNet has scale 1, in the place of SSD's `L2Norm`.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            scale: 0.1,
            variant: RfbSVariant::Four,
        }
    }

    /// Sets the factor of the branches beside the shortcut.
    #[must_use]
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self
    }

    /// Sets the branches.
    #[must_use]
    pub fn variant(mut self, variant: RfbSVariant) -> Self {
        self.variant = variant;
        self
    }

    /// Builds the layers `branchB.k.{conv,bn}`, `ConvLinear.{conv,bn}` and `shortcut.{conv,bn}`.
    ///
    /// # Errors
    /// Fewer than 16 channels come in, 32 for seven branches; none goes out; the scale is not finite.
    pub fn build(&self, vb: &VarBuilder) -> Result<Rfb> {
        let (c, parts) = match self.variant {
            RfbSVariant::Four => (self.in_channels, 4),
            RfbSVariant::Seven => (self.in_channels, 8),
        };
        check_sizes(c, 4 * parts, 1).map_err(|e| e.at(vb.path()))?;
        let i = c / parts;
        let (tall, wide) = ((3, 1), (1, 3));
        let single = |k, d| vec![conv(c, i, 1), conv(i, i, k), atrous(i, d)];
        let double = |a, b, d| {
            vec![
                conv(c, i / 2, 1),
                conv(i / 2, i / 4 * 3, a),
                conv(i / 4 * 3, i, b),
                atrous(i, d),
            ]
        };
        let mut branches = vec![
            vec![conv(c, i, 1), atrous(i, 1)],
            single(tall, 3),
            single(wide, 3),
        ];
        branches.extend(match self.variant {
            RfbSVariant::Four => vec![double(wide, tall, 5)],
            RfbSVariant::Seven => vec![
                single(tall, 5),
                single(wide, 5),
                double(wide, tall, 7),
                double(tall, wide, 7),
            ],
        });
        Plan {
            branches,
            first: 0,
            out_channels: self.out_channels,
            shortcut: Some(conv(c, self.out_channels, 1)),
            scale: self.scale,
        }
        .build(vb)
    }
}
