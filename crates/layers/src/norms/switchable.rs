//! Switchable normalisation: learns how much of its statistics are those of the instance, of the layer
//! and of the batch.
//!
//! ```text
//! mean = sum over k of softmax(mean_weight)_k * mean_k        k: instance, layer, batch
//! var  = sum over k of softmax(var_weight)_k * var_k
//! y    = (x - mean) / sqrt(var + eps) * weight + bias
//! ```
//! In evaluation the running statistics stand for the batch's.
//!
//! Paper: Luo, Ren, Peng, Zhang, Li, *Differentiable Learning-to-Normalize via Switchable
//! Normalization*, ICLR 2019, arXiv:1806.10779.
//! Departures: the instance's variance is the unbiased one, as in the released code, and the others are
//! built from it; [`SwitchableNormConfig::unbiased`] sets the paper's. Running statistics start at 0.
//! Parameters: `2*C + 6`, or `2*C + 4` without the batch.

use std::sync::Arc;

use striate_tensor::autograd::{is_recomputing, scope};
use striate_tensor::{Error, Result, Tensor, no_grad};

use crate::probe::{self, ProbeKind};
use crate::util::invalid;
use crate::{Buffer, Init, Layer, Mode, Module, Parameter, VarBuilder, Visitor};

const LAYER: &str = "SwitchableNorm";

/// How to build a [`SwitchableNorm`].
#[derive(Clone, Debug)]
pub struct SwitchableNormConfig {
    /// Number of channels.
    pub channels: usize,
    /// Added to the variance.
    pub eps: f64,
    /// Weight of the newest batch in the running statistics.
    pub momentum: f64,
    /// Whether the statistics of the batch are among the choices.
    pub batch: bool,
    /// Whether the instance's variance is divided by one less than there are pixels.
    pub unbiased: bool,
    /// Where the scale starts.
    pub weight_init: Init,
}

impl SwitchableNormConfig {
    /// The released code's: `eps` 1e-5, momentum 0.1, all three, unbiased.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            eps: 1e-5,
            momentum: 0.1,
            batch: true,
            unbiased: true,
            weight_init: Init::ONES,
        }
    }

    /// Sets what is added to the variance.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Sets the weight of the newest batch in the running statistics.
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Chooses among all three, or between instance and layer.
    #[must_use]
    pub fn batch(mut self, batch: bool) -> Self {
        self.batch = batch;
        self
    }

    /// Takes the unbiased variance of an instance, or the biased one as in the paper.
    #[must_use]
    pub fn unbiased(mut self, unbiased: bool) -> Self {
        self.unbiased = unbiased;
        self
    }

    /// Sets where the scale starts; 0 makes a residual branch start as nothing.
    #[must_use]
    pub fn weight_init(mut self, init: Init) -> Self {
        self.weight_init = init;
        self
    }

    /// Builds the layer under the released code's names: `weight` and `bias` `[1, C, 1, 1]`,
    /// `mean_weight`, `var_weight`, `running_mean` and `running_var` `[1, C, 1]`.
    ///
    /// # Errors
    /// There are no channels, `eps` is not positive, or the momentum is not within 0 and 1.
    pub fn build(&self, vb: &VarBuilder) -> Result<SwitchableNorm> {
        let check = || {
            super::check(LAYER, self.channels, self.eps)?;
            if !(0.0..=1.0).contains(&self.momentum) {
                let rule = "it must be within 0 and 1";
                return Err(invalid(LAYER, "momentum", self.momentum, rule));
            }
            Ok(())
        };
        check().map_err(|e| e.at(vb.path()))?;
        let channels = [1, self.channels, 1, 1];
        let choices = [2 + usize::from(self.batch)];
        let running = self.batch.then(|| -> Result<_> {
            Ok([
                vb.buffer("running_mean", &channels[..3], Init::ZEROS)?,
                vb.buffer("running_var", &channels[..3], Init::ZEROS)?,
            ])
        });
        Ok(SwitchableNorm {
            path: Arc::clone(vb.path()),
            weight: vb.parameter("weight", &channels, self.weight_init)?,
            bias: vb.parameter("bias", &channels, Init::ZEROS)?,
            mean_weight: vb.parameter("mean_weight", &choices, Init::ONES)?,
            var_weight: vb.parameter("var_weight", &choices, Init::ONES)?,
            running: running.transpose()?,
            mode: Mode::new(),
            config: self.clone(),
        })
    }
}

