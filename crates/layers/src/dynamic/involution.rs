//! Involution: every pixel makes its own kernel, which the channels of a group share. The reverse of a convolution, whose
//! kernel is the same everywhere and differs between channels.
//!
//! ```text
//! w = conv2(relu(bn(conv1(avg_pool_s(x)))))    k*k numbers a group and pixel
//! y(p) = sum over taps t of w(p, t) x(s p + t)
//! ```
//!
//! Paper: Li, Hu, Wang, Li, She, Zhu, Zhang, Chen, *Involution: Inverting the Inherence of Convolution for Visual
//! Recognition*, CVPR 2021, arXiv:2103.06255. Departures: `conv1` has a bias by default.
//! Parameters: `C*R + R + 2R + (R + 1)*G*k*k`, `R = C / reduction`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Conv2dOptions, Divisor, PoolOptions, Result, Tensor};

use crate::util::{at_least_one, invalid, reduced_channels};
use crate::{
    Activation, BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Layer, Module, Rounding,
    VarBuilder, Visitor, conv_norm_act,
};

const LAYER: &str = "Involution";

/// How to build an [`Involution`].
#[derive(Clone, Debug)]
pub struct InvolutionConfig {
    /// Number of channels.
    pub channels: usize,
    /// Size of the windows, odd.
    pub kernel: usize,
    /// Step between outputs; the kernels come from an average over as many pixels.
    pub stride: usize,
    /// Groups of channels that share a kernel.
    pub groups: usize,
    /// How many times fewer channels the bottleneck has.
    pub reduction: usize,
    /// Whether the first convolution has a bias, which the norm makes redundant.
    pub reduce_bias: bool,
}

impl InvolutionConfig {
    /// The paper's: 7x7 windows, 16 channels a group, reduction 4.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            kernel: 7,
            stride: 1,
            groups: (channels / 16).max(1),
            reduction: 4,
            reduce_bias: true,
        }
    }

    /// Sets the size of the windows.
    #[must_use]
    pub fn kernel(mut self, kernel: usize) -> Self {
        self.kernel = kernel;
        self
    }

    /// Sets the step between outputs.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the number of groups.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Gives the first convolution a bias or none, as in the released code.
    #[must_use]
    pub fn reduce_bias(mut self, bias: bool) -> Self {
        self.reduce_bias = bias;
        self
    }

    fn check(&self) -> Result<usize> {
        at_least_one(LAYER, "stride", self.stride)?;
        at_least_one(LAYER, "groups", self.groups)?;
        if self.kernel.is_multiple_of(2) {
            let rule = "it must be odd, so that windows have a middle";
            return Err(invalid(LAYER, "kernel", self.kernel, rule));
        }
        if !self.channels.is_multiple_of(self.groups) {
            let rule = format!("it must be a multiple of the {} groups", self.groups);
            return Err(invalid(LAYER, "channels", self.channels, rule));
        }
        if self.weights().is_none() {
            return Err(invalid(
                LAYER,
                "kernel",
                self.kernel,
                "the kernels must fit",
            ));
        }
        reduced_channels(LAYER, self.channels, self.reduction, Rounding::Floor)
    }

    /// Weights a pixel.
    fn weights(&self) -> Option<usize> {
        let taps = self.kernel.checked_mul(self.kernel)?;
        taps.checked_mul(self.groups)
    }

    /// Builds the module: `conv1`, `bn`, `conv2`.
    ///
    /// # Errors
    /// A number is 0, the kernel is even, the channels are no multiple of the groups, or the reduced width would be 0.
    pub fn build(&self, vb: &VarBuilder) -> Result<Involution> {
        let width = self.check().map_err(|e| e.at(vb.path()))?;
        let weights = self.weights().unwrap_or(0);
        Ok(Involution {
            path: Arc::clone(vb.path()),
            conv1: Conv2dConfig::new(self.channels, width, 1)
                .bias(self.reduce_bias)
                .build(&(vb / "conv1"))?,
            bn: BatchNormConfig::new(width).build_2d(&(vb / "bn"))?,
            conv2: Conv2dConfig::new(width, weights, 1).build(&(vb / "conv2"))?,
            kernel: self.kernel,
            options: Conv2dOptions::default()
                .stride(self.stride)
                .padding(self.kernel / 2)
                .groups(self.groups),
        })
    }
}

/// The involution.
#[derive(Debug)]
pub struct Involution {
    path: Arc<str>,
    conv1: Conv2d,
    bn: BatchNorm2d,
    conv2: Conv2d,
    kernel: usize,
    options: Conv2dOptions,
}

impl Layer for Involution {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("conv1", &self.conv1);
        v.child("bn", &self.bn);
        v.child("conv2", &self.conv2);
    }
}

impl Module for Involution {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H / stride, W / stride]`; the stride must divide the size.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [_, _, h, w] = x.dims_array(LAYER)?;
            let [stride, _] = self.options.stride;
            if !(h.is_multiple_of(stride) && w.is_multiple_of(stride)) {
                let rule = format!("both must be multiples of the stride {stride}");
                return Err(invalid(LAYER, "size", [h, w], rule));
            }
            let z = if stride > 1 {
                x.avg_pool2d(PoolOptions::new(stride).stride(stride), Divisor::IncludePad)?
            } else {
                x.clone()
            };
            let z = conv_norm_act(&self.conv1, &self.bn, Activation::Relu, &z, None)?;
            x.involution(&self.conv2.forward(&z)?, self.kernel, self.options)
        })
    }
}

/// How other implementations name the same weights.
pub mod involution_key_maps {
    use crate::KeyMap;

    /// The released code (mmcv's `ConvModule`): build with [`reduce_bias(false)`](super::InvolutionConfig::reduce_bias).
    #[must_use]
    pub fn mmcv() -> KeyMap {
        KeyMap::new()
            .rename("conv1.conv", "conv1")
            .rename("conv1.bn", "bn")
            .rename("conv2.conv", "conv2")
    }

    /// Implementations that call the norm `bn1`.
    #[must_use]
    pub fn numbered() -> KeyMap {
        KeyMap::new().rename("bn1", "bn")
    }
}
