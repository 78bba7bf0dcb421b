//! CBAM's attention on the windows of a convolution: every pixel of every window has a factor of its own.
//!
//! ```text
//! F = relu(bn(conv_kxk(x)))                   k*k features a channel and window, laid out as k x k blocks
//! c = sigmoid(W2 relu(W1 mean_hw(x)))         a factor for each channel
//! s = sigmoid(conv3x3([max_c(F), mean_c(F)])) a factor for each pixel of the blocks
//! y = conv(c * s * F, stride k)
//! ```
//!
//! Paper: Zhang, Liu, Zhang, Song, Ding, *RFAConv: Innovating Spatial Attention and Standard Convolutional Operation*,
//! 2023, arXiv:2304.03198. Departures: the blocks are channels of a 1x1 convolution, with the same result.
//! Parameters: `C*k^4 + 2*C*k^2 + 2*C*R + 18 + C*out*k^2 + out`, `R = 16`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::receptive_field::{ReceptiveField, Windows, blocks, unblocked};
use crate::probe::{self, ProbeKind};
use crate::{Conv2d, Conv2dConfig, Layer, Linear, LinearConfig, Module, VarBuilder, Visitor};

const LAYER: &str = "RfCbamConv";

/// How to build an [`RfCbamConv`].
#[derive(Clone, Debug)]
pub struct RfCbamConvConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Size of the windows, odd.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Width of the channel attention's perceptron.
    pub width: usize,
}

impl RfCbamConvConfig {
    /// 3x3 windows, stride 1, a perceptron of width 16.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: 3,
            stride: 1,
            width: 16,
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

    /// Sets the width of the channel attention's perceptron.
    #[must_use]
    pub fn width(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// Builds the module under the released code's names: `generate.{0,1}`, `get_weight.0`, `se.fc.{0,2}`, `conv.0`.
    ///
    /// # Errors
    /// A number is 0 or the kernel is even.
    pub fn build(&self, vb: &VarBuilder) -> Result<RfCbamConv> {
        let windows = Windows {
            layer: LAYER,
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            kernel: self.kernel,
            stride: self.stride,
        };
        let fc = vb / "se" / "fc";
        let linear = |i, o, name: usize| LinearConfig::new(i, o).bias(false).build(&(&fc / name));
        Ok(RfCbamConv {
            path: Arc::clone(vb.path()),
            field: ReceptiveField::build(&windows, "generate", vb)?,
            get_weight: Conv2dConfig::new(2, 1, 3)
                .padding(1)
                .bias(false)
                .build(&(vb / "get_weight" / 0))?,
            fc: [
                linear(self.in_channels, self.width, 0)?,
                linear(self.width, self.in_channels, 2)?,
            ],
        })
    }
}

/// The convolution with CBAM's attention on its windows. Emits the factors of channels as [`ProbeKind::ChannelGate`] and
/// those of the blocks' pixels as [`ProbeKind::SpatialMap`].
#[derive(Debug)]
pub struct RfCbamConv {
    path: Arc<str>,
    field: ReceptiveField,
    get_weight: Conv2d,
    fc: [Linear; 2],
}

impl Layer for RfCbamConv {
    fn visit(&self, v: &mut dyn Visitor) {
        self.field.visit(v);
        v.child("get_weight.0", &self.get_weight);
        let [reduce, expand] = &self.fc;
        v.child("se.fc.0", reduce);
        v.child("se.fc.2", expand);
    }
}

impl Module for RfCbamConv {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, c, _, _] = x.dims_array(LAYER)?;
            let [reduce, expand] = &self.fc;
            let z = reduce.forward(&x.mean(&[2, 3], false)?)?.relu()?;
            let channel = expand.forward(&z)?.sigmoid()?;
            probe::emit(&self.path, ProbeKind::ChannelGate, &channel);
            let features = self.field.features(x)?;
            let [_, _, k, _, _, _] = features.dims_array(LAYER)?;
            let (max, mean) = (features.amax(&[1], true)?, features.mean(&[1], true)?);
            let pooled = Tensor::cat(&[&blocks(&max)?, &blocks(&mean)?], 1)?;
            let spatial = self.get_weight.forward(&pooled)?.sigmoid()?;
            probe::emit(&self.path, ProbeKind::SpatialMap, &spatial);
            let channel = channel.reshape([n, c, 1, 1, 1, 1])?;
            let weighed = features.mul(&channel)?.mul(&unblocked(&spatial, k)?)?;
            self.field.convolve(&weighed)
        })
    }
}
