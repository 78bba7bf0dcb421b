//! Receptive field block: branches whose kernel and dilation grow together, as the eye's receptive fields grow
//! with the distance from its centre.
//!
//! ```text
//! b_0 = atrous_v(conv1x1(x))                              i = C/8, widths i to 2i
//! b_1 = atrous_v+1(conv3x3(conv1x1(x)))
//! b_2 = atrous_2v+1(conv3x3(conv3x3(conv1x1(x))))         two 3x3 see what the paper's 5x5 sees
//! y   = relu(scale * linear1x1([b_0, b_1, b_2]) + shortcut1x1(x))
//! ```
//! Every convolution has a batch norm and, but for the last of a branch (`atrous_d`, 3x3 with dilation `d`),
//! the linear one and the shortcut, a ReLU.
//!
//! Paper: Liu, Huang, Wang, *Receptive Field Block Net for Accurate and Fast Object Detection*, ECCV 2018,
//! arXiv:1711.07767. Departures: none; this is `BasicRFB` of the paper's code.
//! Parameters: those of the convolutions, `in * out * kh * kw`, and 2 a channel of each.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::util::{at_least_one, invalid};
use crate::{
    Activation, Conv2dConfig, ConvNormAct, ConvNormActConfig, Init, Layer, Module, Pair,
    VarBuilder, Visitor,
};

/// How to build the [`Rfb`] of RFBNet's detection heads.
#[derive(Clone, Debug)]
pub struct RfbConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Stride, 1 or 2.
    pub stride: usize,
    /// Factor of the branches beside the shortcut.
    pub scale: f64,
    /// Dilation of the first branch, from which the others' follow.
    pub visual: usize,
}

impl RfbConfig {
    /// The code's defaults: stride 1, scale 0.1, visual 1. RFBNet itself has scale 1 and mostly visual 2.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            stride: 1,
            scale: 0.1,
            visual: 1,
        }
    }

    /// Sets the stride.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the factor of the branches beside the shortcut.
    #[must_use]
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self
    }

    /// Sets the dilation of the first branch.
    #[must_use]
    pub fn visual(mut self, visual: usize) -> Self {
        self.visual = visual;
        self
    }

    /// Builds the layers `branch{0,1,2}.k.{conv,bn}`, `ConvLinear.{conv,bn}` and `shortcut.{conv,bn}`.
    ///
    /// # Errors
    /// Fewer than 16 channels come in, none goes out, the stride is not 1 or 2, `visual` is 0, or the scale is
    /// not finite.
    pub fn build(&self, vb: &VarBuilder) -> Result<Rfb> {
        let check = || {
            check_sizes(self.in_channels, 16, self.stride)?;
            at_least_one(LAYER, "visual", self.visual)
        };
        check().map_err(|e| e.at(vb.path()))?;
        let (c, i, s, v) = (
            self.in_channels,
            self.in_channels / 8,
            self.stride,
            self.visual,
        );
        Plan {
            branches: vec![
                vec![conv(c, 2 * i, 1).stride(s), atrous(2 * i, v)],
                vec![
                    conv(c, i, 1),
                    conv(i, 2 * i, 3).stride(s),
                    atrous(2 * i, v.saturating_add(1)),
                ],
                vec![
                    conv(c, i, 1),
                    conv(i, i / 2 * 3, 3),
                    conv(i / 2 * 3, 2 * i, 3).stride(s),
                    atrous(2 * i, v.saturating_mul(2).saturating_add(1)),
                ],
            ],
            first: 0,
            out_channels: self.out_channels,
            shortcut: Some(conv(c, self.out_channels, 1).stride(s)),
            scale: self.scale,
        }
        .build(vb)
    }
}

pub(super) const LAYER: &str = "Rfb";

/// Checks that no branch is left without channels, and the stride.
pub(super) fn check_sizes(in_channels: usize, least: usize, stride: usize) -> Result<()> {
    if in_channels < least {
        let rule = format!("it must be at least {least}, so that every branch has channels");
        return Err(invalid(LAYER, "in_channels", in_channels, rule));
    }
    if !matches!(stride, 1 | 2) {
        return Err(invalid(LAYER, "stride", stride, "it must be 1 or 2"));
    }
    Ok(())
}

