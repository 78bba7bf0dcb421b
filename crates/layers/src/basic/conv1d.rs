//! 1-D convolution with learned weights.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Conv1dOptions, Result, Tensor};

use super::conv2d::check_channels;
use crate::util::at_least_one;
use crate::{Init, Layer, Module, Pair, Parameter, VarBuilder, Visitor};

/// How to build a [`Conv1d`]. The defaults are PyTorch's: stride 1, no padding, dilation 1, one
/// group, a bias.
#[derive(Clone, Debug)]
pub struct Conv1dConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Length of the kernel.
    pub kernel: usize,
    /// Step between outputs.
    pub stride: usize,
    /// Zeros added at the start and at the end.
    pub padding: Pair,
    /// Step between taps.
    pub dilation: usize,
    /// Groups of channels that do not mix.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// Where the weights start.
    pub init: Init,
    /// Where the bias starts; by default as PyTorch has it ([`Init::bias_of`] the weights).
    pub bias_init: Option<Init>,
}

impl Conv1dConfig {
    /// A convolution with PyTorch's defaults.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize, kernel: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel,
            stride: 1,
            padding: 0.into(),
            dilation: 1,
            groups: 1,
            bias: true,
            init: Init::KaimingUniform,
            bias_init: None,
        }
    }

    /// Sets the step between outputs.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the zeros at the ends: one number for both, or `[start, end]`.
    #[must_use]
    pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
        self.padding = padding.into();
        self
    }

    /// Sets the step between taps.
    #[must_use]
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation = dilation;
        self
    }

    /// Sets the number of groups.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
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
        const LAYER: &str = "Conv1d";
        check_channels(LAYER, [self.in_channels, self.out_channels, self.groups])?;
        at_least_one(LAYER, "kernel", self.kernel)?;
        at_least_one(LAYER, "stride", self.stride)?;
        at_least_one(LAYER, "dilation", self.dilation)
    }

    /// The shape of the weight, `[out, in/groups, k]`.
    ///
    /// # Errors
    /// A size is 0, or the channels are no multiple of the groups.
    pub fn weight_shape(&self) -> Result<[usize; 3]> {
        self.check()?;
        let per_group = self.in_channels / self.groups;
        Ok([self.out_channels, per_group, self.kernel])
    }

    /// Builds the layer: `weight [out, in/groups, k]` and, with a bias, `bias [out]`.
    ///
    /// # Errors
    /// A size is 0, the channels are no multiple of the groups, or `vb` lacks a tensor.
    pub fn build(&self, vb: &VarBuilder) -> Result<Conv1d> {
        let shape = self.weight_shape().map_err(|e| e.at(vb.path()))?;
        let init = self.bias_init.unwrap_or_else(|| Init::bias_of(&shape));
        let bias = self.bias.then(|| vb.parameter("bias", &shape[..1], init));
        Ok(Conv1d {
            path: Arc::clone(vb.path()),
            weight: vb.parameter("weight", &shape, self.init)?,
            bias: bias.transpose()?,
            options: Conv1dOptions::default()
                .stride(self.stride)
                .padding(self.padding)
                .dilation(self.dilation)
                .groups(self.groups),
        })
    }
}

/// 1-D cross-correlation: `y[n,o] = bias[o] + sum_i w[o,i] * x[n,i]`.
#[derive(Debug)]
pub struct Conv1d {
    path: Arc<str>,
    weight: Parameter,
    bias: Option<Parameter>,
    options: Conv1dOptions,
}

impl Layer for Conv1d {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        if let Some(bias) = &self.bias {
            v.parameter("bias", bias);
        }
    }
}

impl Module for Conv1d {
    /// # Shapes
    /// `[N, in, L] -> [N, out, L']` with `L' = (L + start + end - d(k-1) - 1) / s + 1`, rounded down.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Parameter::tensor);
        scope(&self.path, || {
            x.conv1d(&self.weight.tensor(), bias.as_ref(), self.options)
        })
    }
}
