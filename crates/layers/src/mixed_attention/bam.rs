//! Bottleneck attention: one gate for every element, from a logit of its channel and one of its place.
//!
//! ```text
//! c = W2 relu(bn(W1 mean_hw(x) + b1)) + b2                       for every channel
//! s = conv1x1(dilated3x3(dilated3x3(relu(bn(conv1x1(x))))))      for every pixel, each 3x3 with bn, relu
//! y = x * (1 + sigmoid(c * s))   or   x * (1 + sigmoid(c + s))
//! ```
//!
//! Paper: Park, Woo, Lee, Kweon, *BAM: Bottleneck Attention Module*, BMVC 2018, arXiv:1807.06514. It
//! stands once behind each of the first three stages. Departures: the paper adds the logits and the
//! released code multiplies them, so both are there; means are of the whole map whatever its shape.
//! Parameters: `3*C*R + 18*R*R + C + 13*R + 1`, `R = C / reduction`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Joint, Result, Tensor};

use crate::probe::{self, ProbeKind};
use crate::util::{at_least_one, reduced_channels};
use crate::{
    BatchNorm1d, BatchNormConfig, Conv2d, Conv2dConfig, ConvNormAct, ConvNormActConfig, Layer,
    Linear, LinearConfig, Module, Rounding, VarBuilder, Visitor,
};

const LAYER: &str = "Bam";

/// How the logit of a channel and that of a place become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BamCombine {
    /// Their product: the released code, and its weights.
    Product,
    /// Their sum: the paper.
    Sum,
}

/// How to build a [`Bam`].
#[derive(Clone, Debug)]
pub struct BamConfig {
    /// Number of channels.
    pub channels: usize,
    /// How many times fewer channels the bottlenecks have.
    pub reduction: usize,
    /// Step between the taps of the 3x3 convolutions.
    pub dilation: usize,
    /// How the logits become one.
    pub combine: BamCombine,
}

impl BamConfig {
    /// The released code's: reduction 16, dilation 4, the product.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            reduction: 16,
            dilation: 4,
            combine: BamCombine::Product,
        }
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets the step between the taps of the 3x3 convolutions.
    #[must_use]
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation = dilation;
        self
    }

    /// Sets how the logits become one.
    #[must_use]
    pub fn combine(mut self, combine: BamCombine) -> Self {
        self.combine = combine;
        self
    }

    /// Builds the module: `channel_att.gate_c.*` and `spatial_att.gate_s.*`, as in the released code.
    ///
    /// # Errors
    /// A number is 0, or the reduced width would be.
    pub fn build(&self, vb: &VarBuilder) -> Result<Bam> {
        let (c, r) = (self.channels, self.reduction);
        let width = at_least_one(LAYER, "dilation", self.dilation)
            .and_then(|()| reduced_channels(LAYER, c, r, Rounding::Floor))
            .map_err(|e| e.at(vb.path()))?;
        let (channel, spatial) = (vb / "channel_att" / "gate_c", vb / "spatial_att" / "gate_s");
        let conv = |conv: Conv2dConfig, name, norm| {
            let layers = ConvNormActConfig::new(conv).conv_bias(true);
            layers.names(name, norm).build(&spatial)
        };
        let dilated = Conv2dConfig::new(width, width, 3)
            .dilation(self.dilation)
            .same_padding();
        Ok(Bam {
            path: Arc::clone(vb.path()),
            channel: Channel {
                reduce: LinearConfig::new(c, width).build(&(&channel / "gate_c_fc_0"))?,
                norm: BatchNormConfig::new(width).build_1d(&(&channel / "gate_c_bn_1"))?,
                expand: LinearConfig::new(width, c).build(&(&channel / "gate_c_fc_final"))?,
            },
            spatial: Spatial {
                convs: [
                    conv(
                        Conv2dConfig::new(c, width, 1),
                        "gate_s_conv_reduce0",
                        "gate_s_bn_reduce0",
                    )?,
                    conv(dilated.clone(), "gate_s_conv_di_0", "gate_s_bn_di_0")?,
                    conv(dilated, "gate_s_conv_di_1", "gate_s_bn_di_1")?,
                ],
                last: Conv2dConfig::new(width, 1, 1).build(&(&spatial / "gate_s_conv_final"))?,
            },
            combine: self.combine,
        })
    }
}

/// The logits of the channels.
#[derive(Debug)]
struct Channel {
    reduce: Linear,
    norm: BatchNorm1d,
    expand: Linear,
}

impl Layer for Channel {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("gate_c_fc_0", &self.reduce);
        v.child("gate_c_bn_1", &self.norm);
        v.child("gate_c_fc_final", &self.expand);
    }
}

impl Module for Channel {
    /// `[N, C, H, W] -> [N, C]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let z = self.reduce.forward(&x.mean(&[2, 3], false)?)?;
        self.expand.forward(&self.norm.forward(&z)?.relu()?)
    }
}

/// The logits of the pixels.
#[derive(Debug)]
struct Spatial {
    convs: [ConvNormAct; 3],
    last: Conv2d,
}

impl Layer for Spatial {
    fn visit(&self, v: &mut dyn Visitor) {
        for step in &self.convs {
            step.visit(v);
        }
        v.child("gate_s_conv_final", &self.last);
    }
}

impl Module for Spatial {
    /// `[N, C, H, W] -> [N, 1, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut z = x.clone();
        for step in &self.convs {
            z = step.forward(&z)?;
        }
        self.last.forward(&z)
    }
}

/// The attention module. Emits its gate, without the 1, as [`ProbeKind::FullGate`].
#[derive(Debug)]
pub struct Bam {
    path: Arc<str>,
    channel: Channel,
    spatial: Spatial,
    combine: BamCombine,
}

impl Layer for Bam {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("channel_att.gate_c", &self.channel);
        v.child("spatial_att.gate_s", &self.spatial);
    }
}

impl Module for Bam {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`; in training `N` is at least 2.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, c, _, _] = x.dims_array(LAYER)?;
            let channel = self.channel.forward(x)?.reshape([n, c, 1, 1])?;
            let spatial = self.spatial.forward(x)?;
            let (joint, join): (_, fn(&Tensor, &Tensor) -> Result<Tensor>) = match self.combine {
                BamCombine::Product => (Joint::Product, Tensor::mul),
                BamCombine::Sum => (Joint::Sum, Tensor::add),
            };
            if probe::is_recording() {
                let gate = join(&channel, &spatial)?.sigmoid()?;
                probe::emit(&self.path, ProbeKind::FullGate, &gate);
            }
            x.joint_gate(&channel, &spatial, joint)
        })
    }
}
