//! Conditionally parameterised convolution: a convolution whose weight is, for every image, a sum of experts.
//!
//! ```text
//! a = sigmoid(R mean_hw(x) + b)        E numbers an image
//! y = conv(x, sum over e of a_e W_e)   biases are mixed like weights
//! ```
//!
//! Paper: Yang, Bender, Le, Ngiam, *CondConv: Conditionally Parameterized Convolutions for Efficient Inference*,
//! NeurIPS 2019, arXiv:1904.04971. Departures: none.
//! Parameters: `E*out*(in/groups)*kh*kw + in*E + E`, and `E*out` with biases.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Result, Tensor};

use super::experts::Experts;
use crate::catalog::Catalogued;
use crate::probe::{self, ProbeKind};
use crate::{Conv2dConfig, Init, Layer, Linear, LinearConfig, Module, VarBuilder, Visitor};

/// How to build a [`CondConv2d`] or its [`CondConvExperts`] alone.
#[derive(Clone, Debug)]
pub struct CondConv2dConfig {
    /// The convolution that the experts are mixed to.
    pub conv: Conv2dConfig,
    /// Number of experts.
    pub experts: usize,
}

impl CondConv2dConfig {
    /// 8 experts, no biases.
    #[must_use]
    pub fn new(conv: Conv2dConfig) -> Self {
        Self {
            conv: conv.bias(false),
            experts: 8,
        }
    }

    /// Sets the number of experts.
    #[must_use]
    pub fn experts(mut self, experts: usize) -> Self {
        self.experts = experts;
        self
    }

    /// Adds or leaves out the experts' biases.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Self {
        self.conv.bias = bias;
        self
    }

    /// Builds the layer with a routing of its own: `routing_fn` and the experts' `weight` and `bias`.
    ///
    /// # Errors
    /// A size is 0, or the channels are no multiple of the groups.
    pub fn build(&self, vb: &VarBuilder) -> Result<CondConv2d> {
        let experts = self.build_experts(vb)?;
        let fans = self.conv.in_channels.saturating_add(self.experts);
        let bound = 1.0 / (fans as f64).sqrt();
        let routing_fn = LinearConfig::new(self.conv.in_channels, self.experts)
            .init(Init::Uniform { bound })
            .bias_init(Init::ZEROS);
        Ok(CondConv2d {
            routing_fn: routing_fn.build(&(vb / "routing_fn"))?,
            experts,
        })
    }

    /// Builds the experts alone, for blocks that compute one routing for several convolutions: `weight`, in which each
    /// expert is a row, and `bias`, as in timm's `CondConv2d`.
    ///
    /// # Errors
    /// As [`CondConv2dConfig::build`].
    pub fn build_experts(&self, vb: &VarBuilder) -> Result<CondConvExperts> {
        let shape = self.conv.weight_shape().map_err(|e| e.at(vb.path()))?;
        let experts = ("experts", self.experts);
        Ok(CondConvExperts {
            path: Arc::clone(vb.path()),
            experts: Experts::build(&self.conv, experts, true, Init::bias_of(&shape), vb)?,
        })
    }
}

/// Experts that are mixed by a routing from elsewhere. Emits it as [`ProbeKind::ExpertWeights`].
#[derive(Debug)]
pub struct CondConvExperts {
    path: Arc<str>,
    experts: Experts,
}

impl CondConvExperts {
    /// Convolves each image with the experts mixed by its row of the routing.
    ///
    /// # Shapes
    /// `[N, in, H, W]` and `[N, E]` to `[N, out, H', W']`.
    ///
    /// # Errors
    /// A shape does not fit, or memory is out.
    pub fn forward(&self, x: &Tensor, routing: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, _, _, _] = x.dims_array("CondConv2d")?;
            let experts = self.experts.count();
            if routing.shape() != [n, experts] {
                let detail = format!(
                    "{n} images and {experts} experts need a routing {:?}, got {:?}",
                    [n, experts],
                    routing.shape()
                );
                return Err(Error::shape("CondConv2d", detail));
            }
            probe::emit(&self.path, ProbeKind::ExpertWeights, routing);
            self.experts.forward(x, routing)
        })
    }
}

impl Layer for CondConvExperts {
    fn visit(&self, v: &mut dyn Visitor) {
        self.experts.visit(v);
    }
}

impl Catalogued for CondConvExperts {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        match inputs {
            [x, routing] => Ok(vec![self.forward(x, routing)?]),
            _ => Err(Error::msg(format!(
                "the module takes an image and a routing, got {} inputs",
                inputs.len()
            ))),
        }
    }
}

/// The convolution with a routing of its own.
#[derive(Debug)]
pub struct CondConv2d {
    experts: CondConvExperts,
    routing_fn: Linear,
}

impl CondConv2d {
    /// The factor of each expert for each image, `[N, E]`.
    ///
    /// # Errors
    /// `x` is no `[N, in, H, W]`.
    pub fn routing(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.experts.path, || {
            let [_, _, _, _] = x.dims_array("CondConv2d")?;
            self.routing_fn.forward(&x.mean(&[2, 3], false)?)?.sigmoid()
        })
    }
}

impl Layer for CondConv2d {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("", &self.experts);
        v.child("routing_fn", &self.routing_fn);
    }
}

impl Module for CondConv2d {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, H', W']`, sizes as of the convolution.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.experts.forward(x, &self.routing(x)?)
    }
}

/// How other implementations name the same weights.
pub mod condconv_key_maps {
    use striate_tensor::{Result, Tensor};

    use crate::KeyMap;

    /// The `CondConv` of the External-Attention-pytorch collection: the routing is a 1x1 convolution `attention.net`
    /// without a bias, which stays at 0 (load with [`Loading::Lenient`](crate::Loading::Lenient)), and experts are not
    /// flattened.
    #[must_use]
    pub fn collection() -> KeyMap {
        KeyMap::new()
            .rename("attention.net", "routing_fn")
            .transform("weight", flattened)
    }

    /// An expert a row, if these are experts.
    fn flattened(weight: &Tensor) -> Result<Tensor> {
        if weight.rank() == 5 {
            weight.flatten(1, 4)
        } else {
            Ok(weight.clone())
        }
    }
}
