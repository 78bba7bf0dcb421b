//! Batch normalisation.
//!
//! In training `y = (x - mean) / sqrt(var + eps) * weight + bias` with the mean and the biased
//! variance of each channel over the batch, and `running = (1 - momentum) * running + momentum *
//! batch`, where the running variance takes the unbiased one. In evaluation the running statistics
//! normalise.
//!
//! Paper: Ioffe, Szegedy, *Batch Normalization*, ICML 2015, arXiv:1502.03167.

use std::sync::Arc;

use striate_tensor::autograd::{is_recomputing, no_grad, scope};
use striate_tensor::{After, BatchStats, Error, Result, Tensor};

use crate::basic::norm_affine::{KeptAffine, Statistics};
use crate::util::{at_least_one, invalid};
use crate::{Buffer, Fusible, Init, Layer, Mode, Module, Parameter, VarBuilder, Visitor};

/// How to build a [`BatchNorm2d`], a [`BatchNorm1d`] or a [`BatchNorm3d`]. The defaults are PyTorch's.
#[derive(Clone, Debug)]
pub struct BatchNormConfig {
    /// Number of channels.
    pub channels: usize,
    /// Added to the variance.
    pub eps: f64,
    /// Weight of the newest batch in the running statistics.
    pub momentum: f64,
    /// Where the scale starts.
    pub weight_init: Init,
}

impl BatchNormConfig {
    /// `eps` 1e-5, momentum 0.1, scale 1, shift 0.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            eps: 1e-5,
            momentum: 0.1,
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

    /// Sets where the scale starts; 0 makes a residual branch start as nothing.
    #[must_use]
    pub fn weight_init(mut self, init: Init) -> Self {
        self.weight_init = init;
        self
    }

    /// Builds the norm of a batch of maps, `[N, C, H, W]`.
    ///
    /// # Errors
    /// There are no channels, `eps` is not positive, the momentum is not within 0 and 1, or `vb`
    /// lacks a tensor.
    pub fn build_2d(&self, vb: &VarBuilder) -> Result<BatchNorm2d> {
        Ok(BatchNorm2d(self.build("BatchNorm2d", vb)?))
    }

    /// Builds the norm of a batch of vectors or sequences, `[N, C]` or `[N, C, L]`.
    ///
    /// # Errors
    /// As [`BatchNormConfig::build_2d`].
    pub fn build_1d(&self, vb: &VarBuilder) -> Result<BatchNorm1d> {
        Ok(BatchNorm1d(self.build("BatchNorm1d", vb)?))
    }

    /// Builds the norm of a batch of volumes, `[N, C, T, H, W]`.
    ///
    /// # Errors
    /// As [`BatchNormConfig::build_2d`].
    pub fn build_3d(&self, vb: &VarBuilder) -> Result<BatchNorm3d> {
        Ok(BatchNorm3d(self.build("BatchNorm3d", vb)?))
    }

    fn build(&self, layer: &'static str, vb: &VarBuilder) -> Result<BatchNorm> {
        self.check(layer).map_err(|e| e.at(vb.path()))?;
        let shape = [self.channels];
        Ok(BatchNorm {
            path: Arc::clone(vb.path()),
            layer,
            weight: vb.parameter("weight", &shape, self.weight_init)?,
            bias: vb.parameter("bias", &shape, Init::ZEROS)?,
            running_mean: vb.buffer("running_mean", &shape, Init::ZEROS)?,
            running_var: vb.buffer("running_var", &shape, Init::ONES)?,
            batches: vb.counter("num_batches_tracked")?,
            mode: Mode::new(),
            eps: self.eps,
            momentum: self.momentum,
            affine: KeptAffine::default(),
        })
    }

    fn check(&self, layer: &'static str) -> Result<()> {
        at_least_one(layer, "channels", self.channels)?;
        if !(self.eps > 0.0 && self.eps.is_finite()) {
            return Err(invalid(
                layer,
                "eps",
                self.eps,
                "it must be positive and finite",
            ));
        }
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(invalid(
                layer,
                "momentum",
                self.momentum,
                "it must be within 0 and 1",
            ));
        }
        Ok(())
    }
}

/// What the norms of all ranks share.
#[derive(Debug)]
struct BatchNorm {
    path: Arc<str>,
    layer: &'static str,
    weight: Parameter,
    bias: Parameter,
    running_mean: Buffer,
    running_var: Buffer,
    batches: Buffer,
    mode: Mode,
    eps: f64,
    momentum: f64,
    affine: KeptAffine,
}

