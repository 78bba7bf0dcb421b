//! Squeeze-and-excitation: weighs channels by a gate computed from their global means.
//!
//! `y = x * gate(W2 act(W1 mean_hw(x) + b1) + b2)`
//!
//! Paper: Hu, Shen, Albanie, Sun, Wu, *Squeeze-and-Excitation Networks*, CVPR 2018,
//! arXiv:1709.01507. Departures: the two linear maps are 1x1 convolutions, as in timm and in the
//! released Caffe models (the same arithmetic).
//! Parameters: `2*C*R`, and `R + C` with biases; `R` is the reduced width.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::module::Means;
use crate::probe::{self, ProbeKind};
use crate::util::{at_least_one, invalid, reduced_channels};
use crate::{
    Activation, BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Layer, Module, Rounding,
    VarBuilder, Visitor,
};

/// How a channel's map becomes one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Squeeze {
    /// Its mean.
    Avg,
    /// Its maximum.
    Max,
    /// The mean of both, `(mean + max) / 2`.
    AvgMaxHalf,
}

impl Squeeze {
    /// `[N, C, H, W] -> [N, C, 1, 1]`
    pub(crate) fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Avg => x.mean(&[2, 3], true),
            Self::Max => x.adaptive_max_pool2d([1, 1]),
            Self::AvgMaxHalf => {
                let max = x.adaptive_max_pool2d([1, 1])?;
                x.mean(&[2, 3], true)?.add(&max)?.mul_scalar(0.5)
            }
        }
    }
}

