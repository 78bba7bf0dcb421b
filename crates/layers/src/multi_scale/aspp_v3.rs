//! Atrous spatial pyramid pooling of DeepLab v3: what a 1x1, dilated 3x3s and the mean of the image see,
//! side by side, then mixed.
//!
//! ```text
//! b_0   = relu(bn(conv1x1(x)))
//! b_i   = relu(bn(conv3x3(x)))                dilation r_i, i = 1 .. n
//! b_n+1 = relu(bn(W mean_hw(x)))              the same at every place
//! y     = dropout(relu(bn(V [b_0, ..., b_n+1])))
//! ```
//!
//! Paper: Chen, Papandreou, Schroff, Adam, *Rethinking Atrous Convolution for Semantic Image
//! Segmentation*, arXiv:1706.05587.
//! Departures: none. The mean is repeated rather than resized: from one pixel, a bilinear resize with or
//! without aligned corners repeats it.
//! Parameters of `n` rates: `C*D(9n + 2) + (n + 2)D*D + 2D(n + 3)`, `D` the channels of the output.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::check_rates;
use crate::util::at_least_one;
use crate::{
    Conv2dConfig, ConvNormAct, ConvNormActConfig, Dropout, Layer, Module, VarBuilder, Visitor,
};

/// How to build an [`AsppV3`].
#[derive(Clone, Debug)]
pub struct AsppV3Config {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of every branch and of the output.
    pub out_channels: usize,
    /// Dilations of the 3x3 convolutions.
    pub rates: Vec<usize>,
    /// Probability of the dropout at the end.
    pub dropout: f64,
}

impl AsppV3Config {
    /// 256 channels and rates 6, 12, 18, for a map 16 times smaller than the image; at 8 times the paper
    /// doubles the rates.
    #[must_use]
    pub fn new(in_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels: 256,
            rates: vec![6, 12, 18],
            dropout: 0.5,
        }
    }

    /// Sets the channels of every branch and of the output.
    #[must_use]
    pub fn out_channels(mut self, channels: usize) -> Self {
        self.out_channels = channels;
        self
    }

    /// Sets the dilations of the 3x3 convolutions. One as large as the map leaves of its 3x3 the centre alone.
    #[must_use]
    pub fn rates(mut self, rates: impl Into<Vec<usize>>) -> Self {
        self.rates = rates.into();
        self
    }

    /// Sets the probability of the dropout at the end.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> Self {
        self.dropout = p;
        self
    }

    /// Builds the module under torchvision's names: `convs.i.{0,1}`, of the mean's branch
    /// `convs.(n+1).{1,2}`, and `project.{0,1}`.
    ///
    /// # Errors
    /// There is no rate, or a rate or a number of channels is 0; the dropout is no probability.
    pub fn build(&self, vb: &VarBuilder) -> Result<AsppV3> {
        let check = || {
            at_least_one("AsppV3", "in_channels", self.in_channels)?;
            at_least_one("AsppV3", "out_channels", self.out_channels)?;
            check_rates("AsppV3", &self.rates)
        };
        check().map_err(|e| e.at(vb.path()))?;
        let (convs, out) = (vb / "convs", self.out_channels);
        let point =
            |channels| ConvNormActConfig::new(Conv2dConfig::new(channels, out, 1)).names("0", "1");
        let atrous = |(i, &rate): (usize, &usize)| {
            let conv = Conv2dConfig::new(self.in_channels, out, 3)
                .dilation(rate)
                .same_padding();
            ConvNormActConfig::new(conv)
                .names("0", "1")
                .build(&(&convs / (i + 1)))
        };
        let mut local = vec![point(self.in_channels).build(&(&convs / 0))?];
        for branch in self.rates.iter().enumerate().map(atrous) {
            local.push(branch?);
        }
        let branches = local.len() + 1;
        let pool = point(self.in_channels).names("1", "2");
        Ok(AsppV3 {
            path: Arc::clone(vb.path()),
            pool: pool.build(&(&convs / local.len()))?,
            project: point(out.saturating_mul(branches)).build(&(vb / "project"))?,
            dropout: Dropout::new(self.dropout, vb)?,
            local,
        })
    }
}

