//! The channel half of CBAM: weighs channels by a shared perceptron of several poolings.
//!
//! `y = x * sigmoid(sum over pools of MLP(pool(x)))`, `MLP = W2 relu(W1 . + b1) + b2`
//!
//! Paper: as [`Cbam`](super::Cbam). The poolings beside mean and maximum are those of the released
//! code. Parameters: `2*C*R + R + C`, `R = C / reduction`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::basic::Perceptron;
use crate::probe::{self, ProbeKind};
use crate::util::{invalid, reduced_channels};
use crate::{Layer, Module, Rounding, VarBuilder, Visitor};

/// How a channel's map becomes one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelPool {
    /// Its mean.
    Avg,
    /// Its maximum.
    Max,
    /// Its 2-norm, `sqrt(sum x^2)`, which is not averaged. Its gradient at a map of zeros is not
    /// finite.
    Lp,
    /// `ln(sum exp(x))`
    Lse,
}

impl ChannelPool {
    /// The pooling of that name.
    ///
    /// # Errors
    /// There is none; the text lists those there are.
    pub fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "avg" => Self::Avg,
            "max" => Self::Max,
            "lp" => Self::Lp,
            "lse" => Self::Lse,
            _ => {
                return Err(invalid(
                    "ChannelGate",
                    "pools",
                    name,
                    "each must be avg, max, lp or lse",
                ));
            }
        })
    }

    /// `[N, C, H, W] -> [N, C]`
    fn apply(self, x: &Tensor) -> Result<Tensor> {
        let [n, c, _, _] = x.dims4()?;
        match self {
            Self::Avg => x.mean(&[2, 3], false),
            Self::Max => x.adaptive_max_pool2d([1, 1])?.reshape([n, c]),
            Self::Lp => x.square()?.sum(&[2, 3], false)?.sqrt(),
            Self::Lse => x.flatten(2, 3)?.logsumexp(2),
        }
    }
}

/// How to build a [`ChannelGate`].
#[derive(Clone, Debug)]
pub struct ChannelGateConfig {
    /// Number of channels.
    pub channels: usize,
    /// How many times fewer channels the bottleneck has.
    pub reduction: usize,
    /// The poolings, whose logits are added.
    pub pools: Vec<ChannelPool>,
}

impl ChannelGateConfig {
    /// Reduction 16, mean and maximum.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            reduction: 16,
            pools: vec![ChannelPool::Avg, ChannelPool::Max],
        }
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets the poolings.
    #[must_use]
    pub fn pools(mut self, pools: impl Into<Vec<ChannelPool>>) -> Self {
        self.pools = pools.into();
        self
    }

    /// Builds the module: linear layers `mlp.1` and `mlp.3`, as in the released code.
    ///
    /// # Errors
    /// There is no pooling or one twice, a number is 0, or the reduced width would be.
    pub fn build(&self, vb: &VarBuilder) -> Result<ChannelGate> {
        const LAYER: &str = "ChannelGate";
        let check = || {
            let twice = self
                .pools
                .iter()
                .enumerate()
                .any(|(i, p)| self.pools[..i].contains(p));
            if self.pools.is_empty() || twice {
                let rule = "there must be at least one, and each only once";
                return Err(invalid(LAYER, "pools", &self.pools, rule));
            }
            reduced_channels(LAYER, self.channels, self.reduction, Rounding::Floor)
        };
        let width = check().map_err(|e| e.at(vb.path()))?;
        // Between a flatten `0` and a ReLU `2` in the released code.
        let mlp = Perceptron::linear([self.channels, width], ["1", "3"], &(vb / "mlp"))?;
        Ok(ChannelGate {
            path: Arc::clone(vb.path()),
            pools: self.pools.clone(),
            mlp,
        })
    }
}

/// The channel gate. Emits its factors as [`ProbeKind::ChannelGate`].
#[derive(Debug)]
pub struct ChannelGate {
    path: Arc<str>,
    pools: Vec<ChannelPool>,
    mlp: Perceptron,
}

impl ChannelGate {
    /// The factors of the channels of `x`, `[N, C, 1, 1]`.
    ///
    /// # Errors
    /// `x` is no `[N, C, H, W]` of the configured channels.
    pub fn gate(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, c, _, _] = x.dims_array("ChannelGate")?;
            let mut logits: Option<Tensor> = None;
            let pooled = self.pool(x)?;
            for pooled in &pooled {
                let one = self.mlp.forward(pooled)?;
                logits = Some(match logits {
                    Some(sum) => sum.add(&one)?,
                    None => one,
                });
            }
            let logits = logits
                .ok_or_else(|| invalid("ChannelGate", "pools", &self.pools, "there must be one"))?;
            let gate = logits.sigmoid()?;
            probe::emit(&self.path, ProbeKind::ChannelGate, &gate);
            gate.reshape([n, c, 1, 1])
        })
    }
}

impl ChannelGate {
    /// What each pooling makes of the map, `[N, C]`.
    fn pool(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        use ChannelPool::{Avg, Max};
        if x.tracks_grad() || ![Avg, Max].iter().all(|p| self.pools.contains(p)) {
            return self.pools.iter().map(|pool| pool.apply(x)).collect();
        }
        // Without a gradient, of which the first of equal maxima gets all, both are read off at once.
        let both = x.max_and_mean(&[2, 3])?;
        let one = |pool: &ChannelPool| match pool {
            Max => both.select(0, 0),
            Avg => both.select(0, 1),
            other => other.apply(x),
        };
        self.pools.iter().map(one).collect()
    }
}

impl Layer for ChannelGate {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("mlp", &self.mlp);
    }
}

impl Module for ChannelGate {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let gate = self.gate(x)?;
        scope(&self.path, || x.mul(&gate))
    }
}
