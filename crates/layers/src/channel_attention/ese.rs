//! Effective squeeze-and-excitation: one full linear map instead of a bottleneck, and a piecewise
//! linear gate.
//!
//! `y = x * hardsigmoid(W mean_hw(x) + b)`
//!
//! Paper: Lee, Park, *CenterMask: Real-Time Anchor-Free Instance Segmentation*, CVPR 2020,
//! arXiv:1911.06667. Departures: the linear map is a 1x1 convolution, as in the released code.
//! Parameters: `C*C + C`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::se::{Gate, Squeeze};
use crate::module::Means;
use crate::{Conv2d, Conv2dConfig, Layer, Module, VarBuilder, Visitor, probe};

/// How to build an [`EffectiveSe`].
#[derive(Clone, Debug)]
pub struct EffectiveSeConfig {
    /// Number of channels.
    pub channels: usize,
    /// How a map becomes a number.
    pub squeeze: Squeeze,
    /// Makes the factor.
    pub gate: Gate,
}

impl EffectiveSeConfig {
    /// The paper's: means, hard sigmoid.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            squeeze: Squeeze::Avg,
            gate: Gate::HardSigmoid,
        }
    }

    /// Sets how a map becomes a number.
    #[must_use]
    pub fn squeeze(mut self, squeeze: Squeeze) -> Self {
        self.squeeze = squeeze;
        self
    }

    /// Sets what makes the factor.
    #[must_use]
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gate = gate;
        self
    }

    /// Builds the module: `fc`, as in the released code and in timm.
    ///
    /// # Errors
    /// There are no channels.
    pub fn build(&self, vb: &VarBuilder) -> Result<EffectiveSe> {
        Ok(EffectiveSe {
            path: Arc::clone(vb.path()),
            squeeze: self.squeeze,
            fc: Conv2dConfig::new(self.channels, self.channels, 1).build(&(vb / "fc"))?,
            gate: self.gate,
        })
    }
}

/// The effective squeeze-and-excitation block. Emits its gate as
/// [`ChannelGate`](crate::probe::ProbeKind::ChannelGate).
#[derive(Debug)]
pub struct EffectiveSe {
    path: Arc<str>,
    squeeze: Squeeze,
    fc: Conv2d,
    gate: Gate,
}

impl Layer for EffectiveSe {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("fc", &self.fc);
    }
}

impl Module for EffectiveSe {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            x.dims_array::<4>("EffectiveSe")?;
            x.mul(&self.factors(&self.squeeze.apply(x)?)?)
        })
    }

    fn channel_gate(&self, means: &Means<'_>) -> Option<Result<Tensor>> {
        let of_means = self.squeeze == Squeeze::Avg;
        of_means.then(|| scope(&self.path, || self.factors(&means()?)))
    }
}

impl EffectiveSe {
    /// The factors of channels that were squeezed to `[N, C, 1, 1]`.
    fn factors(&self, squeezed: &Tensor) -> Result<Tensor> {
        let gate = self.gate.apply(&self.fc.forward(squeezed)?)?;
        probe::emit_channels(&self.path, &gate)?;
        Ok(gate)
    }
}
