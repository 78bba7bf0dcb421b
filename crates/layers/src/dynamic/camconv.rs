//! CBAM's channel attention in front of a convolution: what receptive-field attention is compared with.
//!
//! `y = conv(x * sigmoid(mlp(max_hw(x)) + mlp(mean_hw(x))))`, `mlp = W2 relu(W1 .)`
//!
//! Paper: Zhang, Liu, Zhang, Song, Ding, *RFAConv: Innovating Spatial Attention and Standard Convolutional Operation*,
//! 2023, arXiv:2304.03198. Departures: none.
//! Parameters: `2*C*R + C*out*k^2 + out`, `R = C / reduction`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::probe::{self, ProbeKind};
use crate::util::reduced_channels;
use crate::{Conv2d, Conv2dConfig, Layer, Module, Rounding, VarBuilder, Visitor};

const LAYER: &str = "CamConv";

/// How to build a [`CamConv`].
#[derive(Clone, Debug)]
pub struct CamConvConfig {
    /// The convolution behind the attention.
    pub conv: Conv2dConfig,
    /// How many times fewer channels the attention's bottleneck has.
    pub reduction: usize,
}

impl CamConvConfig {
    /// Reduction 16. The released code's convolution has same-size padding and a bias.
    #[must_use]
    pub fn new(conv: Conv2dConfig) -> Self {
        Self {
            conv,
            reduction: 16,
        }
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Builds the module under the released code's names: `mlp.{0,2}`, `conv.0`.
    ///
    /// # Errors
    /// A number is 0, the reduced width would be, or the channels are no multiple of the groups.
    pub fn build(&self, vb: &VarBuilder) -> Result<CamConv> {
        let channels = self.conv.in_channels;
        let width = reduced_channels(LAYER, channels, self.reduction, Rounding::Floor);
        let width = width.map_err(|e| e.at(vb.path()))?;
        let mlp = |i, o, name: usize| {
            let conv = Conv2dConfig::new(i, o, 1).bias(false);
            conv.build(&(vb / "mlp" / name))
        };
        Ok(CamConv {
            path: Arc::clone(vb.path()),
            mlp: [mlp(channels, width, 0)?, mlp(width, channels, 2)?],
            conv: self.conv.build(&(vb / "conv" / 0))?,
        })
    }
}

/// Channel attention and a convolution. Emits the factors as [`ProbeKind::ChannelGate`].
#[derive(Debug)]
pub struct CamConv {
    path: Arc<str>,
    mlp: [Conv2d; 2],
    conv: Conv2d,
}

impl Layer for CamConv {
    fn visit(&self, v: &mut dyn Visitor) {
        let [reduce, expand] = &self.mlp;
        v.child("mlp.0", reduce);
        v.child("mlp.2", expand);
        v.child("conv.0", &self.conv);
    }
}

impl Module for CamConv {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, H', W']`, sizes as of the convolution.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, c, _, _] = x.dims_array(LAYER)?;
            let [reduce, expand] = &self.mlp;
            let mlp = |s: &Tensor| expand.forward(&reduce.forward(s)?.relu()?);
            let max = mlp(&x.adaptive_max_pool2d([1, 1])?)?;
            let gate = max.add(&mlp(&x.mean(&[2, 3], true)?)?)?.sigmoid()?;
            if probe::is_recording() {
                probe::emit(&self.path, ProbeKind::ChannelGate, &gate.reshape([n, c])?);
            }
            self.conv.forward(&x.mul(&gate)?)
        })
    }
}
