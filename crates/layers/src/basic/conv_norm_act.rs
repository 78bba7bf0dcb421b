//! Convolution, batch norm, activation: the brick of most networks.

use striate_tensor::autograd::{is_grad_enabled, scope};
use striate_tensor::{After, Conv2dEpilogue, Conv2dLink, Result, Tensor, no_grad};

use crate::basic::{Activation, BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig};
use crate::{Init, Layer, Module, Parameter, VarBuilder, Visitor};

/// How to build a [`ConvNormAct`].
#[derive(Clone, Debug)]
pub struct ConvNormActConfig {
    /// The convolution; by default without a bias and with same-size padding.
    pub conv: Conv2dConfig,
    /// Momentum of the batch norm.
    pub momentum: f64,
    /// What the batch norm adds to the variance.
    pub eps: f64,
    /// How the scale of the batch norm starts.
    pub norm_init: Init,
    /// The activation; [`Activation::Identity`] for none.
    pub act: Activation,
    /// Names of the convolution and the batch norm.
    pub names: [String; 2],
}

impl ConvNormActConfig {
    /// A bias-free convolution, batch norm with PyTorch's defaults, ReLU.
    #[must_use]
    pub fn new(conv: Conv2dConfig) -> Self {
        Self {
            conv: conv.bias(false),
            momentum: 0.1,
            eps: 1e-5,
            norm_init: Init::ONES,
            act: Activation::Relu,
            names: ["conv".into(), "bn".into()],
        }
    }

    /// Sets the activation.
    #[must_use]
    pub fn act(mut self, act: Activation) -> Self {
        self.act = act;
        self
    }

    /// Sets the momentum of the batch norm.
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Sets what the batch norm adds to the variance.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Sets how the scale of the batch norm starts.
    #[must_use]
    pub fn norm_init(mut self, init: Init) -> Self {
        self.norm_init = init;
        self
    }

    /// Gives the convolution a bias, which the batch norm makes redundant, for weights that have it.
    #[must_use]
    pub fn conv_bias(mut self, bias: bool) -> Self {
        self.conv.bias = bias;
        self
    }

    /// Sets the names of the convolution and the batch norm, `conv` and `bn` by default: a
    /// `Sequential` in PyTorch has `0` and `1`.
    #[must_use]
    pub fn names(mut self, conv: impl Into<String>, norm: impl Into<String>) -> Self {
        self.names = [conv.into(), norm.into()];
        self
    }

    /// Builds the two layers.
    ///
    /// # Errors
    /// Those of [`Conv2dConfig::build`].
    pub fn build(&self, vb: &VarBuilder) -> Result<ConvNormAct> {
        let norm = BatchNormConfig::new(self.conv.out_channels)
            .momentum(self.momentum)
            .eps(self.eps)
            .weight_init(self.norm_init);
        let [conv_name, norm_name] = &self.names;
        Ok(ConvNormAct {
            conv: self.conv.build(&(vb / conv_name))?,
            bn: norm.build_2d(&(vb / norm_name))?,
            act: self.act,
            names: self.names.clone(),
        })
    }
}

/// `act(bn(conv(x)))`, by default with the names `conv` and `bn` of timm's `ConvNormAct`.
#[derive(Debug)]
pub struct ConvNormAct {
    conv: Conv2d,
    bn: BatchNorm2d,
    act: Activation,
    names: [String; 2],
}

impl Layer for ConvNormAct {
    fn visit(&self, v: &mut dyn Visitor) {
        let [conv, norm] = &self.names;
        v.child(conv, &self.conv);
        v.child(norm, &self.bn);
    }
}

impl Module for ConvNormAct {
    /// # Shapes
    /// Those of the convolution.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        conv_norm_act(&self.conv, &self.bn, self.act, x, None)
    }

    /// In one pass if it has no activation of its own.
    fn forward_onto(&self, residual: &Tensor, act: Activation, x: &Tensor) -> Result<Tensor> {
        if self.act == Activation::Identity {
            return self.forward_scaled_onto(1.0, residual, act, x);
        }
        act.forward(&residual.add(&self.forward(x)?)?)
    }
}

