//! 2-D convolution with learned weights.

use std::sync::Arc;

use striate_tensor::autograd::{is_grad_enabled, scope};
use striate_tensor::{BatchStats, Conv2dEpilogue, Conv2dOptions, Result, Tensor};

use crate::basic::Activation;
use crate::util::{at_least_one, invalid, pair_at_least_one};
use crate::{Fusible, Init, Layer, Module, Pair, Parameter, VarBuilder, Visitor};

/// How to build a [`Conv2d`]. The defaults are PyTorch's: stride 1, no padding, dilation 1, one
/// group, a bias.
#[derive(Clone, Debug)]
pub struct Conv2dConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Size of the kernel.
    pub kernel: Pair,
    /// Step between outputs.
    pub stride: Pair,
    /// Zeros added on every side.
    pub padding: Pair,
    /// Step between taps.
    pub dilation: Pair,
    /// Groups of channels that do not mix.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// Where the weights start.
    pub init: Init,
    /// Where the bias starts; by default as PyTorch has it ([`Init::bias_of`] the weights).
    pub bias_init: Option<Init>,
}

impl Conv2dConfig {
    /// A convolution with PyTorch's defaults.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize, kernel: impl Into<Pair>) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: kernel.into(),
            stride: 1.into(),
            padding: 0.into(),
            dilation: 1.into(),
            groups: 1,
            bias: true,
            init: Init::KaimingUniform,
            bias_init: None,
        }
    }

    /// Sets the step between outputs.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = stride.into();
        self
    }

    /// Sets the zeros added on every side.
    #[must_use]
    pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
        self.padding = padding.into();
        self
    }

    /// Sets the padding that keeps the size at stride 1: `dilation * (kernel - 1) / 2`. Call it
    /// after [`Conv2dConfig::dilation`].
    #[must_use]
    pub fn same_padding(mut self) -> Self {
        let Pair([kh, kw]) = self.kernel;
        let Pair([dh, dw]) = self.dilation;
        let same = |k: usize, d: usize| d.saturating_mul(k.saturating_sub(1)) / 2;
        self.padding = Pair([same(kh, dh), same(kw, dw)]);
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

    /// Sets where the bias starts.
    #[must_use]
    pub fn bias_init(mut self, init: Init) -> Self {
        self.bias_init = Some(init);
        self
    }

    fn check(&self) -> Result<()> {
        check_sizes(
            "Conv2d",
            [self.in_channels, self.out_channels, self.groups],
            [self.kernel, self.stride, self.dilation],
        )
    }

    /// The shape of the weight, `[out, in/groups, kh, kw]`.
    ///
    /// # Errors
    /// A size is 0, or the channels are no multiple of the groups.
    pub fn weight_shape(&self) -> Result<[usize; 4]> {
        self.check()?;
        let [kh, kw] = self.kernel.0;
        Ok([self.out_channels, self.in_channels / self.groups, kh, kw])
    }

    /// The attributes of the operation.
    #[must_use]
    pub fn options(&self) -> Conv2dOptions {
        Conv2dOptions::default()
            .stride(self.stride)
            .padding(self.padding.0)
            .dilation(self.dilation)
            .groups(self.groups)
    }

    /// Builds the layer: `weight [out, in/groups, kh, kw]` and, with a bias, `bias [out]`.
    ///
    /// # Errors
    /// A size is 0, the channels are no multiple of the groups, or `vb` lacks a tensor.
    pub fn build(&self, vb: &VarBuilder) -> Result<Conv2d> {
        let shape = self.weight_shape().map_err(|e| e.at(vb.path()))?;
        let bias = if self.bias {
            let init = self.bias_init.unwrap_or_else(|| Init::bias_of(&shape));
            Some(vb.parameter("bias", &shape[..1], init)?)
        } else {
            None
        };
        Ok(Conv2d {
            path: Arc::clone(vb.path()),
            weight: vb.parameter("weight", &shape, self.init)?,
            bias,
            options: self.options(),
        })
    }
}

/// Checks `[in_channels, out_channels, groups]` and `[kernel, stride, dilation]`.
pub(super) fn check_sizes(
    layer: &'static str,
    channels: [usize; 3],
    [kernel, stride, dilation]: [Pair; 3],
) -> Result<()> {
    check_channels(layer, channels)?;
    pair_at_least_one(layer, "kernel", kernel.0)?;
    pair_at_least_one(layer, "stride", stride.0)?;
    pair_at_least_one(layer, "dilation", dilation.0)
}