/// A convolution that keeps the size.
pub(super) fn conv(
    in_channels: usize,
    out_channels: usize,
    kernel: impl Into<Pair>,
) -> Conv2dConfig {
    Conv2dConfig::new(in_channels, out_channels, kernel).same_padding()
}

/// A dilated 3x3, the end of a branch.
pub(super) fn atrous(channels: usize, dilation: usize) -> Conv2dConfig {
    Conv2dConfig::new(channels, channels, 3)
        .dilation(dilation)
        .same_padding()
}

/// The convolutions of a block.
pub(super) struct Plan {
    /// Those of each branch, from the input on.
    pub(super) branches: Vec<Vec<Conv2dConfig>>,
    /// The number in the first branch's name.
    pub(super) first: usize,
    pub(super) out_channels: usize,
    /// `None` for the identity.
    pub(super) shortcut: Option<Conv2dConfig>,
    pub(super) scale: f64,
}

impl Plan {
    pub(super) fn build(self, vb: &VarBuilder) -> Result<Rfb> {
        if !self.scale.is_finite() {
            return Err(invalid(LAYER, "scale", self.scale, "it must be finite").at(vb.path()));
        }
        let brick = |conv: &Conv2dConfig, act, vb: &VarBuilder| {
            let conv = conv.clone().init(Init::KaimingNormal);
            ConvNormActConfig::new(conv)
                .act(act)
                .momentum(0.01)
                .build(vb)
        };
        let mut branches = Vec::new();
        let mut width = 0usize;
        for (b, convs) in self.branches.iter().enumerate() {
            let vb = vb / format_args!("branch{}", self.first + b);
            let mut branch = Vec::new();
            for (k, conv) in convs.iter().enumerate() {
                let last = k + 1 == convs.len();
                let act = if last {
                    Activation::Identity
                } else {
                    Activation::Relu
                };
                branch.push(brick(conv, act, &(&vb / k))?);
            }
            width = width.saturating_add(convs.last().map_or(0, |c| c.out_channels));
            branches.push(branch);
        }
        let linear = |conv, name| brick(conv, Activation::Identity, &(vb / name));
        let shortcut = self.shortcut.as_ref().map(|conv| linear(conv, "shortcut"));
        Ok(Rfb {
            path: Arc::clone(vb.path()),
            branches,
            first: self.first,
            linear: linear(&conv(width, self.out_channels, 1), "ConvLinear")?,
            shortcut: shortcut.transpose()?,
            scale: self.scale,
        })
    }
}

/// A receptive field block of any of the networks that have one.
#[derive(Debug)]
pub struct Rfb {
    path: Arc<str>,
    branches: Vec<Vec<ConvNormAct>>,
    first: usize,
    linear: ConvNormAct,
    shortcut: Option<ConvNormAct>,
    scale: f64,
}

impl Layer for Rfb {
    fn visit(&self, v: &mut dyn Visitor) {
        for (b, branch) in self.branches.iter().enumerate() {
            for (k, conv) in branch.iter().enumerate() {
                v.child(&format!("branch{}.{k}", self.first + b), conv);
            }
        }
        v.child("ConvLinear", &self.linear);
        if let Some(shortcut) = &self.shortcut {
            v.child("shortcut", shortcut);
        }
    }
}

impl Module for Rfb {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let through = |branch: &Vec<ConvNormAct>| {
                branch
                    .iter()
                    .try_fold(x.clone(), |x, conv| conv.forward(&x))
            };
            let seen = self
                .branches
                .iter()
                .map(through)
                .collect::<Result<Vec<_>>>()?;
            let seen = Tensor::cat(&seen.iter().collect::<Vec<_>>(), 1)?;
            let shortcut = match &self.shortcut {
                Some(shortcut) => shortcut.forward(x)?,
                None => x.clone(),
            };
            self.linear
                .forward_scaled_onto(self.scale, &shortcut, Activation::Relu, &seen)
        })
    }
}
