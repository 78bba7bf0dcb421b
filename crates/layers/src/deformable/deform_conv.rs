//! Deformable convolution with the convolution that produces its offsets.
//!
//! `y(p) = b + sum over k of w(k) m(p, k) x(p + k + d(p, k))`, bilinear between pixels and zero outside. The offsets `d` and
//! the logits of the mask `m = sigmoid(.)` are a convolution of `x` with the geometry of this one, which starts as zero.
//!
//! Papers: Dai et al., *Deformable Convolutional Networks*, ICCV 2017, arXiv:1703.06211 (no mask); Zhu et al., *Deformable
//! ConvNets v2*, CVPR 2019, arXiv:1811.11168 (mask).
//! Departures: pixels are zero outside as in the authors' second operator, which they recommend also for the first form; the
//! rule of the first can be chosen.
//! Parameters: `O*I/g*k*k`, a bias `O`, and `I*k*k*M + M` with `M = 2*G*k*k`, or `3*G*k*k` with a mask.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Conv2dOptions, DeformBorder, Result, Tensor};

use crate::probe::{self, ProbeKind};
use crate::util::{at_least_one, invalid};
use crate::{Conv2d, Conv2dConfig, Init, Layer, Module, Pair, Parameter, VarBuilder, Visitor};

const LAYER: &str = "DeformConv2d";

/// How to build a [`DeformConv2d`].
#[derive(Clone, Debug)]
pub struct DeformConv2dConfig {
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
    /// Step between taps that no offset moves.
    pub dilation: Pair,
    /// Groups of channels that do not mix.
    pub groups: usize,
    /// Groups of input channels with offsets of their own (`G`).
    pub deform_groups: usize,
    /// Whether there is a mask: the second version.
    pub modulated: bool,
    /// Whether a bias is added.
    pub bias: bool,
    /// What samples outside of the image are.
    pub border: DeformBorder,
}

impl DeformConv2dConfig {
    /// The first version: stride 1, same-size padding, one group of each kind, no mask and no bias.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize, kernel: impl Into<Pair>) -> Self {
        let kernel = kernel.into();
        Self {
            in_channels,
            out_channels,
            kernel,
            stride: 1.into(),
            padding: Pair(kernel.0.map(|k| k / 2)),
            dilation: 1.into(),
            groups: 1,
            deform_groups: 1,
            modulated: false,
            bias: false,
            border: DeformBorder::Zeros,
        }
    }

    /// The second version: as [`DeformConv2dConfig::new`], with a mask and a bias.
    #[must_use]
    pub fn modulated(in_channels: usize, out_channels: usize, kernel: impl Into<Pair>) -> Self {
        Self {
            modulated: true,
            bias: true,
            ..Self::new(in_channels, out_channels, kernel)
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

    /// Sets the step between taps.
    #[must_use]
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
        self.dilation = dilation.into();
        self
    }

    /// Sets the groups of channels that do not mix.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Sets the groups of input channels with offsets of their own.
    #[must_use]
    pub fn deform_groups(mut self, groups: usize) -> Self {
        self.deform_groups = groups;
        self
    }

    /// Adds or leaves out the bias.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Sets what samples outside of the image are.
    #[must_use]
    pub fn border(mut self, border: DeformBorder) -> Self {
        self.border = border;
        self
    }

    /// The convolution without offsets.
    fn plain(&self, out_channels: usize, groups: usize) -> Conv2dConfig {
        Conv2dConfig::new(self.in_channels, out_channels, self.kernel)
            .stride(self.stride)
            .padding(self.padding)
            .dilation(self.dilation)
            .groups(groups)
    }

    fn check(&self) -> Result<()> {
        at_least_one(LAYER, "deform_groups", self.deform_groups)?;
        if !self.in_channels.is_multiple_of(self.deform_groups) {
            let rule = format!("it must divide the {} input channels", self.in_channels);
            return Err(invalid(LAYER, "deform_groups", self.deform_groups, rule));
        }
        Ok(())
    }

    /// Builds the module under mmcv's names: those of a convolution, and `conv_offset`, which starts as zero. Without a mask
    /// weights start by He's uniform rule for ReLUs, with one uniform within `1 / sqrt(I*k*k)`, and the bias as zero.
    ///
    /// # Errors
    /// Those of [`Conv2dConfig::build`]; the groups with offsets of their own do not divide the input channels.
    pub fn build(&self, vb: &VarBuilder) -> Result<DeformConv2d> {
        self.check().map_err(|e| e.at(vb.path()))?;
        let points = self.deform_groups * self.kernel.0.iter().product::<usize>();
        let numbers = if self.modulated { 3 } else { 2 };
        let fan_in =
            |channels: usize| (channels * self.kernel.0[0] * self.kernel.0[1]).max(1) as f64;
        let bound = match self.modulated {
            true => 1.0 / fan_in(self.in_channels).sqrt(),
            false => (6.0 / fan_in(self.in_channels / self.groups.max(1))).sqrt(),
        };
        let main = self
            .plain(self.out_channels, self.groups)
            .bias(false)
            .init(Init::Uniform { bound })
            .build(vb)?;
        let offsets = self
            .plain(numbers * points, 1)
            .init(Init::ZEROS)
            .bias_init(Init::ZEROS);
        let bias = || vb.parameter("bias", &[self.out_channels], Init::ZEROS);
        Ok(DeformConv2d {
            path: Arc::clone(vb.path()),
            weight: main.weight().clone(),
            bias: self.bias.then(bias).transpose()?,
            conv_offset: offsets.build(&(vb / "conv_offset"))?,
            points,
            modulated: self.modulated,
            border: self.border,
            options: Conv2dOptions::default()
                .stride(self.stride)
                .padding(self.padding.0)
                .dilation(self.dilation)
                .groups(self.groups),
        })
    }
}

