//! Stochastic gradient descent with momentum.

use serde::{Deserialize, Serialize};
use striate_kernels::optim::Sgd;

use super::{Decay, check};
use crate::error::{Error, Result};

/// Settings of stochastic gradient descent, `torch.optim.SGD` by name and meaning.
///
/// ```text
/// g = gradient + weight_decay * w
/// v = g at a parameter's first step, later momentum * v + (1 - dampening) * g
/// d = g + momentum * v if nesterov, else v
/// w = w - learning_rate * d
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SgdConfig {
    /// The share of the last velocity that is kept.
    pub momentum: f64,
    /// The share of the gradient that the velocity does not take.
    pub dampening: f64,
    /// Whether to look ahead along the velocity.
    pub nesterov: bool,
    /// The strength of the pull towards zero.
    pub weight_decay: f64,
    /// What is pulled.
    pub decay: Decay,
}

impl Default for SgdConfig {
    /// Momentum 0.9, nothing else.
    fn default() -> Self {
        Self {
            momentum: 0.9,
            dampening: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            decay: Decay::All,
        }
    }
}

impl SgdConfig {
    pub(super) fn check(&self) -> Result<()> {
        let Self {
            momentum,
            dampening,
            nesterov,
            weight_decay,
            ..
        } = *self;
        check(
            "momentum",
            momentum,
            "0 to 1",
            (0.0..=1.0).contains(&momentum),
        )?;
        check(
            "dampening",
            dampening,
            "0 to 1",
            (0.0..=1.0).contains(&dampening),
        )?;
        check(
            "weight decay",
            weight_decay,
            "at least 0",
            weight_decay >= 0.0,
        )?;
        if nesterov && (momentum == 0.0 || dampening != 0.0) {
            let detail = "needs a momentum above 0 and a dampening of 0";
            return Err(Error::config("nesterov", detail));
        }
        Ok(())
    }

    pub(super) fn slots(&self) -> &'static [&'static str] {
        if self.momentum == 0.0 {
            &[]
        } else {
            &["momentum_buffer"]
        }
    }

    /// The rule for a parameter's `step`-th change, counted from 1.
    pub(super) fn rule(&self, learning_rate: f64, decays: bool, step: u64) -> Sgd {
        Sgd {
            learning_rate,
            momentum: self.momentum,
            dampening: self.dampening,
            weight_decay: if decays { self.weight_decay } else { 0.0 },
            nesterov: self.nesterov,
            first: step == 1,
        }
    }
}
