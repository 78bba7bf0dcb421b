//! Atrous spatial pyramid pooling of DeepLab v2: dilated 3x3 classifiers at several rates, summed.
//!
//! ```text
//! y = sum over i of conv3x3_i(x)                         dilation r_i, to the classes
//! y = sum over i of W3_i relu(W2_i relu(conv3x3_i(x)))   with hidden layers
//! ```
//!
//! Paper: Chen, Papandreou, Kokkinos, Murphy, Yuille, *DeepLab: Semantic Image Segmentation with Deep
//! Convolutional Nets, Atrous Convolution, and Fully Connected CRFs*, TPAMI 2018, arXiv:1606.00915.
//! Departures: none; rates 6, 12, 18, 24 are the paper's ASPP-L and 2, 4, 8, 12 its ASPP-S, and the
//! hidden layers with dropout are those of its networks on VGG-16.
//! Parameters of `n` branches: `n(9*C*K + K)`, or with width `R` `n(9*C*R + R + R*R + R + R*K + K)`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Result, Tensor};

use super::check_rates;
use crate::util::at_least_one;
use crate::{
    Activation, Conv2dConfig, Dropout, Init, Layer, Module, Sequential, VarBuilder, Visitor,
};

/// How to build an [`AsppV2`].
#[derive(Clone, Debug)]
pub struct AsppV2Config {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub num_classes: usize,
    /// Dilation of each branch.
    pub rates: Vec<usize>,
    /// Width of the two hidden layers of a branch; `None` for a single convolution.
    pub hidden: Option<usize>,
    /// Probability of dropout after the hidden layers.
    pub dropout: f64,
}

impl AsppV2Config {
    /// ASPP-L for ResNet: rates 6, 12, 18, 24 and no hidden layers.
    #[must_use]
    pub fn new(in_channels: usize, num_classes: usize) -> Self {
        Self {
            in_channels,
            num_classes,
            rates: vec![6, 12, 18, 24],
            hidden: None,
            dropout: 0.5,
        }
    }

    /// Sets the dilations, one a branch.
    #[must_use]
    pub fn rates(mut self, rates: impl Into<Vec<usize>>) -> Self {
        self.rates = rates.into();
        self
    }

    /// Gives every branch two hidden layers of this width, 1024 in the paper's networks on VGG-16.
    #[must_use]
    pub fn hidden(mut self, width: usize) -> Self {
        self.hidden = Some(width);
        self
    }

    /// Sets the probability of dropout after the hidden layers.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> Self {
        self.dropout = p;
        self
    }

    /// Builds the branches `c0`, `c1`, ...; with hidden layers these have `fc6`, `fc7` and `fc8`.
    ///
    /// # Errors
    /// There is no rate, or a rate or a width is 0; the dropout is no probability.
    pub fn build(&self, vb: &VarBuilder) -> Result<AsppV2> {
        let check = || {
            at_least_one("AsppV2", "in_channels", self.in_channels)?;
            at_least_one("AsppV2", "num_classes", self.num_classes)?;
            check_rates("AsppV2", &self.rates)
        };
        check().map_err(|e| e.at(vb.path()))?;
        let branch = |(i, &rate): (usize, &usize)| {
            let vb = vb / format_args!("c{i}");
            match self.hidden {
                None => Ok(
                    Box::new(atrous(self.in_channels, self.num_classes, rate).build(&vb)?)
                        as Box<dyn Module>,
                ),
                Some(width) => Ok(Box::new(self.deep(width, rate, &vb)?) as _),
            }
        };
        let branches = self.rates.iter().enumerate().map(branch);
        Ok(AsppV2 {
            path: Arc::clone(vb.path()),
            branches: branches.collect::<Result<_>>()?,
        })
    }

    fn deep(&self, width: usize, rate: usize, vb: &VarBuilder) -> Result<Sequential> {
        let dropout = || Dropout::new(self.dropout, vb);
        let point = |out, name| normal(Conv2dConfig::new(width, out, 1)).build(&(vb / name));
        Ok(Sequential::new()
            .push_named(
                "fc6",
                atrous(self.in_channels, width, rate).build(&(vb / "fc6"))?,
            )
            .push(Activation::Relu)
            .push(dropout()?)
            .push_named("fc7", point(width, "fc7")?)
            .push(Activation::Relu)
            .push(dropout()?)
            .push_named("fc8", point(self.num_classes, "fc8")?))
    }
}

fn atrous(in_channels: usize, out_channels: usize, rate: usize) -> Conv2dConfig {
    normal(Conv2dConfig::new(in_channels, out_channels, 3))
        .dilation(rate)
        .same_padding()
}

/// The start that the paper's training has.
fn normal(conv: Conv2dConfig) -> Conv2dConfig {
    conv.init(Init::Normal { std: 0.01 }).bias_init(Init::ZEROS)
}

/// Dilated classifiers, summed.
#[derive(Debug)]
pub struct AsppV2 {
    path: Arc<str>,
    branches: Vec<Box<dyn Module>>,
}

impl Layer for AsppV2 {
    fn visit(&self, v: &mut dyn Visitor) {
        for (i, branch) in self.branches.iter().enumerate() {
            v.child(&format!("c{i}"), branch);
        }
    }
}

impl Module for AsppV2 {
    /// # Shapes
    /// `[N, in, H, W] -> [N, classes, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let mut scores = self.branches.iter().map(|branch| branch.forward(x));
            let first = scores
                .next()
                .unwrap_or_else(|| Err(Error::msg("AsppV2: no branch")))?;
            scores.try_fold(first, |sum, score| sum.add(&score?))
        })
    }
}
