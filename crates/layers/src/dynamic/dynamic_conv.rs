//! Dynamic convolution: a convolution whose weight is, for every image, a softmax-weighted mean of experts.
//!
//! ```text
//! p = softmax((W2 relu(W1 mean_hw(x)) + b2) / t)   K numbers an image that sum to 1
//! y = conv(x, sum over k of p_k W_k)               biases are mixed like weights
//! ```
//!
//! Paper: Chen, Dai, Liu, Chen, Yuan, Liu, *Dynamic Convolution: Attention over Convolution Kernels*, CVPR 2020,
//! arXiv:1912.03458. Departures: none; a batch norm and an activation follow it.
//! Parameters: `K*out*(in/groups)*kh*kw + in*h + h*K + K`, and `K*out` with biases; `h = in/4`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Result, Tensor};

use super::experts::Experts;
use super::kernel_attention::{KernelAttention, Width};
use super::{Convolution, Temperature};
use crate::{Conv1dConfig, Conv2dConfig, Conv3dConfig, Init, Layer, Module, VarBuilder, Visitor};

/// How to build a [`DynamicConv1d`].
pub type DynamicConv1dConfig = DynamicConvConfig<Conv1dConfig>;
/// How to build a [`DynamicConv2d`].
pub type DynamicConv2dConfig = DynamicConvConfig<Conv2dConfig>;
/// How to build a [`DynamicConv3d`].
pub type DynamicConv3dConfig = DynamicConvConfig<Conv3dConfig>;
/// Dynamic convolution of sequences.
pub type DynamicConv1d = DynamicConv<Conv1dConfig>;
/// Dynamic convolution of images.
pub type DynamicConv2d = DynamicConv<Conv2dConfig>;
/// Dynamic convolution of volumes.
pub type DynamicConv3d = DynamicConv<Conv3dConfig>;

/// How to build a [`DynamicConv`].
#[derive(Clone, Debug)]
pub struct DynamicConvConfig<C> {
    /// The convolution that the experts are mixed to.
    pub conv: C,
    /// Number of experts, the paper's `K`.
    pub kernel_num: usize,
    /// Width of the attention as a share of the input channels. Images of 3 channels have `kernel_num`.
    pub ratio: f64,
    /// Whether the attention is wider by one.
    pub plus_one: bool,
    /// What the logits are divided by.
    pub temperature: Temperature,
}

impl<C: Convolution> DynamicConvConfig<C> {
    /// The paper's: 4 experts, an attention a quarter as wide as the input, temperature 1. Biases as the convolution's.
    #[must_use]
    pub fn new(conv: C) -> Self {
        Self {
            conv,
            kernel_num: 4,
            ratio: 0.25,
            plus_one: false,
            temperature: Temperature::default(),
        }
    }

    /// Sets the number of experts.
    #[must_use]
    pub fn kernel_num(mut self, kernel_num: usize) -> Self {
        self.kernel_num = kernel_num;
        self
    }

    /// Sets the width of the attention as a share of the input channels.
    #[must_use]
    pub fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = ratio;
        self
    }

    /// Makes the attention wider by one, as in the first released code (kaijieshi7).
    #[must_use]
    pub fn plus_one(mut self, plus_one: bool) -> Self {
        self.plus_one = plus_one;
        self
    }

    /// Sets the temperature, which several layers may share.
    #[must_use]
    pub fn temperature(mut self, temperature: &Temperature) -> Self {
        self.temperature = temperature.clone();
        self
    }

    /// Builds the layer: `attention.{fc1,fc2}` and the experts' `weight` and `bias`, as in the first released code. The
    /// attention over volumes has no bias.
    ///
    /// # Errors
    /// A size is 0, the channels are no multiple of the groups, or the width of the attention would be 0.
    pub fn build(&self, vb: &VarBuilder) -> Result<DynamicConv<C>> {
        let experts = ("kernel_num", self.kernel_num);
        let (ratio, plus_one) = (self.ratio, self.plus_one);
        Ok(DynamicConv {
            path: Arc::clone(vb.path()),
            experts: Experts::build(&self.conv, experts, false, Init::ZEROS, vb)?,
            attention: KernelAttention::build(
                self.conv.in_channels(),
                self.kernel_num,
                Width { ratio, plus_one },
                C::DIMS,
                &self.temperature,
                &(vb / "attention"),
            )?,
        })
    }
}

/// The convolution with an attention over its experts. Emits the factors as
/// [`ExpertWeights`](crate::probe::ProbeKind::ExpertWeights).
#[derive(Debug)]
pub struct DynamicConv<C> {
    path: Arc<str>,
    attention: KernelAttention,
    experts: Experts<C>,
}

impl<C: Convolution> Layer for DynamicConv<C> {
    fn visit(&self, v: &mut dyn Visitor) {
        self.experts.visit(v);
        v.child("attention", &self.attention);
    }
}

impl<C: Convolution> Module for DynamicConv<C> {
    /// # Shapes
    /// `[N, in, ...] -> [N, out, ...]`, sizes as of the convolution.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            if x.rank() != C::DIMS + 2 {
                let detail = format!(
                    "maps of rank {} are needed, got {:?}",
                    C::DIMS + 2,
                    x.shape()
                );
                return Err(Error::shape("DynamicConv", detail));
            }
            let factors = self.attention.forward(&self.path, x)?;
            self.experts.forward(x, &factors)
        })
    }
}

/// How other implementations name the same weights.
pub mod dynamic_conv_key_maps {
    use crate::KeyMap;

    /// The `DynamicConv` of the External-Attention-pytorch collection: the attention is a `Sequential`, and its second
    /// map has no bias, which stays at 0 (load with [`Loading::Lenient`](crate::Loading::Lenient)).
    #[must_use]
    pub fn collection() -> KeyMap {
        KeyMap::new()
            .rename("attention.net.0", "attention.fc1")
            .rename("attention.net.2", "attention.fc2")
    }
}
