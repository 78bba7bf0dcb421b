//! Global response normalisation: channels that respond more than the others are made to respond more
//! still.
//!
//! ```text
//! G[n,c] = sqrt(sum over pixels of x^2)
//! N[n,c] = G[n,c] / (mean over c of G[n,c] + eps)
//! y      = x + weight * x * N + bias
//! ```
//! Scale and shift start at 0: the layer starts as the identity.
//!
//! Paper: Woo et al., *ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders*, CVPR
//! 2023, arXiv:2301.00808. Departures: none; the gradient of a channel of zeros is 0.
//! Parameters: `2*C`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::probe::{self, ProbeKind};
use crate::{Init, Layer, Module, Parameter, VarBuilder, Visitor};

const LAYER: &str = "GlobalResponseNorm";

/// How to build a [`GlobalResponseNorm`].
#[derive(Clone, Debug)]
pub struct GlobalResponseNormConfig {
    /// Number of channels.
    pub channels: usize,
    /// Added to the mean over the channels.
    pub eps: f64,
}

impl GlobalResponseNormConfig {
    /// `eps` 1e-6.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            eps: 1e-6,
        }
    }

    /// Sets what is added to the mean over the channels.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Builds the layer: `weight [C]` and `bias [C]`.
    ///
    /// # Errors
    /// There are no channels, or `eps` is not positive.
    pub fn build(&self, vb: &VarBuilder) -> Result<GlobalResponseNorm> {
        super::check(LAYER, self.channels, self.eps).map_err(|e| e.at(vb.path()))?;
        Ok(GlobalResponseNorm {
            path: Arc::clone(vb.path()),
            weight: vb.parameter("weight", &[self.channels], Init::ZEROS)?,
            bias: vb.parameter("bias", &[self.channels], Init::ZEROS)?,
            eps: self.eps,
        })
    }
}

/// Competition between channels. Emits its factors as [`ProbeKind::ChannelGate`].
#[derive(Debug)]
pub struct GlobalResponseNorm {
    path: Arc<str>,
    weight: Parameter,
    bias: Parameter,
    eps: f64,
}

impl Layer for GlobalResponseNorm {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        v.parameter("bias", &self.bias);
    }
}

impl Module for GlobalResponseNorm {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, c, _, _] = super::dims(LAYER, self.weight.numel(), x)?;
            // Below this a channel counts as zeros, where the root has no derivative.
            let squares = x
                .sum_of_squares(&[2, 3], false)?
                .clamp(1e-36, f64::INFINITY)?;
            let length = squares.sqrt()?;
            let response = length.div(&length.mean(&[1], true)?.add_scalar(self.eps)?)?;
            let scale = response.mul(&self.weight.tensor())?.add_scalar(1.0)?;
            probe::emit(&self.path, ProbeKind::ChannelGate, &scale);
            x.modulate(&scale, &self.bias.tensor().expand([n, c])?)
        })
    }
}
