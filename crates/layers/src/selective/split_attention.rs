//! Split attention: a grouped convolution makes several versions of every channel, and a softmax
//! chooses between them.
//!
//! ```text
//! U_1 .. U_R = relu(bn0(conv(x)))                                  R*O channels, R the radix
//! a          = r_softmax(W2 relu(bn1(W1 mean_hw(U_1 + ... + U_R) + b1)) + b2)
//! y          = sum over r of a_r * U_r
//! ```
//!
//! The softmax runs over the radix, separately for every channel; with radix 1 it is a sigmoid. Paper:
//! Zhang et al., *ResNeSt: Split-Attention Networks*, CVPR 2022 workshops, arXiv:2004.08955.
//! Departures: the mean of the sum is the sum of the means. Names are timm's and the released code's.
//! Parameters: `k*k*I*O/g + 2*R*O + O*A/g + 3*A + A*R*O/g + R*O`, `A = max(32, I*R/4)` to a
//! multiple of 8.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::select::choose;
use crate::util::{at_least_one, invalid, make_divisible};
use crate::{
    Conv2d, Conv2dConfig, ConvNormAct, ConvNormActConfig, Layer, Module, Pair, VarBuilder, Visitor,
    probe,
};

const LAYER: &str = "SplitAttention";

/// How to build a [`SplitAttention`].
#[derive(Clone, Debug)]
pub struct SplitAttentionConfig {
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
    /// The paper's cardinality.
    pub groups: usize,
    /// Versions of every channel.
    pub radix: usize,
    /// Width of the attention, instead of one from the input's channels.
    pub rd_channels: Option<usize>,
}

impl SplitAttentionConfig {
    /// A 3x3 convolution with padding 1, radix 2, one group.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: 3.into(),
            stride: 1.into(),
            padding: 1.into(),
            groups: 1,
            radix: 2,
            rd_channels: None,
        }
    }

    /// Sets the size of the kernel.
    #[must_use]
    pub fn kernel(mut self, kernel: impl Into<Pair>) -> Self {
        self.kernel = kernel.into();
        self
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

    /// Sets the cardinality.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Sets the versions of every channel.
    #[must_use]
    pub fn radix(mut self, radix: usize) -> Self {
        self.radix = radix;
        self
    }

    /// Sets the width of the attention.
    #[must_use]
    pub fn rd_channels(mut self, width: usize) -> Self {
        self.rd_channels = Some(width);
        self
    }

    /// Channels of the convolution, and width of the attention.
    fn widths(&self) -> Result<[usize; 2]> {
        at_least_one(LAYER, "in_channels", self.in_channels)?;
        at_least_one(LAYER, "out_channels", self.out_channels)?;
        at_least_one(LAYER, "groups", self.groups)?;
        at_least_one(LAYER, "radix", self.radix)?;
        let all = self.out_channels.checked_mul(self.radix);
        let all = all.filter(|_| self.groups.checked_mul(self.radix).is_some());
        let all = all.ok_or_else(|| {
            let rule = "times the channels and the groups it must fit";
            invalid(LAYER, "radix", self.radix, rule)
        })?;
        let width = match self.rd_channels {
            Some(width) => at_least_one(LAYER, "rd_channels", width).map(|()| width)?,
            None => {
                let quarter = self.in_channels as f64 * self.radix as f64 / 4.0;
                make_divisible(quarter, 8, 0.9)?.max(32)
            }
        };
        Ok([all, width])
    }

    /// Builds the module: `conv`, `bn0`, `fc1`, `bn1`, `fc2`.
    ///
    /// # Errors
    /// A number is 0, or the channels or the width are no multiple of the groups (times the radix, for
    /// the convolution).
    pub fn build(&self, vb: &VarBuilder) -> Result<SplitAttention> {
        let [all, width] = self.widths().map_err(|e| e.at(vb.path()))?;
        let conv = Conv2dConfig::new(self.in_channels, all, self.kernel)
            .stride(self.stride)
            .padding(self.padding)
            .groups(self.groups * self.radix);
        let fc = |i, o| Conv2dConfig::new(i, o, 1).groups(self.groups);
        let fc1 = ConvNormActConfig::new(fc(self.out_channels, width)).conv_bias(true);
        Ok(SplitAttention {
            path: Arc::clone(vb.path()),
            groups: self.groups,
            radix: self.radix,
            conv: ConvNormActConfig::new(conv)
                .names("conv", "bn0")
                .build(vb)?,
            fc1: fc1.names("fc1", "bn1").build(vb)?,
            fc2: fc(width, all).build(&(vb / "fc2"))?,
        })
    }
}

/// The convolution with split attention. Emits its weights as
/// [`BranchWeights`](crate::probe::ProbeKind::BranchWeights), or with radix 1 its gate as
/// [`ChannelGate`](crate::probe::ProbeKind::ChannelGate).
#[derive(Debug)]
pub struct SplitAttention {
    path: Arc<str>,
    groups: usize,
    radix: usize,
    conv: ConvNormAct,
    fc1: ConvNormAct,
    fc2: Conv2d,
}

impl Layer for SplitAttention {
    fn visit(&self, v: &mut dyn Visitor) {
        self.conv.visit(v);
        self.fc1.visit(v);
        v.child("fc2", &self.fc2);
    }
}

impl Module for SplitAttention {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, H', W']`, those of the convolution.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            x.dims_array::<4>(LAYER)?;
            let radix = self.radix;
            let u = self.conv.forward(x)?;
            let [n, all, _, _] = u.dims4()?;
            let out = all / radix;
            let means = u.mean(&[2, 3], false)?.reshape([n, radix, out])?;
            let mean = means.sum(&[1], false)?.reshape([n, out, 1, 1])?;
            let logits = self.fc2.forward(&self.fc1.forward(&mean)?)?;
            if radix == 1 {
                let gate = logits.sigmoid()?;
                probe::emit_channels(&self.path, &gate)?;
                return u.mul(&gate);
            }
            // The logits lie group by group, the versions of the map version by version.
            let logits = logits.reshape([n, self.groups, radix, out / self.groups])?;
            let logits = logits.transpose(1, 2)?.reshape([n, radix, out])?;
            choose(&self.path, &[&u], &logits)
        })
    }
}
