//! 3-D convolution with learned weights.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Conv3dOptions, Result, Tensor};

use super::conv2d::check_channels;
use crate::util::invalid;
use crate::{Init, Layer, Module, Parameter, Triple, VarBuilder, Visitor};

/// How to build a [`Conv3d`]. The defaults are PyTorch's: stride 1, no padding, dilation 1, one
/// group, a bias.
#[derive(Clone, Debug)]
pub struct Conv3dConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Size of the kernel, `[t, h, w]`.
    pub kernel: Triple,
    /// Step, zeros added on every side, step between taps, and groups.
    pub options: Conv3dOptions,
    /// Whether a bias is added.
    pub bias: bool,
    /// Where the weights start.
    pub init: Init,
    /// Where the bias starts; by default as PyTorch has it ([`Init::bias_of`] the weights).
    pub bias_init: Option<Init>,
}

impl Conv3dConfig {
    /// A convolution with PyTorch's defaults.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize, kernel: impl Into<Triple>) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: kernel.into(),
            options: Conv3dOptions::default(),
            bias: true,
            init: Init::KaimingUniform,
            bias_init: None,
        }
    }

    /// Sets the step between outputs.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Triple>) -> Self {
        self.options = self.options.stride(stride);
        self
    }

    /// Sets the zeros added on every side.
    #[must_use]
    pub fn padding(mut self, padding: impl Into<Triple>) -> Self {
        self.options = self.options.padding(padding);
        self
    }

    /// Sets the step between taps.
    #[must_use]
    pub fn dilation(mut self, dilation: impl Into<Triple>) -> Self {
        self.options = self.options.dilation(dilation);
        self
    }

    /// Sets the number of groups.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.options = self.options.groups(groups);
        self
    }

    /// Adds or leaves out the bias.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Sets where the weights start.
    #[must_use]
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Sets where the bias starts.
    #[must_use]
    pub fn bias_init(mut self, init: Init) -> Self {
        self.bias_init = Some(init);
        self
    }

    fn check(&self) -> Result<()> {
        const LAYER: &str = "Conv3d";
        check_channels(
            LAYER,
            [self.in_channels, self.out_channels, self.options.groups],
        )?;
        for (field, sizes) in [
            ("kernel", self.kernel.0),
            ("stride", self.options.stride),
            ("dilation", self.options.dilation),
        ] {
            if sizes.contains(&0) {
                return Err(invalid(LAYER, field, sizes, "all must be at least 1"));
            }
        }
        Ok(())
    }

    /// The shape of the weight, `[out, in/groups, kt, kh, kw]`.
    ///
    /// # Errors
    /// A size is 0, or the channels are no multiple of the groups.
    pub fn weight_shape(&self) -> Result<[usize; 5]> {
        self.check()?;
        let [kt, kh, kw] = self.kernel.0;
        let per_group = self.in_channels / self.options.groups;
        Ok([self.out_channels, per_group, kt, kh, kw])
    }

    /// Builds the layer: `weight [out, in/groups, kt, kh, kw]` and, with a bias, `bias [out]`.
    ///
    /// # Errors
    /// A size is 0, the channels are no multiple of the groups, or `vb` lacks a tensor.
    pub fn build(&self, vb: &VarBuilder) -> Result<Conv3d> {
        let shape = self.weight_shape().map_err(|e| e.at(vb.path()))?;
        let init = self.bias_init.unwrap_or_else(|| Init::bias_of(&shape));
        let bias = self.bias.then(|| vb.parameter("bias", &shape[..1], init));
        Ok(Conv3d {
            path: Arc::clone(vb.path()),
            weight: vb.parameter("weight", &shape, self.init)?,
            bias: bias.transpose()?,
            options: self.options,
        })
    }
}

/// 3-D cross-correlation: `y[n,o] = bias[o] + sum_i w[o,i] * x[n,i]`.
#[derive(Debug)]
pub struct Conv3d {
    path: Arc<str>,
    weight: Parameter,
    bias: Option<Parameter>,
    options: Conv3dOptions,
}

impl Layer for Conv3d {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        if let Some(bias) = &self.bias {
            v.parameter("bias", bias);
        }
    }
}

impl Module for Conv3d {
    /// # Shapes
    /// `[N, in, T, H, W] -> [N, out, T', H', W']` with `T' = (T + 2p - d(k-1) - 1) / s + 1`, rounded down.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Parameter::tensor);
        scope(&self.path, || {
            x.conv3d(&self.weight.tensor(), bias.as_ref(), self.options)
        })
    }
}
