//! Omni-dimensional dynamic convolution: four attentions, one for each dimension of the weight.
//!
//! ```text
//! z  = relu(bn(W mean_hw(x)))           A = max(in/16, 16) numbers
//! ac = sigmoid((Fc z + bc) / t)         a factor for each input channel
//! af = sigmoid((Ff z + bf) / t)         for each filter, that is, output channel
//! as = sigmoid((Fs z + bs) / t)         for each tap of the kernel
//! aw = softmax((Fw z + bw) / t)         for each of K experts
//! y  = af * conv(ac * x, sum over k of aw_k (as * W_k))
//! ```
//!
//! Paper: Li, Zhou, Yao, *Omni-Dimensional Dynamic Convolution*, ICLR 2022, arXiv:2209.07947. Departures from the paper,
//! as in the released code: the experts share the three other attentions; a depthwise convolution has no filter
//! attention, a 1x1 kernel no spatial one, a single expert no attention over experts.
//! Parameters: `K*out*(in/groups)*k*k + in*A + 2A + (A+1)(in + out + k*k + K)`, less what is left out.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::Temperature;
use super::experts::Experts;
use crate::probe::{self, ProbeKind};
use crate::util::invalid;
use crate::{
    Activation, BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Init, Layer, Module,
    VarBuilder, Visitor, conv_norm_act,
};

const LAYER: &str = "OdConv2d";

/// How to build an [`OdConv2d`].
#[derive(Clone, Debug)]
pub struct OdConv2dConfig {
    /// The convolution that the experts are mixed to.
    pub conv: Conv2dConfig,
    /// Number of experts, the paper's `n`.
    pub kernel_num: usize,
    /// Width of the attentions as a share of the input channels.
    pub reduction: f64,
    /// What the logits are divided by.
    pub temperature: Temperature,
}

impl OdConv2dConfig {
    /// The released code's: 4 experts, attentions a 16th as wide as the input and at least 16, temperature 1. There is no
    /// bias.
    #[must_use]
    pub fn new(conv: Conv2dConfig) -> Self {
        Self {
            conv: conv.bias(false).init(Init::KaimingNormal),
            kernel_num: 4,
            reduction: 0.0625,
            temperature: Temperature::default(),
        }
    }

    /// Sets the number of experts.
    #[must_use]
    pub fn kernel_num(mut self, kernel_num: usize) -> Self {
        self.kernel_num = kernel_num;
        self
    }

    /// Sets the width of the attentions as a share of the input channels.
    #[must_use]
    pub fn reduction(mut self, reduction: f64) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets the temperature, which several layers may share.
    #[must_use]
    pub fn temperature(mut self, temperature: &Temperature) -> Self {
        self.temperature = temperature.clone();
        self
    }

    fn width(&self) -> Result<usize> {
        let width = self.conv.in_channels as f64 * self.reduction;
        // Up to 2^52 every whole number is exact.
        if !(0.0..4.5e15).contains(&width) {
            let rule = "its product with the channels must be a number that fits";
            return Err(invalid(LAYER, "reduction", self.reduction, rule));
        }
        Ok((width as usize).max(16))
    }

    /// Builds the layer under the released code's names: `attention.{fc,bn}`, `attention.{channel,filter,spatial,kernel}_fc`
    /// as far as there are such attentions, and the experts' `weight`.
    ///
    /// # Errors
    /// A size is 0, or the channels are no multiple of the groups.
    pub fn build(&self, vb: &VarBuilder) -> Result<OdConv2d> {
        let conv = &self.conv;
        let experts = ("kernel_num", self.kernel_num);
        let experts = Experts::build(conv, experts, false, Init::ZEROS, vb)?;
        let width = self.width().map_err(|e| e.at(vb.path()))?;
        let attention = vb / "attention";
        let fc = |outputs: usize, name| {
            Conv2dConfig::new(width, outputs, 1)
                .init(Init::KaimingNormal)
                .bias_init(Init::ZEROS)
                .build(&(&attention / name))
        };
        let depthwise = [conv.groups, conv.out_channels] == [conv.in_channels; 2];
        let taps = conv.kernel.0.iter().product();
        let some = |there: bool, outputs, name| there.then(|| fc(outputs, name)).transpose();
        Ok(OdConv2d {
            path: Arc::clone(vb.path()),
            attention: Attention {
                fc: Conv2dConfig::new(conv.in_channels, width, 1)
                    .bias(false)
                    .init(Init::KaimingNormal)
                    .build(&(&attention / "fc"))?,
                bn: BatchNormConfig::new(width).build_2d(&(&attention / "bn"))?,
                channel_fc: fc(conv.in_channels, "channel_fc")?,
                filter_fc: some(!depthwise, conv.out_channels, "filter_fc")?,
                spatial_fc: some(taps > 1, taps, "spatial_fc")?,
                kernel_fc: some(self.kernel_num > 1, self.kernel_num, "kernel_fc")?,
                temperature: self.temperature.clone(),
            },
            experts,
            kernel: conv.kernel.0,
        })
    }
}