impl ConvNormAct {
    /// The end of a damped residual block: `act(scale * bn(conv(x)) + residual)` with this `act` instead of its own,
    /// no pass longer.
    ///
    /// # Shapes
    /// The residual has the shape of the output.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn forward_scaled_onto(
        &self,
        scale: f64,
        residual: &Tensor,
        act: Activation,
        x: &Tensor,
    ) -> Result<Tensor> {
        scaled(&self.conv, &self.bn, scale, act, x, Some(residual))
    }

    /// The weight and the bias of the one convolution that equals `bn(conv(x))` in evaluation.
    ///
    /// # Errors
    /// Memory is out.
    pub fn folded(&self) -> Result<[Tensor; 2]> {
        no_grad(|| {
            let conv_bias = self.conv.bias().map(Parameter::tensor);
            let [scale, shift] = self.bn.scale_and_shift(conv_bias.as_ref(), 1.0)?;
            let scale = scale.reshape([scale.numel(), 1, 1, 1])?;
            Ok([self.conv.weight().tensor().mul(&scale)?, shift])
        })
    }
}

/// `act(bn(conv(x)) + residual)` in as few passes over memory as there can be.
///
/// In training the convolution takes the statistics of its output while it is in a near cache, and one
/// pass in each direction normalises, adds and clips. In evaluation without gradients everything
/// happens while the convolution stores its output.
///
/// # Shapes
/// The residual has the shape of the output.
///
/// # Errors
/// Those of the layers.
pub fn conv_norm_act(
    conv: &Conv2d,
    bn: &BatchNorm2d,
    act: Activation,
    x: &Tensor,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    scaled(conv, bn, 1.0, act, x, residual)
}

/// `act(factor * bn(conv(x)) + residual)`; the factor is one of the batch norm's scale and shift.
fn scaled(
    conv: &Conv2d,
    bn: &BatchNorm2d,
    factor: f64,
    act: Activation,
    x: &Tensor,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    if bn.training() {
        let (z, stats) = conv.forward_with_stats(x)?;
        let relu = act == Activation::Relu;
        let y = bn.normalize(&z, &stats, factor, After { residual, relu })?;
        return if relu { Ok(y) } else { act.forward(&y) };
    }
    let conv_bias = conv.bias().map(Parameter::tensor);
    let recorded = is_recorded(conv, bn, &[Some(x), residual]);
    if !recorded && let Some(activation) = act.kernel() {
        let [scale, bias] = bn.scale_and_shift(conv_bias.as_ref(), factor)?;
        let epilogue = Conv2dEpilogue {
            scale: Some(&scale),
            bias: Some(&bias),
            residual,
            activation,
            ..Conv2dEpilogue::default()
        };
        return conv.forward_fused(x, &epilogue);
    }
    let mut y = bn.forward(&conv.forward(x)?)?;
    if factor != 1.0 {
        y = y.mul_scalar(factor)?;
    }
    if let Some(residual) = residual {
        y = residual.add(&y)?;
    }
    act.forward(&y)
}

/// Whether a gradient may be asked for.
fn is_recorded(conv: &Conv2d, bn: &BatchNorm2d, inputs: &[Option<&Tensor>]) -> bool {
    let (weight, bias) = (conv.weight().tensor(), conv.bias().map(Parameter::tensor));
    let parameters = [Some(&weight), bias.as_ref()];
    let mut operands = inputs.iter().chain(&parameters).copied().flatten();
    is_grad_enabled() && (operands.any(Tensor::tracks_grad) || bn.tracks_grad())
}

/// A convolution with the batch norm and the activation behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brick<'a> {
    pub(super) conv: &'a Conv2d,
    pub(super) bn: &'a BatchNorm2d,
    pub(super) act: Activation,
    /// What is added before the activation.
    pub(super) residual: Option<&'a Tensor>,
}

impl Brick<'_> {
    pub(super) fn run(&self, x: &Tensor) -> Result<Tensor> {
        conv_norm_act(self.conv, self.bn, self.act, x, self.residual)
    }
}