/// How a logit becomes a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// `1 / (1 + exp(-x))`, within 0 and 1.
    Sigmoid,
    /// `tanh(x)`, within -1 and 1.
    Tanh,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x + 3, 0), 6) / 6`, within 0 and 1.
    HardSigmoid,
}

impl Gate {
    /// The gate of that name.
    ///
    /// # Errors
    /// There is none; the text lists those there are.
    pub fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "sigmoid" => Self::Sigmoid,
            "tanh" => Self::Tanh,
            "relu" => Self::Relu,
            "hard_sigmoid" => Self::HardSigmoid,
            _ => {
                let rule = "it must be sigmoid, tanh, relu or hard_sigmoid";
                return Err(invalid("SqueezeExcite", "gate", name, rule));
            }
        })
    }

    /// The factor of each logit.
    ///
    /// # Errors
    /// Memory is out.
    pub fn apply(self, logits: &Tensor) -> Result<Tensor> {
        match self {
            Self::Sigmoid => logits.sigmoid(),
            Self::Tanh => logits.tanh(),
            Self::Relu => logits.relu(),
            Self::HardSigmoid => logits.hardsigmoid(),
        }
    }
}

/// How to build a [`SqueezeExcite`] or a [`NoSqueezeExcite`].
#[derive(Clone, Debug)]
pub struct SqueezeExciteConfig {
    /// Number of channels.
    pub channels: usize,
    /// How many times fewer channels the bottleneck has.
    pub reduction: usize,
    /// Width of the bottleneck, instead of one computed from `reduction`.
    pub rd_channels: Option<usize>,
    /// How the width is rounded.
    pub rounding: Rounding,
    /// How a map becomes a number; the mean if not set.
    pub squeeze: Option<Squeeze>,
    /// Activation after the first map.
    pub act: Activation,
    /// Makes the factor.
    pub gate: Gate,
    /// Whether both maps have biases. The paper's ablation leaves them out, its models have them.
    pub bias: bool,
    /// Whether a batch norm follows the first map.
    pub norm: bool,
    /// Names of the two maps.
    pub names: [&'static str; 2],
}

impl SqueezeExciteConfig {
    /// Reduction 16 rounded down, means, ReLU, sigmoid, biases, no norm.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            reduction: 16,
            rd_channels: None,
            rounding: Rounding::Floor,
            squeeze: None,
            act: Activation::Relu,
            gate: Gate::Sigmoid,
            bias: true,
            norm: false,
            names: ["fc1", "fc2"],
        }
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets the width of the bottleneck directly.
    #[must_use]
    pub fn rd_channels(mut self, width: usize) -> Self {
        self.rd_channels = Some(width);
        self
    }

    /// Sets how the width is rounded; timm's `SEModule` uses `DivisibleBy(8)`.
    #[must_use]
    pub fn rounding(mut self, rounding: Rounding) -> Self {
        self.rounding = rounding;
        self
    }

    /// Sets how a map becomes a number.
    #[must_use]
    pub fn squeeze(mut self, squeeze: Squeeze) -> Self {
        self.squeeze = Some(squeeze);
        self
    }

    /// Sets the activation after the first map.
    #[must_use]
    pub fn act(mut self, act: Activation) -> Self {
        self.act = act;
        self
    }

    /// Sets what makes the factor.
    #[must_use]
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gate = gate;
        self
    }

    /// Adds or leaves out the biases.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Adds or leaves out the batch norm.
    #[must_use]
    pub fn norm(mut self, norm: bool) -> Self {
        self.norm = norm;
        self
    }

    /// Sets the names of the two maps: `conv_reduce` and `conv_expand` in timm's light networks.
    #[must_use]
    pub fn names(mut self, first: &'static str, second: &'static str) -> Self {
        self.names = [first, second];
        self
    }

    /// Builds the module: `fc1`, `bn` if it has a norm, `fc2`.
    ///
    /// # Errors
    /// A number is 0, or the reduced width would be 0.
    pub fn build(&self, vb: &VarBuilder) -> Result<SqueezeExcite> {
        let squeeze = self.squeeze.unwrap_or(Squeeze::Avg);
        Ok(SqueezeExcite {
            squeeze,
            excite: self.excite(vb)?,
        })
    }

    /// Builds the module of the ablation without pooling, under the same names.
    ///
    /// # Errors
    /// As [`SqueezeExciteConfig::build`]; or a squeeze was set, which would have no effect.
    pub fn build_no_squeeze(&self, vb: &VarBuilder) -> Result<NoSqueezeExcite> {
        if let Some(squeeze) = self.squeeze {
            let rule = "there is no squeeze to choose in the variant without one";
            return Err(invalid("NoSqueezeExcite", "squeeze", squeeze, rule).at(vb.path()));
        }
        Ok(NoSqueezeExcite {
            excite: self.excite(vb)?,
        })
    }

    fn excite(&self, vb: &VarBuilder) -> Result<Excite> {
        const LAYER: &str = "SqueezeExcite";
        let width = match self.rd_channels {
            Some(width) => at_least_one(LAYER, "rd_channels", width).map(|()| width),
            None => reduced_channels(LAYER, self.channels, self.reduction, self.rounding),
        };
        let width = width.map_err(|e| e.at(vb.path()))?;
        let fc = |i, o, name| {
            Conv2dConfig::new(i, o, 1)
                .bias(self.bias)
                .build(&(vb / name))
        };
        let bn = self
            .norm
            .then(|| BatchNormConfig::new(width).build_2d(&(vb / "bn")));
        Ok(Excite {
            path: Arc::clone(vb.path()),
            fc1: fc(self.channels, width, self.names[0])?,
            bn: bn.transpose()?,
            act: self.act,
            fc2: fc(width, self.channels, self.names[1])?,
            gate: self.gate,
            names: self.names,
        })
    }
}

/// The excitation: `gate(fc2(act(bn(fc1(s)))))`.
#[derive(Debug)]
struct Excite {
    path: Arc<str>,
    fc1: Conv2d,
    bn: Option<BatchNorm2d>,
    act: Activation,
    fc2: Conv2d,
    gate: Gate,
    names: [&'static str; 2],
}

impl Excite {
    fn forward(&self, s: &Tensor) -> Result<Tensor> {
        let mut s = self.fc1.forward(s)?;
        if let Some(bn) = &self.bn {
            s = bn.forward(&s)?;
        }
        self.gate.apply(&self.fc2.forward(&self.act.forward(&s)?)?)
    }

    fn visit(&self, v: &mut dyn Visitor) {
        v.child(self.names[0], &self.fc1);
        if let Some(bn) = &self.bn {
            v.child("bn", bn);
        }
        v.child(self.names[1], &self.fc2);
    }
}

/// The squeeze-and-excitation block. Emits its gate as [`ProbeKind::ChannelGate`].
#[derive(Debug)]
pub struct SqueezeExcite {
    squeeze: Squeeze,
    excite: Excite,
}

impl Layer for SqueezeExcite {
    fn visit(&self, v: &mut dyn Visitor) {
        self.excite.visit(v);
    }
}

impl Module for SqueezeExcite {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.excite.path, || {
            x.dims_array::<4>("SqueezeExcite")?;
            x.mul(&self.gate(&self.squeeze.apply(x)?)?)
        })
    }

    fn channel_gate(&self, means: &Means<'_>) -> Option<Result<Tensor>> {
        let of_means = self.squeeze == Squeeze::Avg;
        of_means.then(|| scope(&self.excite.path, || self.gate(&means()?)))
    }
}

impl SqueezeExcite {
    /// The factors of channels that were squeezed to `[N, C, 1, 1]`.
    fn gate(&self, squeezed: &Tensor) -> Result<Tensor> {
        let gate = self.excite.forward(squeezed)?;
        probe::emit_channels(&self.excite.path, &gate)?;
        Ok(gate)
    }
}

/// Squeeze-and-excitation without the squeeze: the two maps run at every pixel, so the gate is
/// local. The paper's ablation (its table 16); it costs `2*C*R` multiply-adds a pixel and loses
/// accuracy. Emits its gate as [`ProbeKind::FullGate`].
#[derive(Debug)]
pub struct NoSqueezeExcite {
    excite: Excite,
}

impl Layer for NoSqueezeExcite {
    fn visit(&self, v: &mut dyn Visitor) {
        self.excite.visit(v);
    }
}

impl Module for NoSqueezeExcite {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.excite.path, || {
            let gate = self.excite.forward(x)?;
            probe::emit(&self.excite.path, ProbeKind::FullGate, &gate);
            x.mul(&gate)
        })
    }
}

/// Weights that squeeze-and-excitation adds to a network:
/// `sum over stages of blocks * (2*C*(C/r))`, and `blocks * (C + C/r)` with biases.
///
/// `stages` holds the number of blocks and the channels `C` of each stage.
///
/// # Errors
/// `reduction` is 0 or more than the channels of a stage, or the sum overflows.
pub fn se_extra_params(stages: &[(usize, usize)], reduction: usize, bias: bool) -> Result<usize> {
    let mut sum = 0usize;
    for &(blocks, channels) in stages {
        let width = reduced_channels("se_extra_params", channels, reduction, Rounding::Floor)?;
        let one = channels
            .checked_mul(2)
            .and_then(|c| c.checked_mul(width))
            .and_then(|w| w.checked_add(if bias { channels + width } else { 0 }));
        sum = one
            .and_then(|one| one.checked_mul(blocks))
            .and_then(|stage| sum.checked_add(stage))
            .ok_or_else(|| invalid("se_extra_params", "stages", stages, "the count must fit"))?;
    }
    Ok(sum)
}

/// How other implementations name the same weights.
pub mod se_key_maps {
    use crate::KeyMap;

    /// Cadene's `pretrained-models` and timm's legacy networks: the block is called `se_module`.
    #[must_use]
    pub fn cadene() -> KeyMap {
        KeyMap::new().rename("se_module", "se")
    }

    /// Implementations that keep the two linear layers in a `Sequential`: moskomule's
    /// `senet.pytorch` (without biases) and DCANet (with them).
    #[must_use]
    pub fn sequential() -> KeyMap {
        KeyMap::new().rename("fc.0", "fc1").rename("fc.2", "fc2")
    }

    /// The released Caffe models: `conv2_1_1x1_down` is `layer1.0.se.fc1`.
    #[must_use]
    pub fn caffe() -> KeyMap {
        KeyMap::new().rename_with(|name| {
            let (layer, rest) = name.split_once('.')?;
            let (place, part) = block_of(layer)?;
            let fc = squeeze(part)?;
            Some(format!("{place}.se.{fc}.{rest}"))
        })
    }

    /// All of the released Caffe models, from SE-ResNet-50 to SENet-154, to the names of Cadene's and timm's legacy networks:
    /// `conv2_1_3x3/bn/scale` is `layer1.0.bn2`. A batch norm's statistics may be below `bn` and its factors below `bn/scale`,
    /// as Caffe has them, or all below either.
    #[must_use]
    pub fn caffe_network() -> KeyMap {
        KeyMap::new().rename_with(|name| {
            let (layer, rest) = name.split_once('.')?;
            let layer = layer.strip_suffix("/scale").unwrap_or(layer);
            let (layer, is_norm) = match layer.strip_suffix("/bn") {
                Some(layer) => (layer, true),
                None => (layer, false),
            };
            let kind = if is_norm { "bn" } else { "conv" };
            let stem = match layer {
                "conv1/7x7_s2" | "conv1_1/3x3_s2" => Some(1),
                "conv1_2/3x3" => Some(2),
                "conv1_3/3x3" => Some(3),
                _ => None,
            };
            if let Some(number) = stem {
                return Some(format!("layer0.{kind}{number}.{rest}"));
            }
            if layer == "classifier" {
                return Some(format!("last_linear.{rest}"));
            }
            let (place, part) = block_of(layer)?;
            Some(match part {
                "1x1_reduce" => format!("{place}.{kind}1.{rest}"),
                "3x3" => format!("{place}.{kind}2.{rest}"),
                "1x1_increase" => format!("{place}.{kind}3.{rest}"),
                "1x1_proj" => {
                    format!("{place}.downsample.{}.{rest}", usize::from(is_norm))
                }
                _ => format!("{place}.se_module.{}.{rest}", squeeze(part)?),
            })
        })
    }

    /// `conv2_1_3x3` is the part `3x3` of `layer1.0`.
    fn block_of(layer: &str) -> Option<(String, &str)> {
        let (stage, place) = layer.strip_prefix("conv")?.split_once('_')?;
        let (block, part) = place.split_once('_')?;
        let stage = stage.parse::<usize>().ok()?.checked_sub(1)?;
        let block = block.parse::<usize>().ok()?.checked_sub(1)?;
        Some((format!("layer{stage}.{block}"), part))
    }

    fn squeeze(part: &str) -> Option<&'static str> {
        match part {
            "1x1_down" => Some("fc1"),
            "1x1_up" => Some("fc2"),
            _ => None,
        }
    }
}