/// A mixture of three normalisations. Emits the shares of their means as
/// [`ProbeKind::BranchWeights`].
#[derive(Debug)]
pub struct SwitchableNorm {
    path: Arc<str>,
    weight: Parameter,
    bias: Parameter,
    mean_weight: Parameter,
    var_weight: Parameter,
    /// Running mean and variance.
    running: Option<[Buffer; 2]>,
    mode: Mode,
    config: SwitchableNormConfig,
}

impl SwitchableNorm {
    /// Mean and variance of the batch, `[1, C]`: of this one, or the running ones.
    fn of_batch(
        &self,
        running: &[Buffer; 2],
        mean: &Tensor,
        square: &Tensor,
    ) -> Result<[Tensor; 2]> {
        if !self.mode.training() {
            let stored = |b: &Buffer| b.tensor().reshape([1, self.config.channels]);
            return Ok([stored(&running[0])?, stored(&running[1])?]);
        }
        let mean = mean.mean(&[0], true)?;
        let var = square.mean(&[0], true)?.sub(&mean.square()?)?;
        if !is_recomputing() {
            no_grad(|| {
                for (buffer, new) in running.iter().zip([&mean, &var]) {
                    let kept = buffer.tensor().mul_scalar(1.0 - self.config.momentum)?;
                    let new = new
                        .mul_scalar(self.config.momentum)?
                        .reshape(kept.shape())?;
                    buffer.set(&kept.add(&new)?)?;
                }
                Ok::<_, Error>(())
            })?;
        }
        Ok([mean, var])
    }

    /// The sum of the statistics, each `[N or 1, C or 1]`, weighted by shares.
    fn mixed(shares: &Tensor, statistics: &[Tensor]) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for (k, statistic) in statistics.iter().enumerate() {
            let part = statistic.mul(&shares.narrow(0, k, 1)?)?;
            sum = Some(match sum {
                Some(sum) => sum.add(&part)?,
                None => part,
            });
        }
        sum.ok_or_else(|| Error::msg("SwitchableNorm: nothing to choose from"))
    }
}

impl Layer for SwitchableNorm {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        v.parameter("bias", &self.bias);
        v.parameter("mean_weight", &self.mean_weight);
        v.parameter("var_weight", &self.var_weight);
        if let Some([mean, var]) = &self.running {
            v.buffer("running_mean", mean);
            v.buffer("running_var", var);
        }
        v.mode(&self.mode);
    }
}

impl Module for SwitchableNorm {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    ///
    /// # Errors
    /// The map is one pixel, which has no variance; other channels than configured.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, c, h, w] = super::dims(LAYER, self.config.channels, x)?;
            if h * w == 1 {
                let detail = format!("one pixel has no variance, got shape {:?}", x.shape());
                return Err(Error::shape(LAYER, detail));
            }
            let mean = x.mean(&[2, 3], false)?;
            let var = x.var(&[2, 3], usize::from(self.config.unbiased), false)?;
            let square = var.add(&mean.square()?)?;
            let mean_of_layer = mean.mean(&[1], true)?;
            let var_of_layer = square.mean(&[1], true)?.sub(&mean_of_layer.square()?)?;
            let (mut means, mut vars) =
                (vec![mean.clone(), mean_of_layer], vec![var, var_of_layer]);
            if let Some(running) = &self.running {
                let [mean, var] = self.of_batch(running, &mean, &square)?;
                means.push(mean);
                vars.push(var);
            }
            let shares = self.mean_weight.tensor().softmax(0)?;
            if probe::is_recording() {
                let shares = shares.reshape([1, means.len(), 1])?;
                let shares = shares.expand([n, means.len(), c])?;
                probe::emit(&self.path, ProbeKind::BranchWeights, &shares);
            }
            let mean = Self::mixed(&shares, &means)?;
            let var = Self::mixed(&self.var_weight.tensor().softmax(0)?, &vars)?;
            let inverse = var.add_scalar(self.config.eps)?.rsqrt()?;
            let scale = inverse.mul(&self.weight.tensor().reshape([1, c])?)?;
            let shift = self
                .bias
                .tensor()
                .reshape([1, c])?
                .sub(&mean.mul(&scale)?)?;
            x.modulate(&scale, &shift)
        })
    }
}
