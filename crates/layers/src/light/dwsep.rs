//! Depthwise separable convolution: a filter for each channel, then a mixture of channels at each
//! pixel.
//!
//! `y = relu(bn2(pointwise(relu(bn1(depthwise(x))))))`
//!
//! Paper: Howard et al., *MobileNets*, 2017, arXiv:1704.04861.
//! Departures: none.
//! Parameters: `k*k*C + 2*C + C*O + 2*O`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::util::odd;
use crate::{
    Activation, Conv2dConfig, ConvNormAct, ConvNormActConfig, Layer, Module, Pair, VarBuilder,
    Visitor,
};

/// How to build a [`DepthwiseSeparable`].
#[derive(Clone, Debug)]
pub struct DepthwiseSeparableConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Size of the depthwise kernel, odd.
    pub kernel: usize,
    /// Stride of the depthwise convolution.
    pub stride: Pair,
    /// What follows each batch norm.
    pub act: Activation,
}

impl DepthwiseSeparableConfig {
    /// The paper's: kernel 3, stride 1, ReLU.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: 3,
            stride: 1.into(),
            act: Activation::Relu,
        }
    }

    /// Sets the size of the depthwise kernel.
    #[must_use]
    pub fn kernel(mut self, kernel: usize) -> Self {
        self.kernel = kernel;
        self
    }

    /// Sets the stride.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = stride.into();
        self
    }

    /// Sets what follows each batch norm.
    #[must_use]
    pub fn act(mut self, act: Activation) -> Self {
        self.act = act;
        self
    }

    /// Builds the module under timm's names: `conv_dw`, `bn1`, `conv_pw`, `bn2`.
    ///
    /// # Errors
    /// A number is 0, or the kernel is even.
    pub fn build(&self, vb: &VarBuilder) -> Result<DepthwiseSeparable> {
        odd("DepthwiseSeparable", "kernel", self.kernel).map_err(|e| e.at(vb.path()))?;
        let channels = self.in_channels;
        let depthwise = Conv2dConfig::new(channels, channels, self.kernel)
            .stride(self.stride)
            .same_padding()
            .groups(channels);
        let pointwise = Conv2dConfig::new(channels, self.out_channels, 1);
        let layer = |conv, names: [&str; 2]| {
            let config = ConvNormActConfig::new(conv).act(self.act);
            config.names(names[0], names[1]).build(vb)
        };
        Ok(DepthwiseSeparable {
            path: Arc::clone(vb.path()),
            depthwise: layer(depthwise, ["conv_dw", "bn1"])?,
            pointwise: layer(pointwise, ["conv_pw", "bn2"])?,
        })
    }
}

/// A depthwise and a pointwise convolution, each with a batch norm and an activation.
#[derive(Debug)]
pub struct DepthwiseSeparable {
    path: Arc<str>,
    depthwise: ConvNormAct,
    pointwise: ConvNormAct,
}

impl Layer for DepthwiseSeparable {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("", &self.depthwise);
        v.child("", &self.pointwise);
    }
}

impl Module for DepthwiseSeparable {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            self.pointwise.forward(&self.depthwise.forward(x)?)
        })
    }
}

/// How other implementations name the same weights.
pub mod dwsep_key_maps {
    use crate::KeyMap;

    /// Ports that keep the six layers in a `Sequential`: `0` and `1` are the depthwise convolution and
    /// its batch norm, `3` and `4` the pointwise ones. The last number of a name is taken.
    #[must_use]
    pub fn sequential() -> KeyMap {
        KeyMap::new().rename_with(|name| {
            let (layer, leaf) = name.rsplit_once('.')?;
            let (block, index) = match layer.rsplit_once('.') {
                Some((block, index)) => (Some(block), index),
                None => (None, layer),
            };
            let own = match index {
                "0" => "conv_dw",
                "1" => "bn1",
                "3" => "conv_pw",
                "4" => "bn2",
                _ => return None,
            };
            Some(match block {
                Some(block) => format!("{block}.{own}.{leaf}"),
                None => format!("{own}.{leaf}"),
            })
        })
    }
}
