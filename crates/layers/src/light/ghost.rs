//! Ghost module: computes a part of the output with a full convolution and the rest from that part
//! with a cheap depthwise one.
//!
//! ```text
//! p = relu(bn(conv(x)))            ceil(O / ratio) channels
//! q = relu(bn(depthwise(p)))       ratio - 1 for each of them
//! y = [p, q], its first O channels
//! ```
//!
//! Paper: Han et al., *GhostNet: More Features from Cheap Operations*, CVPR 2020, arXiv:1911.11907.
//! Departures: none; if the ratio does not divide O, the channels too many are computed and cut off,
//! as in the released code, whose weights have them.
//! Parameters: `C*P*k*k + 2*P + Q*d*d + 2*Q`, `P = ceil(O / ratio)`, `Q = P * (ratio - 1)`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::util::{at_least_one, invalid, odd};
use crate::{
    Activation, Conv2dConfig, ConvNormAct, ConvNormActConfig, Layer, Module, Pair, VarBuilder,
    Visitor,
};

/// How to build a [`GhostModule`].
#[derive(Clone, Debug)]
pub struct GhostModuleConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Size of the full convolution's kernel, odd.
    pub kernel: usize,
    /// How many times more channels come out than the full convolution computes.
    pub ratio: usize,
    /// Size of the cheap convolution's kernel, odd.
    pub dw_kernel: usize,
    /// Stride of the full convolution.
    pub stride: Pair,
    /// What follows each batch norm.
    pub act: Activation,
}

impl GhostModuleConfig {
    /// The paper's: 1x1, half of the channels cheap, by a 3x3, ReLU.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: 1,
            ratio: 2,
            dw_kernel: 3,
            stride: 1.into(),
            act: Activation::Relu,
        }
    }

    /// Sets the size of the full convolution's kernel.
    #[must_use]
    pub fn kernel(mut self, kernel: usize) -> Self {
        self.kernel = kernel;
        self
    }

    /// Sets how many times more channels come out than are computed fully.
    #[must_use]
    pub fn ratio(mut self, ratio: usize) -> Self {
        self.ratio = ratio;
        self
    }

    /// Sets the size of the cheap convolution's kernel.
    #[must_use]
    pub fn dw_kernel(mut self, kernel: usize) -> Self {
        self.dw_kernel = kernel;
        self
    }

    /// Sets the stride.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = stride.into();
        self
    }

    /// Sets what follows each batch norm; [`Activation::Identity`] for nothing.
    #[must_use]
    pub fn act(mut self, act: Activation) -> Self {
        self.act = act;
        self
    }

    /// Builds the module: `primary_conv` and `cheap_operation`, each `0` a convolution and `1` a batch
    /// norm, as in the released code.
    ///
    /// # Errors
    /// A number is 0, a kernel is even, or the ratio is below 2, which would leave no cheap channels.
    pub fn build(&self, vb: &VarBuilder) -> Result<GhostModule> {
        const LAYER: &str = "GhostModule";
        let check = || {
            odd(LAYER, "kernel", self.kernel)?;
            odd(LAYER, "dw_kernel", self.dw_kernel)?;
            at_least_one(LAYER, "out_channels", self.out_channels)?;
            if self.ratio < 2 {
                let rule = "it must be at least 2, so that there are cheap channels";
                return Err(invalid(LAYER, "ratio", self.ratio, rule));
            }
            let full = self.out_channels.div_ceil(self.ratio);
            match full.checked_mul(self.ratio - 1) {
                Some(cheap) => Ok([full, cheap]),
                None => Err(invalid(LAYER, "ratio", self.ratio, "the channels must fit")),
            }
        };
        let [full, cheap] = check().map_err(|e| e.at(vb.path()))?;
        let layer = |conv: Conv2dConfig, name| {
            let config = ConvNormActConfig::new(conv.same_padding()).act(self.act);
            config.names("0", "1").build(&(vb / name))
        };
        let primary = Conv2dConfig::new(self.in_channels, full, self.kernel).stride(self.stride);
        let ghosts = Conv2dConfig::new(full, cheap, self.dw_kernel).groups(full);
        Ok(GhostModule {
            path: Arc::clone(vb.path()),
            primary: layer(primary, "primary_conv")?,
            cheap: layer(ghosts, "cheap_operation")?,
            cheap_channels: self.out_channels - full,
        })
    }
}

/// A convolution, some of whose channels are made from the others.
#[derive(Debug)]
pub struct GhostModule {
    path: Arc<str>,
    primary: ConvNormAct,
    cheap: ConvNormAct,
    /// How many of the cheap channels are kept.
    cheap_channels: usize,
}

impl Layer for GhostModule {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("primary_conv", &self.primary);
        v.child("cheap_operation", &self.cheap);
    }
}

impl Module for GhostModule {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let full = self.primary.forward(x)?;
            let cheap = self.cheap.forward(&full)?;
            Tensor::cat(&[&full, &cheap.narrow(1, 0, self.cheap_channels)?], 1)
        })
    }
}
