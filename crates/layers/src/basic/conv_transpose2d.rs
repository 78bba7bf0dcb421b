//! Transposed 2-D convolution with learned weights.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{ConvTranspose2dOptions, Result, Tensor};

use super::conv2d::check_sizes;
use crate::util::invalid;
use crate::{Init, Layer, Module, Pair, Parameter, VarBuilder, Visitor};

/// How to build a [`ConvTranspose2d`]. The defaults are PyTorch's: stride 1, no padding, no output
/// padding, dilation 1, one group, a bias.
#[derive(Clone, Debug)]
pub struct ConvTranspose2dConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Size of the kernel.
    pub kernel: Pair,
    /// Output pixels between the neighbours of the input.
    pub stride: Pair,
    /// Rows and columns taken away on every side of the output.
    pub padding: Pair,
    /// Rows and columns added below and to the right of the output.
    pub output_padding: Pair,
    /// Step between taps.
    pub dilation: Pair,
    /// Groups of channels that do not mix.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// Where the weights start. As in PyTorch, the fans are counted as if the weights were those of a
    /// convolution: `fan_in` is `out/groups * kh * kw` and `fan_out` is `in * kh * kw`.
    pub init: Init,
}

impl ConvTranspose2dConfig {
    /// A transposed convolution with PyTorch's defaults.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize, kernel: impl Into<Pair>) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: kernel.into(),
            stride: 1.into(),
            padding: 0.into(),
            output_padding: 0.into(),
            dilation: 1.into(),
            groups: 1,
            bias: true,
            init: Init::KaimingUniform,
        }
    }

    /// Sets the output pixels between the neighbours of the input.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = stride.into();
        self
    }

    /// Sets the rows and columns taken away on every side of the output.
    #[must_use]
    pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
        self.padding = padding.into();
        self
    }

    /// Sets the rows and columns added below and to the right of the output.
    #[must_use]
    pub fn output_padding(mut self, output_padding: impl Into<Pair>) -> Self {
        self.output_padding = output_padding.into();
        self
    }

    /// Sets the step between taps.
    #[must_use]
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
        self.dilation = dilation.into();
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

    fn check(&self) -> Result<()> {
        const LAYER: &str = "ConvTranspose2d";
        check_sizes(
            LAYER,
            [self.in_channels, self.out_channels, self.groups],
            [self.kernel, self.stride, self.dilation],
        )?;
        for axis in 0..2 {
            let [stride, dilation, extra] =
                [self.stride, self.dilation, self.output_padding].map(|Pair(pair)| pair[axis]);
            if extra >= stride.max(dilation) {
                let rule = format!(
                    "it must be smaller than the stride of {stride} or the dilation of {dilation}"
                );
                return Err(invalid(LAYER, "output_padding", extra, rule));
            }
        }
        Ok(())
    }

    /// Builds the layer: `weight [in, out/groups, kh, kw]` and, with a bias, `bias [out]`.
    ///
    /// # Errors
    /// A size is 0, the channels are no multiple of the groups, the output padding is neither smaller
    /// than the stride nor than the dilation, or `vb` lacks a tensor.
    pub fn build(&self, vb: &VarBuilder) -> Result<ConvTranspose2d> {
        self.check().map_err(|e| e.at(vb.path()))?;
        let [kh, kw] = self.kernel.0;
        let shape = [self.in_channels, self.out_channels / self.groups, kh, kw];
        let bias = if self.bias {
            Some(vb.parameter("bias", &[self.out_channels], Init::bias_of(&shape))?)
        } else {
            None
        };
        Ok(ConvTranspose2d {
            path: Arc::clone(vb.path()),
            weight: vb.parameter("weight", &shape, self.init)?,
            bias,
            options: ConvTranspose2dOptions::default()
                .stride(self.stride)
                .padding(self.padding.0)
                .output_padding(self.output_padding)
                .dilation(self.dilation)
                .groups(self.groups),
        })
    }
}

/// Transposed 2-D convolution: every input pixel adds the kernel, times its value, to the output.
#[derive(Debug)]
pub struct ConvTranspose2d {
    path: Arc<str>,
    weight: Parameter,
    bias: Option<Parameter>,
    options: ConvTranspose2dOptions,
}

impl ConvTranspose2d {
    /// The weights, `[in, out/groups, kh, kw]`.
    #[must_use]
    pub fn weight(&self) -> &Parameter {
        &self.weight
    }

    /// The bias, `[out]`.
    #[must_use]
    pub fn bias(&self) -> Option<&Parameter> {
        self.bias.as_ref()
    }
}

impl Layer for ConvTranspose2d {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        if let Some(bias) = &self.bias {
            v.parameter("bias", bias);
        }
    }
}

impl Module for ConvTranspose2d {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, H', W']` with `H' = (H - 1)s - 2p + d(k-1) + output_padding + 1`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Parameter::tensor);
        scope(&self.path, || {
            x.conv_transpose2d(&self.weight.tensor(), bias.as_ref(), self.options)
        })
    }
}