/// Atrous spatial pyramid pooling with the mean of the image.
#[derive(Debug)]
pub struct AsppV3 {
    path: Arc<str>,
    local: Vec<ConvNormAct>,
    pool: ConvNormAct,
    project: ConvNormAct,
    dropout: Dropout,
}

impl Layer for AsppV3 {
    fn visit(&self, v: &mut dyn Visitor) {
        for (i, branch) in self.local.iter().chain([&self.pool]).enumerate() {
            v.child(&format!("convs.{i}"), branch);
        }
        v.child("project", &self.project);
        v.child("", &self.dropout);
    }
}

impl Module for AsppV3 {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, H, W]`
    ///
    /// # Errors
    /// The input does not fit; in training a batch of 1, whose mean is one value a channel.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, _, h, w] = x.dims_array("AsppV3")?;
            let local = self.local.iter().map(|branch| branch.forward(x));
            let mut branches = local.collect::<Result<Vec<_>>>()?;
            let image = self.pool.forward(&x.mean(&[2, 3], true)?)?;
            branches.push(image.expand([n, image.shape()[1], h, w])?);
            let all = Tensor::cat(&branches.iter().collect::<Vec<_>>(), 1)?;
            self.dropout.forward(&self.project.forward(&all)?)
        })
    }
}

/// How other implementations name the same weights. All are for the module's own state dict.
pub mod aspp_key_maps {
    use crate::KeyMap;

    /// jfzhang95's `pytorch-deeplab-xception`, for [`AsppV3`](super::AsppV3): `aspp1` to `aspp4`,
    /// `global_avg_pool.{1,2}`, `conv1` and `bn1`. It has 3 rates.
    #[must_use]
    pub fn jfzhang95() -> KeyMap {
        (0..4)
            .fold(KeyMap::new(), |map, i| {
                let [old, new] = [format!("aspp{}", i + 1), format!("convs.{i}")];
                map.rename(&format!("{old}.atrous_conv"), &format!("{new}.0"))
                    .rename(&format!("{old}.bn"), &format!("{new}.1"))
            })
            .rename("global_avg_pool", "convs.4")
            .rename("conv1", "project.0")
            .rename("bn1", "project.1")
    }

    /// kazuto1011's `deeplab-pytorch`, for [`AsppV3`](super::AsppV3) with 3 rates:
    /// `aspp.stages.{c0,...,c3,imagepool}` and `fc1`.
    #[must_use]
    pub fn kazuto1011() -> KeyMap {
        (0..4)
            .fold(KeyMap::new(), |map, i| {
                let [old, new] = [format!("aspp.stages.c{i}"), format!("convs.{i}")];
                map.rename(&format!("{old}.conv"), &format!("{new}.0"))
                    .rename(&format!("{old}.bn"), &format!("{new}.1"))
            })
            .rename("aspp.stages.imagepool.conv.conv", "convs.4.1")
            .rename("aspp.stages.imagepool.conv.bn", "convs.4.2")
            .rename("fc1.conv", "project.0")
            .rename("fc1.bn", "project.1")
    }

    /// The released Caffe models, for [`AsppV2`](crate::AsppV2): `fc1_voc12_c0` on ResNet is `c0`;
    /// `fc6_1`, `fc7_1` and `fc8_voc12_1` on VGG-16 are `c0.fc6`, `c0.fc7` and `c0.fc8`.
    #[must_use]
    pub fn caffe() -> KeyMap {
        KeyMap::new().rename_with(|name| {
            let (layer, tensor) = name.split_once('.')?;
            let (layer, branch) = layer.rsplit_once('_')?;
            if let Some(branch) = branch.strip_prefix('c')
                && layer.starts_with("fc1_")
            {
                return Some(format!("c{branch}.{tensor}"));
            }
            let layer = layer
                .split('_')
                .next()
                .filter(|l| ["fc6", "fc7", "fc8"].contains(l))?;
            let branch = branch.parse::<usize>().ok()?.checked_sub(1)?;
            Some(format!("c{branch}.{layer}.{tensor}"))
        })
    }
}