impl BatchNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.mode.training() {
            return self.normalize(x, &x.batch_stats()?, 1.0, After::default());
        }
        self.evaluate(x)
    }

    fn evaluate(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (self.weight.tensor(), self.bias.tensor());
        let (mean, var) = (self.running_mean.tensor(), self.running_var.tensor());
        x.batch_norm_eval(&mean, &var, Some(&weight), Some(&bias), self.eps)
    }

    /// Training on `x`, whose statistics are `stats`, times `factor`, with what follows in the same pass.
    fn normalize(
        &self,
        x: &Tensor,
        stats: &BatchStats,
        factor: f64,
        after: After<'_>,
    ) -> Result<Tensor> {
        let (mut weight, mut bias) = (self.weight.tensor(), self.bias.tensor());
        if factor != 1.0 {
            (weight, bias) = (weight.mul_scalar(factor)?, bias.mul_scalar(factor)?);
        }
        let y = x.batch_norm_with_stats(stats, Some(&weight), Some(&bias), self.eps, after)?;
        // A checkpoint's second run must not count the batch twice.
        if !is_recomputing() {
            no_grad(|| self.track(stats))?;
        }
        Ok(y)
    }

    /// What evaluation does to `x + offset`, times `factor`, as `x * scale + shift`.
    fn scale_and_shift(&self, offset: Option<&Tensor>, factor: f64) -> Result<[Tensor; 2]> {
        self.affine.of(Statistics {
            mean: self.running_mean.tensor(),
            var: self.running_var.tensor(),
            weight: self.weight.tensor(),
            bias: self.bias.tensor(),
            offset: offset.cloned(),
            factor,
            eps: self.eps,
        })
    }

    fn track(&self, stats: &BatchStats) -> Result<()> {
        let blend = |running: &Buffer, batch: &Tensor, scale: f64| {
            let kept = running.tensor().mul_scalar(1.0 - self.momentum)?;
            running.set(&kept.add(&batch.mul_scalar(self.momentum * scale)?)?)
        };
        let count = stats.count as f64;
        blend(&self.running_mean, &stats.mean, 1.0)?;
        blend(&self.running_var, &stats.variance, count / (count - 1.0))?;
        let batches = self.batches.tensor().item::<i64>()?;
        self.batches
            .set(&Tensor::scalar(batches.saturating_add(1))?)
    }

    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        v.parameter("bias", &self.bias);
        v.buffer("running_mean", &self.running_mean);
        v.buffer("running_var", &self.running_var);
        v.buffer("num_batches_tracked", &self.batches);
        v.mode(&self.mode);
    }
}

/// Batch norm of maps.
#[derive(Debug)]
pub struct BatchNorm2d(BatchNorm);

impl BatchNorm2d {
    /// The learned scale, `[C]`.
    #[must_use]
    pub fn weight(&self) -> &Parameter {
        &self.0.weight
    }

    pub(crate) fn training(&self) -> bool {
        self.0.mode.training()
    }

    /// Training on `x`, with what follows in the same pass.
    pub(super) fn train(&self, x: &Tensor, after: After<'_>) -> Result<Tensor> {
        scope(&self.0.path, || {
            x.dims_array::<4>(self.0.layer)?;
            self.0.normalize(x, &x.batch_stats()?, 1.0, after)
        })
    }

    /// Training on `x`, whose statistics are `stats`, times `factor`, with what follows in the same pass.
    pub(super) fn normalize(
        &self,
        x: &Tensor,
        stats: &BatchStats,
        factor: f64,
        after: After<'_>,
    ) -> Result<Tensor> {
        scope(&self.0.path, || self.0.normalize(x, stats, factor, after))
    }

    /// What evaluation makes of 0, `[1, C, 1, 1]`.
    pub(crate) fn of_zero(&self) -> Result<Tensor> {
        let zero = Tensor::zeros([1, self.0.weight.numel(), 1, 1], self.0.weight.dtype())?;
        scope(&self.0.path, || self.0.evaluate(&zero))
    }

    /// Whether gradients flow to its parameters.
    pub(super) fn tracks_grad(&self) -> bool {
        let parameters = [&self.0.weight, &self.0.bias];
        parameters.iter().any(|p| p.tensor().tracks_grad())
    }

    /// What evaluation does to `x + offset`, times `factor`, as `x * scale + shift`, both `[C]` and
    /// constants.
    pub(crate) fn scale_and_shift(
        &self,
        offset: Option<&Tensor>,
        factor: f64,
    ) -> Result<[Tensor; 2]> {
        scope(&self.0.path, || self.0.scale_and_shift(offset, factor))
    }
}

impl Layer for BatchNorm2d {
    fn visit(&self, v: &mut dyn Visitor) {
        self.0.visit(v);
    }
}

impl Module for BatchNorm2d {
    fn fusible(&self) -> Fusible<'_> {
        Fusible::BatchNorm2d(self)
    }

    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    ///
    /// # Errors
    /// Training with one value a channel, as PyTorch; other channels than configured.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.0.path, || {
            x.dims_array::<4>(self.0.layer)?;
            self.0.forward(x)
        })
    }
}

/// Batch norm of vectors or sequences.
#[derive(Debug)]
pub struct BatchNorm1d(BatchNorm);

impl Layer for BatchNorm1d {
    fn visit(&self, v: &mut dyn Visitor) {
        self.0.visit(v);
    }
}

impl Module for BatchNorm1d {
    /// # Shapes
    /// `[N, C] -> [N, C]` or `[N, C, L] -> [N, C, L]`
    ///
    /// # Errors
    /// Training with one value a channel, as PyTorch; other channels than configured.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.0.path, || {
            if !matches!(x.rank(), 2 | 3) {
                let detail = format!("expected [N, C] or [N, C, L], got shape {:?}", x.shape());
                return Err(Error::shape(self.0.layer, detail));
            }
            self.0.forward(x)
        })
    }
}

/// Batch norm of volumes.
#[derive(Debug)]
pub struct BatchNorm3d(BatchNorm);

impl Layer for BatchNorm3d {
    fn visit(&self, v: &mut dyn Visitor) {
        self.0.visit(v);
    }
}

impl Module for BatchNorm3d {
    /// # Shapes
    /// `[N, C, T, H, W] -> [N, C, T, H, W]`
    ///
    /// # Errors
    /// Training with one value a channel, as PyTorch; other channels than configured.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.0.path, || {
            x.dims_array::<5>(self.0.layer)?;
            self.0.forward(x)
        })
    }
}
