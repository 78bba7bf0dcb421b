//! The decoder of DeepLab v3+: coarse context and fine detail, side by side, refined.
//!
//! ```text
//! d = relu(bn(conv1x1(low_level)))                               to a few channels
//! y = W drop(relu(bn(conv3x3(drop(relu(bn(conv3x3([up(x), d]))))))) + b
//! ```
//! `x` is the pyramid pooling's output, `up` bilinear to the size of the low-level map.
//!
//! Paper: Chen, Zhu, Papandreou, Schroff, Adam, *Encoder-Decoder with Atrous Separable Convolution for Semantic Image
//! Segmentation*, ECCV 2018, arXiv:1802.02611.
//! Departures: plain 3x3 convolutions, as jfzhang95 and kazuto1011 have; the paper's are depthwise separable in its
//! Xception networks.
//! Parameters: `L*R + 2R + 9(C + R)D + 2D + 9*D*D + 2D + D*K + K`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Interpolation, Result, Tensor};

use crate::util::at_least_one;
use crate::{
    Conv2d, Conv2dConfig, ConvNormAct, ConvNormActConfig, Dropout, Layer, Module, VarBuilder,
    Visitor,
};

/// How to build a [`DeepLabV3PlusDecoder`].
#[derive(Clone, Debug)]
pub struct DeepLabV3PlusDecoderConfig {
    /// Channels of the coarse map.
    pub in_channels: usize,
    /// Channels of the low-level map.
    pub low_level_channels: usize,
    /// Channels of the output.
    pub num_classes: usize,
    /// Channels of the 3x3 convolutions.
    pub channels: usize,
    /// Channels that the low-level map is reduced to.
    pub reduced_channels: usize,
    /// Whether the resize aligns the corners' centres.
    pub align_corners: bool,
    /// Probabilities of dropout after the two 3x3 convolutions.
    pub dropout: [f64; 2],
}

impl DeepLabV3PlusDecoderConfig {
    /// 256 channels, 48 of detail, and jfzhang95's resize with aligned corners and dropouts of 0.5 and 0.1.
    #[must_use]
    pub fn new(in_channels: usize, low_level_channels: usize, num_classes: usize) -> Self {
        Self {
            in_channels,
            low_level_channels,
            num_classes,
            channels: 256,
            reduced_channels: 48,
            align_corners: true,
            dropout: [0.5, 0.1],
        }
    }

    /// kazuto1011's: corners not aligned, no dropout.
    #[must_use]
    pub fn kazuto1011(in_channels: usize, low_level_channels: usize, num_classes: usize) -> Self {
        Self::new(in_channels, low_level_channels, num_classes)
            .align_corners(false)
            .dropout([0.0; 2])
    }

    /// Sets the channels of the 3x3 convolutions.
    #[must_use]
    pub fn channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// Sets the channels that the low-level map is reduced to.
    #[must_use]
    pub fn reduced_channels(mut self, channels: usize) -> Self {
        self.reduced_channels = channels;
        self
    }

    /// Sets whether the resize aligns the corners' centres.
    #[must_use]
    pub fn align_corners(mut self, align: bool) -> Self {
        self.align_corners = align;
        self
    }

    /// Sets the probabilities of dropout after the two 3x3 convolutions.
    #[must_use]
    pub fn dropout(mut self, p: [f64; 2]) -> Self {
        self.dropout = p;
        self
    }

    /// Builds the layers `conv1`, `bn1` and `last_conv.{0,1,4,5,8}`, as jfzhang95.
    ///
    /// # Errors
    /// A number of channels is 0, or a dropout is no probability.
    pub fn build(&self, vb: &VarBuilder) -> Result<DeepLabV3PlusDecoder> {
        at_least_one("DeepLabV3PlusDecoder", "in_channels", self.in_channels)
            .map_err(|e| e.at(vb.path()))?;
        let (last, width) = (vb / "last_conv", self.channels);
        let refine = |c, conv, norm| {
            let conv3x3 = Conv2dConfig::new(c, width, 3).same_padding();
            ConvNormActConfig::new(conv3x3)
                .names(conv, norm)
                .build(&last)
        };
        let reduce = Conv2dConfig::new(self.low_level_channels, self.reduced_channels, 1);
        let [first, second] = self.dropout.map(|p| Dropout::new(p, &last));
        Ok(DeepLabV3PlusDecoder {
            path: Arc::clone(vb.path()),
            reduce: ConvNormActConfig::new(reduce)
                .names("conv1", "bn1")
                .build(vb)?,
            refine: [
                refine(
                    self.in_channels.saturating_add(self.reduced_channels),
                    "0",
                    "1",
                )?,
                refine(width, "4", "5")?,
            ],
            dropout: [first?, second?],
            classifier: Conv2dConfig::new(width, self.num_classes, 1).build(&(&last / 8))?,
            resize: Interpolation::Bilinear {
                align_corners: self.align_corners,
            },
        })
    }
}

/// The decoder of DeepLab v3+; resizing its scores to the image is the network's.
#[derive(Debug)]
pub struct DeepLabV3PlusDecoder {
    path: Arc<str>,
    reduce: ConvNormAct,
    refine: [ConvNormAct; 2],
    dropout: [Dropout; 2],
    classifier: Conv2d,
    resize: Interpolation,
}

impl Layer for DeepLabV3PlusDecoder {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("", &self.reduce);
        for (conv, dropout) in self.refine.iter().zip(&self.dropout) {
            v.child("last_conv", conv);
            v.child("last_conv", dropout);
        }
        v.child("last_conv.8", &self.classifier);
    }
}

impl DeepLabV3PlusDecoder {
    /// Scores of the classes at the size of the low-level map.
    ///
    /// # Shapes
    /// `x [N, in, H', W']` and `low_level [N, L, H, W]` to `[N, classes, H, W]`
    ///
    /// # Errors
    /// A map does not fit.
    pub fn forward(&self, x: &Tensor, low_level: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [_, _, h, w] = low_level.dims_array("DeepLabV3PlusDecoder")?;
            let detail = self.reduce.forward(low_level)?;
            let mut y = Tensor::cat(&[&x.interpolate([h, w], self.resize)?, &detail], 1)?;
            for (conv, dropout) in self.refine.iter().zip(&self.dropout) {
                y = dropout.forward(&conv.forward(&y)?)?;
            }
            self.classifier.forward(&y)
        })
    }
}

/// How other implementations name the same weights.
pub mod decoder_key_maps {
    use crate::KeyMap;

    /// kazuto1011's `deeplab-pytorch`: `reduce` and `fc2.{conv1,conv2,conv3}`.
    #[must_use]
    pub fn kazuto1011() -> KeyMap {
        KeyMap::new()
            .rename("fc2.conv1.conv", "last_conv.0")
            .rename("fc2.conv1.bn", "last_conv.1")
            .rename("fc2.conv2.conv", "last_conv.4")
            .rename("fc2.conv2.bn", "last_conv.5")
            .rename("fc2.conv3", "last_conv.8")
            .rename("reduce.conv", "conv1")
            .rename("reduce.bn", "bn1")
    }
}
