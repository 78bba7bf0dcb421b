//! Res2Net's bottleneck: inside a block, each part of the channels reads what the part before it has
//! computed, so that the parts see regions of growing size.
//!
//! ```text
//! p_1 .. p_s = split(relu(bn1(conv1x1(x))))          s parts of w channels
//! y_1 = K_1(p_1)                                     K = relu(bn(conv3x3))
//! y_i = K_i(p_i + y_(i-1))                           1 < i < s
//! y_s = p_s
//! y   = relu(bn3(conv1x1([y_1 .. y_s])) + shortcut(x))
//! ```
//! Where the shape changes, the parts do not read each other and `y_s` is a 3x3 mean of `p_s`.
//!
//! Paper: Gao et al., *Res2Net: A New Multi-scale Backbone Architecture*, TPAMI 2021,
//! arXiv:1904.01169. Departures: none.
//! Parameters: with `W = s*w`: `C*W + 2*W + (s-1)*(9*w*w/g + 2*w) + W*O + 2*O`, and `C*O + 2*O` for a
//! shortcut that is not the identity.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Divisor, PoolOptions, Result, Tensor};

use crate::channel_attention::projection;
use crate::util::{at_least_one, invalid};
use crate::{
    Activation, Conv2dConfig, ConvNormAct, ConvNormActConfig, Layer, Module, Sequential,
    VarBuilder, Visitor,
};

/// How to build a [`Res2Net`].
#[derive(Clone, Debug)]
pub struct Res2NetConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of each part.
    pub width: usize,
    /// Number of parts.
    pub scale: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Stride.
    pub stride: usize,
    /// Groups of the 3x3 convolutions.
    pub groups: usize,
}

impl Res2NetConfig {
    /// Four parts of that width, stride 1, one group.
    #[must_use]
    pub fn new(in_channels: usize, width: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            width,
            scale: 4,
            out_channels,
            stride: 1,
            groups: 1,
        }
    }

    /// Sets the number of parts.
    #[must_use]
    pub fn scale(mut self, scale: usize) -> Self {
        self.scale = scale;
        self
    }

    /// Sets the stride.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the groups of the 3x3 convolutions.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Builds the block under the released code's names: `conv1`, `bn1`, `convs.0`, `bns.0`, ...,
    /// `conv3`, `bn3`, `downsample`.
    ///
    /// # Errors
    /// A number is 0, the groups do not divide the width, or there are more than 64 parts.
    pub fn build(&self, vb: &VarBuilder) -> Result<Res2Net> {
        const LAYER: &str = "Res2Net";
        let check = || {
            at_least_one(LAYER, "width", self.width)?;
            at_least_one(LAYER, "scale", self.scale)?;
            if self.scale > 64 {
                return Err(invalid(LAYER, "scale", self.scale, "it must be at most 64"));
            }
            let joined = self.width.checked_mul(self.scale);
            joined.ok_or_else(|| invalid(LAYER, "width", self.width, "the channels must fit"))
        };
        let joined = check().map_err(|e| e.at(vb.path()))?;
        let layer = |conv, act, names: [String; 2]| {
            let [conv_name, norm_name] = names;
            let config = ConvNormActConfig::new(conv).names(conv_name, norm_name);
            config.act(act).build(vb)
        };
        let (relu, none) = (Activation::Relu, Activation::Identity);
        let names = |i: usize| [format!("conv{i}"), format!("bn{i}")];
        let convolved = self.scale.saturating_sub(1).max(1);
        let parts = (0..convolved).map(|i| {
            let conv = Conv2dConfig::new(self.width, self.width, 3)
                .stride(self.stride)
                .padding(1)
                .groups(self.groups);
            layer(conv, relu, [format!("convs.{i}"), format!("bns.{i}")])
        });
        let [i, o] = [self.in_channels, self.out_channels];
        Ok(Res2Net {
            path: Arc::clone(vb.path()),
            widen: layer(Conv2dConfig::new(i, joined, 1), relu, names(1))?,
            parts: parts.collect::<Result<_>>()?,
            join: layer(Conv2dConfig::new(joined, o, 1), none, names(3))?,
            downsample: projection(i, o, self.stride.into(), &(vb / "downsample"))?,
            sizes: vec![self.width; self.scale],
            stride: self.stride,
        })
    }
}

/// A bottleneck whose parts build on each other.
#[derive(Debug)]
pub struct Res2Net {
    path: Arc<str>,
    widen: ConvNormAct,
    parts: Vec<ConvNormAct>,
    join: ConvNormAct,
    downsample: Option<Sequential>,
    /// Channels of each part.
    sizes: Vec<usize>,
    stride: usize,
}

impl Res2Net {
    fn scales(&self, parts: &[Tensor]) -> Result<Tensor> {
        let builds_up = self.downsample.is_none();
        let mut outputs: Vec<Tensor> = Vec::with_capacity(parts.len());
        for (layer, part) in self.parts.iter().zip(parts) {
            let y = match outputs.last() {
                Some(before) if builds_up => layer.forward(&before.add(part)?)?,
                _ => layer.forward(part)?,
            };
            outputs.push(y);
        }
        if let Some(last) = parts.get(self.parts.len()) {
            outputs.push(if builds_up {
                last.clone()
            } else {
                let window = PoolOptions::new(3).stride(self.stride).padding(1);
                last.avg_pool2d(window, Divisor::IncludePad)?
            });
        }
        Tensor::cat(&outputs.iter().collect::<Vec<_>>(), 1)
    }
}

impl Layer for Res2Net {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("", &self.widen);
        for part in &self.parts {
            v.child("", part);
        }
        v.child("", &self.join);
        if let Some(downsample) = &self.downsample {
            v.child("downsample", downsample);
        }
    }
}

impl Module for Res2Net {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let shortcut = match &self.downsample {
                Some(projection) => projection.forward(x)?,
                None => x.clone(),
            };
            let parts = self.widen.forward(x)?.split(&self.sizes, 1)?;
            let joined = self.scales(&parts)?;
            self.join.forward_onto(&shortcut, Activation::Relu, &joined)
        })
    }
}