/// What the four attentions are computed with.
#[derive(Debug)]
struct Attention {
    fc: Conv2d,
    bn: BatchNorm2d,
    channel_fc: Conv2d,
    filter_fc: Option<Conv2d>,
    spatial_fc: Option<Conv2d>,
    kernel_fc: Option<Conv2d>,
    temperature: Temperature,
}

impl Attention {
    /// `fc(z) / temperature`, `[N, outputs, 1, 1]`.
    fn logits(&self, fc: &Conv2d, z: &Tensor) -> Result<Tensor> {
        fc.forward(z)?.mul_scalar(1.0 / self.temperature.get())
    }

    /// The sigmoid of the logits, if there is such an attention.
    fn gate(&self, fc: Option<&Conv2d>, z: &Tensor) -> Result<Option<Tensor>> {
        fc.map(|fc| self.logits(fc, z)?.sigmoid()).transpose()
    }
}

impl Layer for Attention {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("fc", &self.fc);
        v.child("bn", &self.bn);
        v.child("channel_fc", &self.channel_fc);
        let rest = [
            ("filter_fc", &self.filter_fc),
            ("spatial_fc", &self.spatial_fc),
            ("kernel_fc", &self.kernel_fc),
        ];
        for (name, fc) in rest {
            if let Some(fc) = fc {
                v.child(name, fc);
            }
        }
    }
}

/// The convolution with four attentions. Emits the factors of the input's channels, of the filters (both
/// [`ProbeKind::ChannelGate`]) and of the experts ([`ProbeKind::ExpertWeights`]).
#[derive(Debug)]
pub struct OdConv2d {
    path: Arc<str>,
    attention: Attention,
    experts: Experts,
    kernel: [usize; 2],
}

impl OdConv2d {
    fn emit(&self, kind: ProbeKind, factors: &Tensor) -> Result<()> {
        if probe::is_recording() {
            probe::emit(&self.path, kind, &factors.flatten(1, factors.rank() - 1)?);
        }
        Ok(())
    }

    /// The convolution of every image with its weight: the experts' mixture, each tap times its factor.
    fn convolve(&self, x: &Tensor, z: &Tensor) -> Result<Tensor> {
        let (attention, experts) = (&self.attention, &self.experts);
        let [n, _, _, _] = x.dims_array(LAYER)?;
        let [kh, kw] = self.kernel;
        let spatial = attention.gate(attention.spatial_fc.as_ref(), z)?;
        let kernel = match &attention.kernel_fc {
            Some(fc) => attention
                .logits(fc, z)?
                .reshape([n, experts.count()])?
                .softmax(1)?,
            None if spatial.is_none() => return experts.convolve_all(x),
            None => Tensor::ones([n, 1], x.dtype())?,
        };
        self.emit(ProbeKind::ExpertWeights, &kernel)?;
        let mut weight = experts.mixed_weight(&kernel)?;
        if let Some(spatial) = spatial {
            weight = weight.mul(&spatial.reshape([n, 1, 1, kh, kw])?)?;
        }
        experts.convolve(x, &weight)
    }
}

impl Layer for OdConv2d {
    fn visit(&self, v: &mut dyn Visitor) {
        self.experts.visit(v);
        v.child("attention", &self.attention);
    }
}

impl Module for OdConv2d {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, H', W']`, sizes as of the convolution.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [_, _, _, _] = x.dims_array(LAYER)?;
            let attention = &self.attention;
            let mean = x.mean(&[2, 3], true)?;
            let z = conv_norm_act(&attention.fc, &attention.bn, Activation::Relu, &mean, None)?;
            let channel = attention.logits(&attention.channel_fc, &z)?.sigmoid()?;
            self.emit(ProbeKind::ChannelGate, &channel)?;
            let y = self.convolve(&x.mul(&channel)?, &z)?;
            match attention.gate(attention.filter_fc.as_ref(), &z)? {
                Some(filter) => {
                    self.emit(ProbeKind::ChannelGate, &filter)?;
                    y.mul(&filter)
                }
                None => Ok(y),
            }
        })
    }
}
