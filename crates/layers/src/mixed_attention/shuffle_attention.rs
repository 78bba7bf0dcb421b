//! Shuffle attention: in every group of channels half of them get a gate of their own and the other
//! half a gate for every pixel; then the channels of the groups are mixed.
//!
//! ```text
//! x0, x1 = the halves of a group
//! y0 = x0 * sigmoid(cw * mean_hw(x0) + cb)
//! y1 = x1 * sigmoid(sw * norm(x1) + sb)      norm: of each map, with a learned scale and shift
//! y  = channel_shuffle([y0, y1] of all groups, 2)
//! ```
//!
//! Paper: Zhang, Yang, *SA-Net: Shuffle Attention for Deep Convolutional Neural Networks*, ICASSP 2021,
//! arXiv:2102.00240. Departures: both halves are written as `x * sigmoid(a x + b)` with numbers for
//! each sample and channel, so that no half is ever cut out or put back.
//! Parameters: `6 C / (2 G)`, shared by the groups.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::basic::channel_shuffle;
use crate::probe::{self, ProbeKind};
use crate::util::{at_least_one, invalid};
use crate::{GroupNorm, GroupNormConfig, Init, Layer, Module, Parameter, VarBuilder, Visitor};

const LAYER: &str = "ShuffleAttention";

/// How to build a [`ShuffleAttention`].
#[derive(Clone, Debug)]
pub struct ShuffleAttentionConfig {
    /// Number of channels.
    pub channels: usize,
    /// Number of groups.
    pub groups: usize,
}

impl ShuffleAttentionConfig {
    /// 8 groups.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            groups: 8,
        }
    }

    /// Sets the number of groups; the released code has 64 for ImageNet.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Builds the module: `cweight`, `cbias`, `sweight`, `sbias`, all `[1, C/2G, 1, 1]`, and `gn`.
    ///
    /// # Errors
    /// A number is 0, or the channels are no multiple of twice the groups.
    pub fn build(&self, vb: &VarBuilder) -> Result<ShuffleAttention> {
        let check = || {
            at_least_one(LAYER, "channels", self.channels)?;
            at_least_one(LAYER, "groups", self.groups)?;
            if !self.channels.is_multiple_of(self.groups.saturating_mul(2)) {
                let rule = format!("it must be a multiple of twice the {} groups", self.groups);
                return Err(invalid(LAYER, "channels", self.channels, rule));
            }
            Ok(self.channels / 2 / self.groups)
        };
        let half = check().map_err(|e| e.at(vb.path()))?;
        let shape = [1, half, 1, 1];
        let weight = |name: &str, init| vb.parameter(name, &shape, init);
        let norm = GroupNormConfig::new(half, half);
        Ok(ShuffleAttention {
            path: Arc::clone(vb.path()),
            channels: self.channels,
            groups: self.groups,
            cweight: weight("cweight", Init::ZEROS)?,
            cbias: weight("cbias", Init::ONES)?,
            sweight: weight("sweight", Init::ZEROS)?,
            sbias: weight("sbias", Init::ONES)?,
            eps: norm.eps,
            gn: norm.build(&(vb / "gn"))?,
        })
    }
}

/// The attention module. Emits its gates, before the channels are mixed, as [`ProbeKind::FullGate`].
#[derive(Debug)]
pub struct ShuffleAttention {
    path: Arc<str>,
    channels: usize,
    groups: usize,
    cweight: Parameter,
    cbias: Parameter,
    sweight: Parameter,
    sbias: Parameter,
    eps: f64,
    gn: GroupNorm,
}

impl Layer for ShuffleAttention {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("cweight", &self.cweight);
        v.parameter("cbias", &self.cbias);
        v.parameter("sweight", &self.sweight);
        v.parameter("sbias", &self.sbias);
        v.child("gn", &self.gn);
    }
}

impl ShuffleAttention {
    /// `a` and `b` of the gates `sigmoid(a x + b)`, each `[N, C, 1, 1]`.
    fn scale_and_shift(&self, x: &Tensor) -> Result<[Tensor; 2]> {
        let n = x.shape()[0];
        let half = self.cweight.numel();
        // Of each group first the half that is weighed by channel, then the half weighed by pixel.
        let parts = |t: Tensor| t.reshape([n, self.groups, 2, half]);
        let part = |t: &Tensor, i| t.narrow(2, i, 1);
        let row = |p: &Parameter| p.tensor().reshape(half);
        let mean = parts(x.mean(&[2, 3], false)?)?;
        let var = parts(x.var(&[2, 3], 0, false)?)?;

        let channel = part(&mean, 0)?.mul(&row(&self.cweight)?)?;
        let channel = channel.add(&row(&self.cbias)?)?;

        let sweight = row(&self.sweight)?;
        let scale = row(self.gn.weight())?.mul(&sweight)?;
        let shift = row(self.gn.bias())?
            .mul(&sweight)?
            .add(&row(&self.sbias)?)?;
        let scale = part(&var, 1)?.add_scalar(self.eps)?.rsqrt()?.mul(&scale)?;
        let shift = shift.sub(&part(&mean, 1)?.mul(&scale)?)?;

        let both =
            |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], 2)?.reshape([n, self.channels, 1, 1]);
        Ok([both(&scale.zeros_like()?, &scale)?, both(&channel, &shift)?])
    }
}

impl Module for ShuffleAttention {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [_, c, _, _] = x.dims_array(LAYER)?;
            if c != self.channels {
                let rule = format!("it must be the channels of the input {:?}", x.shape());
                return Err(invalid(LAYER, "channels", self.channels, rule));
            }
            let [scale, shift] = self.scale_and_shift(x)?;
            let gate = x.mul(&scale)?.add(&shift)?.sigmoid()?;
            probe::emit(&self.path, ProbeKind::FullGate, &gate);
            channel_shuffle(&x.mul(&gate)?, 2)
        })
    }
}
