//! Efficient channel attention: a gate from a short convolution over the channels' means.
//!
//! `y = x * sigmoid(conv1d(mean_hw(x)))`, a kernel of `k` taps over the channel axis,
//! `k = |(log2(C) + b) / gamma|` rounded down, the next odd number, at least 3.
//!
//! Paper: Wang et al., *ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks*,
//! CVPR 2020, arXiv:1910.03151. The circular variant, timm's, wraps round the channel axis, which
//! has no edges. Departures: none. Parameters: `k`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Conv2dOptions, Result, Tensor};

use crate::module::Means;
use crate::util::{at_least_one, invalid, odd};
use crate::{Init, Layer, Module, Parameter, VarBuilder, Visitor, probe};

const LAYER: &str = "Eca";

/// How to build an [`Eca`] or a [`CircularEca`].
#[derive(Clone, Debug)]
pub struct EcaConfig {
    /// Number of channels, which gives the kernel; without it any number is taken.
    pub channels: Option<usize>,
    /// Taps of the kernel, odd, instead of a number from the channels.
    pub kernel: Option<usize>,
    /// Divides the logarithm of the channels.
    pub gamma: f64,
    /// Added to it before.
    pub beta: f64,
    /// Whether the convolution has a bias, which the released code leaves out.
    pub bias: bool,
}

impl EcaConfig {
    /// The paper's: `gamma` 2, `b` 1, a kernel that grows with the channels.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels: Some(channels),
            kernel: None,
            gamma: 2.0,
            beta: 1.0,
            bias: false,
        }
    }

    /// A kernel of that many taps for any number of channels.
    #[must_use]
    pub fn with_kernel(kernel: usize) -> Self {
        Self {
            channels: None,
            kernel: Some(kernel),
            ..Self::new(1)
        }
    }

    /// Sets the taps of the kernel.
    #[must_use]
    pub fn kernel(mut self, kernel: usize) -> Self {
        self.kernel = Some(kernel);
        self
    }

    /// Sets what the kernel grows by: the numbers `gamma` and `b`.
    #[must_use]
    pub fn growth(mut self, gamma: f64, beta: f64) -> Self {
        (self.gamma, self.beta) = (gamma, beta);
        self
    }

    /// Adds or leaves out the bias.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    fn taps(&self) -> Result<usize> {
        if let Some(channels) = self.channels {
            at_least_one(LAYER, "channels", channels)?;
        }
        match (self.kernel, self.channels) {
            (Some(kernel), _) => odd(LAYER, "kernel", kernel).map(|()| kernel),
            (None, None) => {
                let rule = "without a number of channels it must be given";
                Err(invalid(LAYER, "kernel", self.kernel, rule))
            }
            (None, Some(channels)) => {
                if !(self.gamma > 0.0 && self.gamma.is_finite()) {
                    let rule = "it must be positive and finite";
                    return Err(invalid(LAYER, "gamma", self.gamma, rule));
                }
                let taps = ((channels as f64).log2() + self.beta).abs() / self.gamma;
                // Up to 2^16 taps: more channels than that no network has.
                if taps.is_nan() || taps >= 65_536.0 {
                    let rule = "with gamma it must leave a kernel of less than 65536 taps";
                    return Err(invalid(LAYER, "beta", self.beta, rule));
                }
                Ok((taps as usize | 1).max(3))
            }
        }
    }

    fn conv(&self, vb: &VarBuilder) -> Result<ChannelConv> {
        let taps = self.taps().map_err(|e| e.at(vb.path()))?;
        let (shape, conv) = ([1, 1, taps], vb / "conv");
        let bias = || conv.parameter("bias", &[1], Init::bias_of(&shape));
        Ok(ChannelConv {
            path: Arc::clone(vb.path()),
            channels: self.channels,
            weight: conv.parameter("weight", &shape, Init::KaimingUniform)?,
            bias: self.bias.then(bias).transpose()?,
        })
    }

    /// Builds the module: `conv.weight [1, 1, k]`, as in the released code.
    ///
    /// # Errors
    /// The channels or the kernel are 0, the kernel is even or too long, or neither is given.
    pub fn build(&self, vb: &VarBuilder) -> Result<Eca> {
        Ok(Eca {
            conv: self.conv(vb)?,
        })
    }

    /// Builds the circular variant under the same names.
    ///
    /// # Errors
    /// As [`EcaConfig::build`].
    pub fn build_circular(&self, vb: &VarBuilder) -> Result<CircularEca> {
        Ok(CircularEca {
            conv: self.conv(vb)?,
        })
    }
}

