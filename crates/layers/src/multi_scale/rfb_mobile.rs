//! The receptive field blocks of RFBNet on MobileNet: the dilated 3x3 at each branch's end is depthwise.
//!
//! ```text
//! rfb_mobile     conv1x1, 1x3, 3x1, dw atrous_3 | conv1x1, 3x3, 3x3, dw atrous_5       i = C/8
//! rfb_s_mobile   conv1x1, dw atrous_1 | conv1x1, 3x1, dw atrous_3 | conv1x1, 1x3, dw atrous_3
//!                | conv1x1, 1x3, 3x1, dw atrous_5                                       i = C/4
//! y = relu(scale * linear1x1([branches]) + shortcut)
//! ```
//! The shortcut is the input itself where the shapes agree, else a 1x1 convolution with a batch norm.
//!
//! Paper: Liu, Huang, Wang, *Receptive Field Block Net for Accurate and Fast Object Detection*, ECCV 2018,
//! arXiv:1711.07767. Departures: none; `BasicRFB` and `BasicRFB_a` of the paper's MobileNet.

use striate_tensor::Result;

use super::rfb::{LAYER, Plan, Rfb, atrous, check_sizes, conv};
use crate::util::invalid;
use crate::{Conv2dConfig, VarBuilder};

/// A dilated depthwise 3x3, the end of a branch.
fn depthwise(channels: usize, dilation: usize) -> Conv2dConfig {
    atrous(channels, dilation).groups(channels)
}

/// How to build the [`Rfb`] of RFBNet on MobileNet.
#[derive(Clone, Debug)]
pub struct RfbMobileConfig {
    /// Channels of the input; their eighth must be even.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Stride, 1 or 2; 1 where the channels stay.
    pub stride: usize,
    /// Factor of the branches beside the shortcut.
    pub scale: f64,
}

impl RfbMobileConfig {
    /// The code's defaults: stride 1, scale 0.1.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            stride: 1,
            scale: 0.1,
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

    /// Builds the layers `branch{1,2}.k.{conv,bn}`, `ConvLinear.{conv,bn}` and, where the channels change,
    /// `shortcut.{conv,bn}`.
    ///
    /// # Errors
    /// Fewer than 16 channels come in, or their eighth is odd; none goes out; the stride is not 1 or 2, or
    /// not 1 where the channels stay; the scale is not finite.
    pub fn build(&self, vb: &VarBuilder) -> Result<Rfb> {
        let (c, i, s) = (self.in_channels, self.in_channels / 8, self.stride);
        let stays = c == self.out_channels;
        let check = || {
            check_sizes(c, 16, s)?;
            if i % 2 == 1 {
                let rule =
                    "an eighth of it must be even, so that both branches have three halves of that";
                return Err(invalid(LAYER, "in_channels", c, rule));
            }
            if stays && s != 1 {
                let rule = "it must be 1 where the channels stay, for the shortcut is the input";
                return Err(invalid(LAYER, "stride", s, rule));
            }
            Ok(())
        };
        check().map_err(|e| e.at(vb.path()))?;
        let w = i / 2 * 3;
        let branch = |a: (usize, usize), b: (usize, usize), d| {
            vec![
                conv(c, i, 1),
                conv(i, w, a),
                conv(w, w, b).stride(s),
                depthwise(w, d),
            ]
        };
        Plan {
            branches: vec![branch((1, 3), (3, 1), 3), branch((3, 3), (3, 3), 5)],
            first: 1,
            out_channels: self.out_channels,
            shortcut: (!stays).then(|| conv(c, self.out_channels, 1).stride(s)),
            scale: self.scale,
        }
        .build(vb)
    }
}

/// How to build the [`Rfb`] for the fine maps of RFBNet on MobileNet.
#[derive(Clone, Debug)]
pub struct RfbSMobileConfig {
    /// Channels of the input and of the output.
    pub channels: usize,
    /// Factor of the branches beside the input.
    pub scale: f64,
}

impl RfbSMobileConfig {
    /// The code's default: scale 0.1.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            scale: 0.1,
        }
    }

    /// Sets the factor of the branches beside the input.
    #[must_use]
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self
    }

    /// Builds the layers `branch{1,2,3,4}.k.{conv,bn}` and `ConvLinear.{conv,bn}`.
    ///
    /// # Errors
    /// There are fewer than 16 channels, or the scale is not finite.
    pub fn build(&self, vb: &VarBuilder) -> Result<Rfb> {
        let (c, i) = (self.channels, self.channels / 4);
        check_sizes(c, 16, 1).map_err(|e| e.at(vb.path()))?;
        let (tall, wide) = ((3, 1), (1, 3));
        let single = |k| vec![conv(c, i, 1), conv(i, i, k), depthwise(i, 3)];
        let (half, middle) = (i / 2, i / 4 * 3);
        Plan {
            branches: vec![
                vec![conv(c, i, 1), depthwise(i, 1)],
                single(tall),
                single(wide),
                vec![
                    conv(c, half, 1),
                    conv(half, middle, wide),
                    conv(middle, i, tall),
                    depthwise(i, 5),
                ],
            ],
            first: 1,
            out_channels: c,
            shortcut: None,
            scale: self.scale,
        }
        .build(vb)
    }
}
