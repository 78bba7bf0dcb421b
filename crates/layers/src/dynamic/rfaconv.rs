//! Receptive-field attention convolution: every window weighs its own pixels before the convolution adds them up.
//!
//! ```text
//! A = softmax over k*k of conv1x1(avg_pool(x))     a weight for each tap of each window and channel
//! F = relu(bn(conv_kxk(x)))                        as many features, channel by channel
//! y = conv(A * F laid out as k x k blocks, stride k)
//! ```
//!
//! Paper: Zhang, Liu, Zhang, Song, Ding, *RFAConv: Innovating Spatial Attention and Standard Convolutional Operation*,
//! 2023, arXiv:2304.03198. Departures: the blocks are channels of a 1x1 convolution, with the same result.
//! Parameters: `C*k^2 + C*k^4 + 2*C*k^2 + C*out*k^2 + out`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Divisor, PoolOptions, Result, Tensor};

use super::receptive_field::{ReceptiveField, Windows};
use crate::{Conv2d, Conv2dConfig, Layer, Module, VarBuilder, Visitor};

const LAYER: &str = "RfaConv";

/// How to build an [`RfaConv`].
#[derive(Clone, Debug)]
pub struct RfaConvConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Size of the windows, odd.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
}

impl RfaConvConfig {
    /// 3x3 windows, stride 1.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: 3,
            stride: 1,
        }
    }

    /// Sets the size of the windows.
    #[must_use]
    pub fn kernel(mut self, kernel: usize) -> Self {
        self.kernel = kernel;
        self
    }

    /// Sets the step between windows.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Builds the module under the released code's names: `get_weight.1`, `generate_feature.{0,1}`, `conv.0`.
    ///
    /// # Errors
    /// A number is 0 or the kernel is even.
    pub fn build(&self, vb: &VarBuilder) -> Result<RfaConv> {
        let windows = Windows {
            layer: LAYER,
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            kernel: self.kernel,
            stride: self.stride,
        };
        let features = windows.features().map_err(|e| e.at(vb.path()))?;
        Ok(RfaConv {
            path: Arc::clone(vb.path()),
            pool: PoolOptions::new(self.kernel)
                .stride(self.stride)
                .padding(self.kernel / 2),
            get_weight: Conv2dConfig::new(self.in_channels, features, 1)
                .groups(self.in_channels)
                .bias(false)
                .build(&(vb / "get_weight" / 1))?,
            field: ReceptiveField::build(&windows, "generate_feature", vb)?,
        })
    }
}

/// The convolution whose windows weigh their pixels.
#[derive(Debug)]
pub struct RfaConv {
    path: Arc<str>,
    pool: PoolOptions,
    get_weight: Conv2d,
    field: ReceptiveField,
}

impl Layer for RfaConv {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("get_weight.1", &self.get_weight);
        self.field.visit(v);
    }
}

impl Module for RfaConv {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [_, _, _, _] = x.dims_array(LAYER)?;
            let features = self.field.features(x)?;
            let [n, c, k, _, h, w] = features.dims_array(LAYER)?;
            let logits = self
                .get_weight
                .forward(&x.avg_pool2d(self.pool, Divisor::IncludePad)?)?;
            let weights = logits.reshape([n, c, k * k, h, w])?.softmax(2)?;
            let weighed = features.mul(&weights.reshape([n, c, k, k, h, w])?)?;
            self.field.convolve(&weighed)
        })
    }
}

/// How other implementations name the same weights.
pub mod rfaconv_key_maps {
    use crate::KeyMap;

    /// The released detection code, in which a batch norm `conv.1` and a ReLU follow inside of the module: names of a
    /// network whose norm behind the module is called `bn`.
    #[must_use]
    pub fn with_norm() -> KeyMap {
        KeyMap::new().rename("conv.1", "bn")
    }
}
