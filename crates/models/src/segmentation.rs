//! Networks for dense prediction: DeepLab.

use std::sync::Arc;

use striate_layers::{
    Activation, AsppV3, AsppV3Config, BatchNormConfig, Conv2dConfig, DeepLabV3Head,
    DeepLabV3HeadConfig, DeepLabV3PlusDecoder, DeepLabV3PlusDecoderConfig, Dropout, Layer, Module,
    Sequential, VarBuilder, Visitor,
};
use striate_tensor::autograd::scope;
use striate_tensor::{Error, Interpolation, Result, Tensor};

use crate::{Network, ResNetConfig};

/// How many times smaller than the image the last map of the backbone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStride {
    /// The last two stages dilate instead of striding.
    Eight,
    /// The last stage does.
    Sixteen,
}

impl OutputStride {
    fn dilate(self) -> [bool; 3] {
        [false, self == Self::Eight, true]
    }

    fn rates(self) -> Vec<usize> {
        match self {
            Self::Eight => vec![12, 24, 36],
            Self::Sixteen => vec![6, 12, 18],
        }
    }
}

/// The maps behind the stem and the four stages.
fn maps(backbone: &Network, x: &Tensor) -> Result<[Tensor; 5]> {
    let maps = backbone.features(x)?;
    let count = maps.len();
    let wrong = |_| Error::msg(format!("the backbone gives {count} maps instead of 5"));
    <[Tensor; 5]>::try_from(maps).map_err(wrong)
}

fn resized(y: &Tensor, x: &Tensor, align_corners: bool) -> Result<Tensor> {
    let [_, _, h, w] = x.dims4()?;
    y.interpolate([h, w], Interpolation::Bilinear { align_corners })
}

/// How to build [`DeepLabV3`].
#[derive(Clone, Debug)]
pub struct DeepLabV3Config {
    /// The residual network below the head.
    pub backbone: ResNetConfig,
    /// Number of classes.
    pub classes: usize,
    /// How many times smaller than the image the last map of the backbone is.
    pub output_stride: OutputStride,
    /// Dilations of the pyramid; those of the output stride if not set.
    pub rates: Option<Vec<usize>>,
    /// Whether a second head reads stage 3, for training.
    pub aux: bool,
}

impl DeepLabV3Config {
    /// torchvision's: 21 classes, output stride 8, no second head.
    #[must_use]
    pub fn new(backbone: ResNetConfig) -> Self {
        Self {
            backbone,
            classes: 21,
            output_stride: OutputStride::Eight,
            rates: None,
            aux: false,
        }
    }

    /// Sets the channels of the images.
    #[must_use]
    pub fn in_channels(mut self, channels: usize) -> Self {
        self.backbone.in_channels = channels;
        self
    }

    /// Sets the number of classes.
    #[must_use]
    pub fn classes(mut self, classes: usize) -> Self {
        self.classes = classes;
        self
    }

    /// Sets how many times smaller than the image the last map of the backbone is.
    #[must_use]
    pub fn output_stride(mut self, stride: OutputStride) -> Self {
        self.output_stride = stride;
        self
    }

    /// Sets the dilations of the pyramid.
    #[must_use]
    pub fn rates(mut self, rates: impl Into<Vec<usize>>) -> Self {
        self.rates = Some(rates.into());
        self
    }

    /// Adds or leaves out the second head.
    #[must_use]
    pub fn aux(mut self, yes: bool) -> Self {
        self.aux = yes;
        self
    }

    /// Builds the network under torchvision's names: `backbone`, `classifier`, `aux_classifier`.
    ///
    /// # Errors
    /// A size is 0, or the backbone's configuration is invalid.
    pub fn build(&self, vb: &VarBuilder) -> Result<DeepLabV3> {
        let backbone = self.backbone.clone().dilate(self.output_stride.dilate());
        let rates = self.rates.clone();
        let rates = rates.unwrap_or_else(|| self.output_stride.rates());
        let [aux_channels, channels] = [3, 4].map(|stage| self.backbone.channels(stage));
        let head = DeepLabV3HeadConfig::new(channels, self.classes).rates(rates);
        let aux = || fcn_head(aux_channels, self.classes, &(vb / "aux_classifier"));
        Ok(DeepLabV3 {
            path: Arc::clone(vb.path()),
            backbone: backbone.trunk(&(vb / "backbone"))?.finish(),
            classifier: head.build(&(vb / "classifier"))?,
            aux_classifier: self.aux.then(aux).transpose()?,
        })
    }
}

/// The head of a fully convolutional network: a 3x3 convolution to a quarter of the channels, a classifier.
fn fcn_head(channels: usize, classes: usize, vb: &VarBuilder) -> Result<Sequential> {
    let width = channels / 4;
    let conv = Conv2dConfig::new(channels, width, 3).padding(1).bias(false);
    Ok(Sequential::new()
        .push(conv.build(&(vb / 0))?)
        .push(BatchNormConfig::new(width).build_2d(&(vb / 1))?)
        .push(Activation::Relu)
        .push(Dropout::new(0.1, vb)?)
        .push(Conv2dConfig::new(width, classes, 1).build(&(vb / 4))?))
}

