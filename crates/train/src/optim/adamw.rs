//! Adam with decoupled weight decay.

use serde::{Deserialize, Serialize};
use striate_kernels::optim::AdamW;

use super::{Decay, check};
use crate::error::Result;

/// Settings of AdamW (Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019), `torch.optim.AdamW` by name and
/// meaning.
///
/// ```text
/// w = w * (1 - learning_rate * weight_decay)
/// m = betas[0] * m + (1 - betas[0]) * g
/// v = betas[1] * v + (1 - betas[1]) * g^2
/// w = w - learning_rate / (1 - betas[0]^t) * m / (sqrt(v / (1 - betas[1]^t)) + eps)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamWConfig {
    /// The decay of the two moments.
    pub betas: [f64; 2],
    /// What keeps the division from zero.
    pub eps: f64,
    /// The strength of the pull towards zero.
    pub weight_decay: f64,
    /// What is pulled.
    pub decay: Decay,
}

impl Default for AdamWConfig {
    /// PyTorch's.
    fn default() -> Self {
        Self {
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.01,
            decay: Decay::All,
        }
    }
}

impl AdamWConfig {
    pub(super) fn check(&self) -> Result<()> {
        for beta in self.betas {
            check(
                "beta",
                beta,
                "at least 0 and below 1",
                (0.0..1.0).contains(&beta),
            )?;
        }
        check("eps", self.eps, "at least 0", self.eps >= 0.0)?;
        check(
            "weight decay",
            self.weight_decay,
            "at least 0",
            self.weight_decay >= 0.0,
        )
    }

    /// The rule for a parameter's `step`-th change, counted from 1.
    pub(super) fn rule(&self, learning_rate: f64, decays: bool, step: u64) -> AdamW {
        AdamW {
            learning_rate,
            betas: self.betas,
            epsilon: self.eps,
            weight_decay: if decays { self.weight_decay } else { 0.0 },
            step,
        }
    }
}