/// The convolution. Emits its offsets as [`ProbeKind::Offsets`] and its mask as [`ProbeKind::FullGate`], a channel a tap.
///
/// Offsets and mask are learned at a tenth of the rate of the rest in the papers: give the parameters under `conv_offset` a
/// group of their own. A mask starts as 1/2 everywhere.
#[derive(Debug)]
pub struct DeformConv2d {
    path: Arc<str>,
    weight: Parameter,
    bias: Option<Parameter>,
    conv_offset: Conv2d,
    /// Taps of all groups with offsets of their own.
    points: usize,
    modulated: bool,
    border: DeformBorder,
    options: Conv2dOptions,
}

impl DeformConv2d {
    /// The weights, `[out, in/groups, kh, kw]`.
    #[must_use]
    pub fn weight(&self) -> &Parameter {
        &self.weight
    }

    /// The convolution that produces the offsets, for each tap how far down and how far right, and behind them the logits of
    /// the mask.
    #[must_use]
    pub fn conv_offset(&self) -> &Conv2d {
        &self.conv_offset
    }

    /// The offsets and the mask for `x`.
    fn places(&self, x: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
        let y = self.conv_offset.forward(x)?;
        if !self.modulated {
            return Ok((y, None));
        }
        let mask = y.narrow(1, 2 * self.points, self.points)?.sigmoid()?;
        Ok((y.narrow(1, 0, 2 * self.points)?, Some(mask)))
    }
}

impl Layer for DeformConv2d {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        if let Some(bias) = &self.bias {
            v.parameter("bias", bias);
        }
        v.child("conv_offset", &self.conv_offset);
    }
}

impl Module for DeformConv2d {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, H', W']` with `H' = (H + 2p - d(k-1) - 1) / s + 1`, rounded down.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let (offset, mask) = self.places(x)?;
            probe::emit(&self.path, ProbeKind::Offsets, &offset);
            if let Some(mask) = &mask {
                probe::emit(&self.path, ProbeKind::FullGate, mask);
            }
            let (weight, bias) = (self.weight.tensor(), self.bias.as_ref());
            let bias = bias.map(Parameter::tensor);
            let (mask, bias, options) = (mask.as_ref(), bias.as_ref(), self.options);
            x.deform_conv2d_with(self.border, &offset, &weight, mask, bias, options)
        })
    }
}

/// How other implementations name the same weights.
pub mod deform_conv_key_maps {
    use striate_tensor::{Error, Result, Tensor};

    use crate::KeyMap;

    /// From mmdetection's before 2.0, which called the second version's producer `conv_offset_mask`.
    #[must_use]
    pub fn old_mmdetection() -> KeyMap {
        KeyMap::new().rename("conv_offset_mask", "conv_offset")
    }

    /// From 4uiiurz1's PyTorch implementation: `p_conv` has all offsets down before all offsets right, `m_conv` the mask.
    /// Both functions are the same where no sample lies outside of the image.
    #[must_use]
    pub fn planes() -> KeyMap {
        KeyMap::new()
            .transform("p_conv", interleave)
            .rename("p_conv", "conv_offset.0")
            .rename("m_conv", "conv_offset.1")
            .concat("conv_offset.*", "conv_offset")
            .rename("conv", "")
    }

    /// From a plain convolution, at the start of fine-tuning: weights are doubled, since a mask starts as 1/2. Load it
    /// leniently, for a plain convolution has no `conv_offset`. The first version needs no translation.
    #[must_use]
    pub fn halved_by_the_mask() -> KeyMap {
        KeyMap::new().transform("weight", |weight| weight.mul_scalar(2.0))
    }

    /// Rows of all `y`, then of all `x`, to rows of `y` and `x` in turn.
    fn interleave(t: &Tensor) -> Result<Tensor> {
        let shape = t.shape().to_vec();
        match shape.first() {
            Some(&rows) if rows % 2 == 0 => {
                let halves = [&[2, rows / 2], &shape[1..]].concat();
                t.reshape(halves)?.transpose(0, 1)?.reshape(shape)
            }
            _ => {
                let detail = format!("offsets come in pairs, got shape {shape:?}");
                Err(Error::shape("deform_conv_key_maps", detail))
            }
        }
    }
}