/// What [`conv_norm_act`] makes of one brick after the other, if together they are faster: without gradients, where a
/// [chain of convolutions](Tensor::conv2d_chain) pays.
///
/// # Errors
/// Those of the layers.
pub(super) fn chained(bricks: &[Brick<'_>], x: &Tensor) -> Option<Result<Tensor>> {
    let apart = |brick: &Brick<'_>| {
        brick.bn.training()
            || brick.act.kernel().is_none()
            || is_recorded(brick.conv, brick.bn, &[Some(x), brick.residual])
    };
    if bricks.iter().any(apart) {
        return None;
    }
    let weights: Vec<_> = bricks.iter().map(|b| b.conv.weight().tensor()).collect();
    let options = bricks.iter().map(|brick| brick.conv.options());
    let shapes: Vec<_> = weights.iter().zip(options).collect();
    x.conv2d_chain_pays(&shapes).then(|| {
        let steps = bricks.iter().map(|Brick { conv, bn, .. }| {
            bn.scale_and_shift(conv.bias().map(Parameter::tensor).as_ref(), 1.0)
        });
        let steps = steps.collect::<Result<Vec<_>>>()?;
        let link = |i: usize| Conv2dLink {
            weight: &weights[i],
            options: bricks[i].conv.options(),
            epilogue: Conv2dEpilogue {
                scale: Some(&steps[i][0]),
                bias: Some(&steps[i][1]),
                residual: bricks[i].residual,
                activation: bricks[i].act.kernel().unwrap_or_default(),
                ..Conv2dEpilogue::default()
            },
        };
        let links: Vec<_> = (0..bricks.len()).map(link).collect();
        scope(bricks[0].conv.path(), || x.conv2d_chain(&links))
    })
}

/// `act(attention(bn(conv(x))) + residual)`, the end of a residual block with channel attention.
///
/// The means of a pointwise convolution's output follow from those of its input. So without gradients the
/// gate is known before the convolution and part of its scale and shift: nothing is read but the convolution's input.
///
/// # Shapes
/// The residual has the shape of the output.
///
/// # Errors
/// Those of the layers.
pub fn conv_norm_attend_onto(
    conv: &Conv2d,
    bn: &BatchNorm2d,
    attention: &dyn Module,
    act: Activation,
    x: &Tensor,
    residual: &Tensor,
) -> Result<Tensor> {
    let apart = || {
        let y = conv_norm_act(conv, bn, Activation::Identity, x, None)?;
        attention.forward_onto(residual, act, &y)
    };
    let Some(activation) = act.kernel() else {
        return apart();
    };
    if bn.training() || !conv.is_pointwise() || is_recorded(conv, bn, &[Some(x), Some(residual)]) {
        return apart();
    }
    let bias = conv.bias().map(Parameter::tensor);
    let [scale, shift] = bn.scale_and_shift(bias.as_ref(), 1.0)?;
    let [n, _, _, _] = x.dims4()?;
    let [channels, inputs] = [shift.numel(), x.shape()[1]];
    let means = || {
        let weight = conv.weight().tensor().reshape([channels, inputs])?;
        let sums = x.mean(&[2, 3], false)?.linear(&weight, None)?;
        sums.mul(&scale)?.add(&shift)?.reshape([n, channels, 1, 1])
    };
    let Some(gate) = attention.channel_gate(&means) else {
        return apart();
    };
    let gate = gate?.reshape([n, channels])?;
    let epilogue = Conv2dEpilogue {
        scale: Some(&gate.mul(&scale)?),
        bias: Some(&gate.mul(&shift)?),
        residual: Some(residual),
        activation,
        ..Conv2dEpilogue::default()
    };
    conv.forward_fused(x, &epilogue)
}

/// `act(bn(x))`: in training one pass in each direction normalises and clips.
///
/// # Errors
/// Those of the norm.
pub fn norm_act(bn: &BatchNorm2d, act: Activation, x: &Tensor) -> Result<Tensor> {
    if bn.training() && act == Activation::Relu {
        let after = After {
            relu: true,
            ..After::default()
        };
        return bn.train(x, after);
    }
    act.forward(&bn.forward(x)?)
}