/// A dilated residual network, a pyramid of dilated convolutions, and scores brought to the image's size.
///
/// Paper: Chen, Papandreou, Schroff, Adam, *Rethinking Atrous Convolution for Semantic Image Segmentation*,
/// arXiv:1706.05587.
#[derive(Debug)]
pub struct DeepLabV3 {
    path: Arc<str>,
    backbone: Network,
    classifier: DeepLabV3Head,
    aux_classifier: Option<Sequential>,
}

impl DeepLabV3 {
    /// The scores, and those of the second head if there is one.
    ///
    /// # Shapes
    /// `[N, in, H, W] -> [N, classes, H, W]`
    ///
    /// # Errors
    /// The image does not fit the network.
    pub fn forward_both(&self, x: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
        scope(&self.path, || {
            let [_, _, _, inner, last] = maps(&self.backbone, x)?;
            let scores = resized(&self.classifier.forward(&last)?, x, false)?;
            let aux = self.aux_classifier.as_ref();
            let aux = aux.map(|head| resized(&head.forward(&inner)?, x, false));
            Ok((scores, aux.transpose()?))
        })
    }
}

impl Layer for DeepLabV3 {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("backbone", &self.backbone);
        v.child("classifier", &self.classifier);
        if let Some(aux) = &self.aux_classifier {
            v.child("aux_classifier", aux);
        }
    }
}

impl Module for DeepLabV3 {
    /// # Shapes
    /// `[N, in, H, W] -> [N, classes, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let last = self.backbone.forward(x)?;
            resized(&self.classifier.forward(&last)?, x, false)
        })
    }
}

/// How to build [`DeepLabV3Plus`].
#[derive(Clone, Debug)]
pub struct DeepLabV3PlusConfig {
    /// The residual network below the pyramid.
    pub backbone: ResNetConfig,
    /// Number of classes.
    pub classes: usize,
    /// How many times smaller than the image the last map of the backbone is.
    pub output_stride: OutputStride,
    /// Whether resizing maps corner pixels to corner pixels.
    pub align_corners: bool,
}

impl DeepLabV3PlusConfig {
    /// jfzhang95's: 21 classes, output stride 16, dilations 1, 2, 4 times that of the last stage.
    #[must_use]
    pub fn new(backbone: ResNetConfig) -> Self {
        Self {
            backbone: backbone.multi_grid([1, 2, 4]),
            classes: 21,
            output_stride: OutputStride::Sixteen,
            align_corners: true,
        }
    }

    /// Sets the channels of the images.
    #[must_use]
    pub fn in_channels(mut self, channels: usize) -> Self {
        self.backbone.in_channels = channels;
        self
    }

    /// Sets the number of classes.
    #[must_use]
    pub fn classes(mut self, classes: usize) -> Self {
        self.classes = classes;
        self
    }

    /// Sets how many times smaller than the image the last map of the backbone is.
    #[must_use]
    pub fn output_stride(mut self, stride: OutputStride) -> Self {
        self.output_stride = stride;
        self
    }

    /// Sets whether resizing maps corner pixels to corner pixels.
    #[must_use]
    pub fn align_corners(mut self, align: bool) -> Self {
        self.align_corners = align;
        self
    }

    /// Builds the network: `backbone`, `aspp`, `decoder`.
    ///
    /// # Errors
    /// A size is 0, or the backbone's configuration is invalid.
    pub fn build(&self, vb: &VarBuilder) -> Result<DeepLabV3Plus> {
        let backbone = self.backbone.clone().dilate(self.output_stride.dilate());
        let [low, high] = [1, 4].map(|stage| self.backbone.channels(stage));
        let aspp = AsppV3Config::new(high).rates(self.output_stride.rates());
        let decoder = DeepLabV3PlusDecoderConfig::new(aspp.out_channels, low, self.classes)
            .align_corners(self.align_corners);
        Ok(DeepLabV3Plus {
            path: Arc::clone(vb.path()),
            backbone: backbone.trunk(&(vb / "backbone"))?.finish(),
            aspp: aspp.build(&(vb / "aspp"))?,
            decoder: decoder.build(&(vb / "decoder"))?,
            align_corners: self.align_corners,
        })
    }
}

/// DeepLab v3 whose scores are refined by the map behind the first stage.
///
/// Paper: Chen, Zhu, Papandreou, Schroff, Adam, *Encoder-Decoder with Atrous Separable Convolution for Semantic Image
/// Segmentation*, ECCV 2018, arXiv:1802.02611.
#[derive(Debug)]
pub struct DeepLabV3Plus {
    path: Arc<str>,
    backbone: Network,
    aspp: AsppV3,
    decoder: DeepLabV3PlusDecoder,
    align_corners: bool,
}

impl Layer for DeepLabV3Plus {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("backbone", &self.backbone);
        v.child("aspp", &self.aspp);
        v.child("decoder", &self.decoder);
    }
}

impl Module for DeepLabV3Plus {
    /// # Shapes
    /// `[N, in, H, W] -> [N, classes, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [_, low, _, _, high] = maps(&self.backbone, x)?;
            let y = self.decoder.forward(&self.aspp.forward(&high)?, &low)?;
            resized(&y, x, self.align_corners)
        })
    }
}
