//! Inverted residual: widen, filter each channel, narrow without an activation, and add the input.
//!
//! ```text
//! h = relu6(bn(conv1x1(x)))            t*C channels; left out if t = 1
//! h = relu6(bn(depthwise3x3(h)))       with the stride
//! y = bn(conv1x1(h)) [+ x]             + x if the stride is 1 and the channels stay
//! ```
//!
//! Paper: Sandler et al., *MobileNetV2: Inverted Residuals and Linear Bottlenecks*, CVPR 2018,
//! arXiv:1801.04381. Departures: none.
//! Parameters: with `E = t*C`: `C*E + 2*E` (if `t > 1`) `+ 9*E + 2*E + E*O + 2*O`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::util::{at_least_one, invalid};
use crate::{
    Activation, Conv2dConfig, ConvNormAct, ConvNormActConfig, Init, Layer, Module, VarBuilder,
    Visitor,
};

/// How to build an [`InvertedResidual`].
#[derive(Clone, Debug)]
pub struct InvertedResidualConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Stride of the depthwise convolution.
    pub stride: usize,
    /// How many times wider it is inside, the paper's `t`.
    pub expand_ratio: usize,
}

impl InvertedResidualConfig {
    /// The paper's: stride 1, six times wider inside.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            stride: 1,
            expand_ratio: 6,
        }
    }

    /// Sets the stride.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets how many times wider it is inside; 1 leaves out the first convolution.
    #[must_use]
    pub fn expand_ratio(mut self, ratio: usize) -> Self {
        self.expand_ratio = ratio;
        self
    }

    /// Builds the module under torchvision's names: the layers of `conv`.
    ///
    /// # Errors
    /// A number is 0, or the stride is neither 1 nor 2.
    pub fn build(&self, vb: &VarBuilder) -> Result<InvertedResidual> {
        const LAYER: &str = "InvertedResidual";
        let check = || {
            at_least_one(LAYER, "in_channels", self.in_channels)?;
            at_least_one(LAYER, "expand_ratio", self.expand_ratio)?;
            if !matches!(self.stride, 1 | 2) {
                return Err(invalid(LAYER, "stride", self.stride, "it must be 1 or 2"));
            }
            let width = self.in_channels.checked_mul(self.expand_ratio);
            width.ok_or_else(|| {
                let rule = "the width inside must fit";
                invalid(LAYER, "expand_ratio", self.expand_ratio, rule)
            })
        };
        let width = check().map_err(|e| e.at(vb.path()))?;
        let vb_conv = vb / "conv";
        let layer = |conv: Conv2dConfig, act, names: [String; 2]| {
            let config = ConvNormActConfig::new(conv.init(Init::KaimingNormal)).act(act);
            let [conv, norm] = names;
            config.names(conv, norm).build(&vb_conv)
        };
        let widened = usize::from(self.expand_ratio > 1);
        let inner = |i: usize| [format!("{i}.0"), format!("{i}.1")];
        let expand = (widened == 1).then(|| {
            let conv = Conv2dConfig::new(self.in_channels, width, 1);
            layer(conv, Activation::Relu6, inner(0))
        });
        let depthwise = Conv2dConfig::new(width, width, 3)
            .stride(self.stride)
            .padding(1)
            .groups(width);
        Ok(InvertedResidual {
            path: Arc::clone(vb.path()),
            expand: expand.transpose()?,
            depthwise: layer(depthwise, Activation::Relu6, inner(widened))?,
            project: layer(
                Conv2dConfig::new(width, self.out_channels, 1),
                Activation::Identity,
                [(widened + 1).to_string(), (widened + 2).to_string()],
            )?,
            adds_input: self.stride == 1 && self.in_channels == self.out_channels,
        })
    }
}

/// The block of MobileNetV2.
#[derive(Debug)]
pub struct InvertedResidual {
    path: Arc<str>,
    expand: Option<ConvNormAct>,
    depthwise: ConvNormAct,
    project: ConvNormAct,
    adds_input: bool,
}

impl Layer for InvertedResidual {
    fn visit(&self, v: &mut dyn Visitor) {
        if let Some(expand) = &self.expand {
            v.child("conv", expand);
        }
        v.child("conv", &self.depthwise);
        v.child("conv", &self.project);
    }
}

impl Module for InvertedResidual {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let h = match &self.expand {
                Some(expand) => self.depthwise.forward(&expand.forward(x)?)?,
                None => self.depthwise.forward(x)?,
            };
            if self.adds_input {
                self.project.forward_onto(x, Activation::Identity, &h)
            } else {
                self.project.forward(&h)
            }
        })
    }
}

/// How other implementations name the same weights.
pub mod invres_key_maps {
    use crate::KeyMap;

    /// timm's blocks that widen: `conv_pw, bn1, conv_dw, bn2, conv_pwl, bn3`.
    #[must_use]
    pub fn timm() -> KeyMap {
        KeyMap::new()
            .rename("conv_pw", "conv.0.0")
            .rename("bn1", "conv.0.1")
            .rename("conv_dw", "conv.1.0")
            .rename("bn2", "conv.1.1")
            .rename("conv_pwl", "conv.2")
            .rename("bn3", "conv.3")
    }

    /// timm's first block, which does not widen: `conv_dw, bn1, conv_pw, bn2`.
    #[must_use]
    pub fn timm_first() -> KeyMap {
        KeyMap::new()
            .rename("conv_dw", "conv.0.0")
            .rename("bn1", "conv.0.1")
            .rename("conv_pw", "conv.1")
            .rename("bn2", "conv.2")
    }
}
