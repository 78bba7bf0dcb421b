//! The head of DeepLab v3: pyramid pooling, a 3x3 convolution, a classifier.
//!
//! `y = W relu(bn(conv3x3(aspp_v3(x)))) + b`
//!
//! Paper: Chen, Papandreou, Schroff, Adam, *Rethinking Atrous Convolution for Semantic Image
//! Segmentation*, arXiv:1706.05587.
//! Departures: the 3x3 convolution is torchvision's; the paper classifies the pyramid's output.
//! Parameters: those of [`AsppV3`] and `9*D*D + 2D + D*K + K`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::{
    AsppV3, AsppV3Config, Conv2d, Conv2dConfig, ConvNormAct, ConvNormActConfig, Layer, Module,
    VarBuilder, Visitor,
};

/// How to build a [`DeepLabV3Head`].
#[derive(Clone, Debug)]
pub struct DeepLabV3HeadConfig {
    /// The pyramid pooling; its output's channels are those of the 3x3 convolution.
    pub aspp: AsppV3Config,
    /// Channels of the output.
    pub num_classes: usize,
}

impl DeepLabV3HeadConfig {
    /// torchvision's: rates 12, 24, 36 for a map 8 times smaller than the image, 256 channels.
    #[must_use]
    pub fn new(in_channels: usize, num_classes: usize) -> Self {
        Self {
            aspp: AsppV3Config::new(in_channels).rates([12, 24, 36]),
            num_classes,
        }
    }

    /// Sets the channels in between.
    #[must_use]
    pub fn channels(mut self, channels: usize) -> Self {
        self.aspp.out_channels = channels;
        self
    }

    /// Sets the dilations.
    #[must_use]
    pub fn rates(mut self, rates: impl Into<Vec<usize>>) -> Self {
        self.aspp.rates = rates.into();
        self
    }

    /// Sets the probability of the pyramid's dropout.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> Self {
        self.aspp.dropout = p;
        self
    }

    /// Builds the layers `0` (the pyramid), `1`, `2` and `4`.
    ///
    /// # Errors
    /// Those of [`AsppV3Config::build`]; there are no classes.
    pub fn build(&self, vb: &VarBuilder) -> Result<DeepLabV3Head> {
        let channels = self.aspp.out_channels;
        let conv = Conv2dConfig::new(channels, channels, 3).same_padding();
        Ok(DeepLabV3Head {
            path: Arc::clone(vb.path()),
            aspp: self.aspp.build(&(vb / 0))?,
            conv: ConvNormActConfig::new(conv).names("1", "2").build(vb)?,
            classifier: Conv2dConfig::new(channels, self.num_classes, 1).build(&(vb / 4))?,
        })
    }
}

/// The head of DeepLab v3; resizing its scores to the image is the network's.
#[derive(Debug)]
pub struct DeepLabV3Head {
    path: Arc<str>,
    aspp: AsppV3,
    conv: ConvNormAct,
    classifier: Conv2d,
}

impl Layer for DeepLabV3Head {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("0", &self.aspp);
        v.child("", &self.conv);
        v.child("4", &self.classifier);
    }
}

impl Module for DeepLabV3Head {
    /// # Shapes
    /// `[N, in, H, W] -> [N, classes, H, W]`
    ///
    /// # Errors
    /// The input does not fit; in training a batch of 1.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let features = self.conv.forward(&self.aspp.forward(x)?)?;
            self.classifier.forward(&features)
        })
    }
}