/// What is beyond the first and the last channel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beyond {
    Zeros,
    OtherEnd,
}

/// The convolution over the channel axis.
#[derive(Debug)]
struct ChannelConv {
    path: Arc<str>,
    channels: Option<usize>,
    weight: Parameter,
    bias: Option<Parameter>,
}

impl Layer for ChannelConv {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        if let Some(bias) = &self.bias {
            v.parameter("bias", bias);
        }
    }
}

impl ChannelConv {
    fn attend(&self, x: &Tensor, beyond: Beyond) -> Result<Tensor> {
        scope(&self.path, || {
            self.check(x)?;
            x.mul(&self.gate(&x.mean(&[2, 3], true)?, beyond)?)
        })
    }

    fn check(&self, x: &Tensor) -> Result<()> {
        let [_, c, _, _] = x.dims_array(LAYER)?;
        if self.channels.is_some_and(|channels| channels != c) {
            let rule = format!("it must be the channels of the input {:?}", x.shape());
            return Err(invalid(LAYER, "channels", self.channels, rule));
        }
        Ok(())
    }

    /// The factors of channels with these means, `[N, C, 1, 1]`.
    fn gate(&self, means: &Tensor, beyond: Beyond) -> Result<Tensor> {
        scope(&self.path, || {
            self.check(means)?;
            let [n, c, _, _] = means.dims_array(LAYER)?;
            let taps = self.weight.numel();
            let mut row = means.reshape([n, 1, 1, c])?;
            let mut padding = taps / 2;
            if beyond == Beyond::OtherEnd {
                if padding > c {
                    let rule = format!("its half must not exceed the {c} channels");
                    return Err(invalid(LAYER, "kernel", taps, rule));
                }
                let (last, first) = (
                    row.narrow(3, c - padding, padding)?,
                    row.narrow(3, 0, padding)?,
                );
                row = Tensor::cat(&[&last, &row, &first], 3)?;
                padding = 0;
            }
            let weight = self.weight.tensor().reshape([1, 1, 1, taps])?;
            let bias = self.bias.as_ref().map(Parameter::tensor);
            let options = Conv2dOptions::default().padding([0, padding]);
            let logits = row.conv2d(&weight, bias.as_ref(), options)?;
            let gate = logits.sigmoid()?.reshape([n, c, 1, 1])?;
            probe::emit_channels(&self.path, &gate)?;
            Ok(gate)
        })
    }
}

/// Efficient channel attention; zeros lie beyond the first and the last channel. Emits its gate as
/// [`ChannelGate`](crate::probe::ProbeKind::ChannelGate).
#[derive(Debug)]
pub struct Eca {
    conv: ChannelConv,
}

impl Layer for Eca {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("conv", &self.conv);
    }
}

impl Module for Eca {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.conv.attend(x, Beyond::Zeros)
    }

    fn channel_gate(&self, means: &Means<'_>) -> Option<Result<Tensor>> {
        Some(means().and_then(|means| self.conv.gate(&means, Beyond::Zeros)))
    }
}

/// Efficient channel attention whose channel axis is a ring. Emits its gate as
/// [`ChannelGate`](crate::probe::ProbeKind::ChannelGate).
#[derive(Debug)]
pub struct CircularEca {
    conv: ChannelConv,
}

impl Layer for CircularEca {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("conv", &self.conv);
    }
}

impl Module for CircularEca {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`, with `C` at least half the kernel.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.conv.attend(x, Beyond::OtherEnd)
    }

    fn channel_gate(&self, means: &Means<'_>) -> Option<Result<Tensor>> {
        Some(means().and_then(|means| self.conv.gate(&means, Beyond::OtherEnd)))
    }
}