/// Checks `[in_channels, out_channels, groups]`.
pub(super) fn check_channels(
    layer: &'static str,
    [in_channels, out_channels, groups]: [usize; 3],
) -> Result<()> {
    at_least_one(layer, "in_channels", in_channels)?;
    at_least_one(layer, "out_channels", out_channels)?;
    at_least_one(layer, "groups", groups)?;
    for (field, channels) in [("in_channels", in_channels), ("out_channels", out_channels)] {
        if channels % groups != 0 {
            let rule = format!("it must be a multiple of the {groups} groups");
            return Err(invalid(layer, field, channels, rule));
        }
    }
    Ok(())
}

/// 2-D cross-correlation: `y[n,o] = bias[o] + sum_i w[o,i] * x[n,i]`.
///
/// True convolution flips the kernel: flip the weights for it.
#[derive(Debug)]
pub struct Conv2d {
    path: Arc<str>,
    weight: Parameter,
    bias: Option<Parameter>,
    options: Conv2dOptions,
}

impl Conv2d {
    /// The weights, `[out, in/groups, kh, kw]`.
    #[must_use]
    pub fn weight(&self) -> &Parameter {
        &self.weight
    }

    /// The bias, `[out]`.
    #[must_use]
    pub fn bias(&self) -> Option<&Parameter> {
        self.bias.as_ref()
    }

    pub(super) fn path(&self) -> &Arc<str> {
        &self.path
    }

    pub(super) fn options(&self) -> Conv2dOptions {
        self.options
    }

    /// Whether every output pixel is a linear map of one input pixel, and every input pixel has one.
    pub(super) fn is_pointwise(&self) -> bool {
        let [_, _, h, w] = self.weight.shape()[..] else {
            return false;
        };
        [h, w] == [1; 2] && self.options == Conv2dOptions::default()
    }

    /// The value, and the statistics that a batch norm wants of it in training.
    pub(super) fn forward_with_stats(&self, x: &Tensor) -> Result<(Tensor, BatchStats)> {
        let bias = self.bias.as_ref().map(Parameter::tensor);
        scope(&self.path, || {
            x.conv2d_with_stats(&self.weight.tensor(), bias.as_ref(), self.options)
        })
    }

    /// The value without the bias, and what follows it, for inference.
    pub(super) fn forward_fused(
        &self,
        x: &Tensor,
        epilogue: &Conv2dEpilogue<'_>,
    ) -> Result<Tensor> {
        scope(&self.path, || {
            x.conv2d_fused(&self.weight.tensor(), self.options, epilogue)
        })
    }
}

impl Layer for Conv2d {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        if let Some(bias) = &self.bias {
            v.parameter("bias", bias);
        }
    }
}

impl Module for Conv2d {
    fn fusible(&self) -> Fusible<'_> {
        Fusible::Conv2d(self)
    }

    /// # Shapes
    /// `[N, in, H, W] -> [N, out, H', W']` with `H' = (H + 2p - d(k-1) - 1) / s + 1`, rounded down.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Parameter::tensor);
        scope(&self.path, || {
            x.conv2d(&self.weight.tensor(), bias.as_ref(), self.options)
        })
    }

    /// Without gradients in one pass: the end of a block whose norms stand before its convolutions.
    fn forward_onto(&self, residual: &Tensor, act: Activation, x: &Tensor) -> Result<Tensor> {
        let weight = self.weight.tensor();
        let bias = self.bias.as_ref().map(Parameter::tensor);
        let operands = [Some(x), Some(residual), Some(&weight), bias.as_ref()];
        let recorded = is_grad_enabled() && operands.into_iter().flatten().any(Tensor::tracks_grad);
        match act.kernel() {
            Some(activation) if !recorded => {
                let epilogue = Conv2dEpilogue {
                    bias: bias.as_ref(),
                    residual: Some(residual),
                    activation,
                    ..Conv2dEpilogue::default()
                };
                self.forward_fused(x, &epilogue)
            }
            _ => act.forward(&self.forward(x)?.add(residual)?),
        }
    }
}
