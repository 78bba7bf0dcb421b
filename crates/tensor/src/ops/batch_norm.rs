//! Batch normalisation, with the statistics of the batch or with given ones.

use striate_kernels::norm::{Affine, NormGeometry, Statistics, batch};
use striate_simd::Buffer;

use super::affine::{check_epsilon, check_parameter, scale_and_shift};
use super::check_float;
use super::spatial::{as_image, format_of, image_layout, in_format};
use crate::autograd::{Description, Function, apply, reject};
use crate::dtype::match_float;
use crate::{Error, MemoryFormat, Result, Tensor, current_level};

const OP: &str = "batch_norm";

/// The mean and variance of each channel of a batch.
#[derive(Clone, Debug)]
pub struct BatchStats {
    /// The means, `[C]`.
    pub mean: Tensor,
    /// The biased variances, `[C]`: sums of squares divided by `count`.
    pub variance: Tensor,
    /// Number of values a channel. The unbiased variance is `variance * count / (count - 1)`.
    pub count: usize,
}

impl Tensor {
    /// `y = (x - mean) / sqrt(variance + epsilon) * weight + bias` per channel, with the mean and the biased
    /// variance of this batch, which are returned as well. The gradient goes through both.
    ///
    /// # Shapes
    /// `x [N, C]`, `[N, C, L]`, `[N, C, H, W]` or `[N, C, T, H, W]`; weight and bias `[C]`.
    ///
    /// # Errors
    /// The shapes or types do not fit, there are fewer than two values a channel, or memory is out.
    pub fn batch_norm_train(
        &self,
        weight: Option<&Self>,
        bias: Option<&Self>,
        epsilon: f64,
    ) -> Result<(Self, BatchStats)> {
        check_float(OP, self)?;
        check_epsilon(OP, epsilon)?;
        let x = as_image(OP, self)?;
        let geometry = geometry(&x)?;
        let count = geometry.batch() * geometry.spatial();
        if count < 2 {
            let detail = format!(
                "statistics need more than one value a channel, input {:?} has {count}: use a larger batch or \
                 evaluation mode",
                self.shape()
            );
            return Err(Error::shape(OP, detail));
        }
        let [weight, bias] = scale_and_shift(OP, &x, weight, bias, &[geometry.channels()])?;
        let stats = statistics(&x, &geometry, count)?;
        let function = BatchNorm {
            epsilon,
            stats: stats.clone(),
            of_batch: true,
        };
        Ok((
            apply(function, [&x, &weight, &bias])?.reshape(self.shape())?,
            stats,
        ))
    }

    /// `y = (x - mean) / sqrt(variance + epsilon) * weight + bias` per channel, with constants for mean and
    /// variance.
    ///
    /// # Shapes
    /// `x [N, C]` to `[N, C, T, H, W]`; the others `[C]`.
    ///
    /// # Errors
    /// The shapes or types do not fit, mean or variance track gradients, or memory is out.
    pub fn batch_norm_eval(
        &self,
        mean: &Self,
        variance: &Self,
        weight: Option<&Self>,
        bias: Option<&Self>,
        epsilon: f64,
    ) -> Result<Self> {
        check_float(OP, self)?;
        check_epsilon(OP, epsilon)?;
        reject(OP, &[mean, variance])?;
        let x = as_image(OP, self)?;
        let geometry = geometry(&x)?;
        let shape = [geometry.channels()];
        let [weight, bias] = scale_and_shift(OP, &x, weight, bias, &shape)?;
        check_parameter(OP, &x, "mean", mean, &shape)?;
        check_parameter(OP, &x, "variance", variance, &shape)?;
        let stats = BatchStats {
            mean: mean.contiguous()?.detach(),
            variance: variance.contiguous()?.detach(),
            count: geometry.batch() * geometry.spatial(),
        };
        let function = BatchNorm {
            epsilon,
            stats,
            of_batch: false,
        };
        apply(function, [&x, &weight, &bias])?.reshape(self.shape())
    }
}

/// The array as the kernels see it; `x` is in the order they read.
pub(super) fn geometry(x: &Tensor) -> Result<NormGeometry> {
    let [n, c, h, w] = x.dims4()?;
    Ok(NormGeometry::new(n, c, h * w, image_layout(format_of(x)))?)
}

fn statistics(x: &Tensor, geometry: &NormGeometry, count: usize) -> Result<BatchStats> {
    let (channels, level) = (geometry.channels(), current_level()?);
    match_float!(OP, x.dtype(), T => {
        let mut mean = Buffer::<T>::recycled(channels)?;
        let mut variance = Buffer::<T>::recycled(channels)?;
        batch::statistics(level, geometry, x.memory()?, &mut mean, &mut variance)?;
        let tensor = |values| Tensor::from_buffer(values, channels, MemoryFormat::RowMajor);
        Ok(BatchStats { mean: tensor(mean)?, variance: tensor(variance)?, count })
    })
}

#[derive(Debug)]
struct BatchNorm {
    epsilon: f64,
    stats: BatchStats,
    /// Whether the statistics are functions of the input.
    of_batch: bool,
}

struct Saved {
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
}

impl Function<3> for BatchNorm {
    type Saved = Saved;

    fn describe(&self) -> Description {
        Description::new(OP)
            .with("training", self.of_batch)
            .with("epsilon", self.epsilon)
    }

    fn forward(&self, [x, weight, bias]: [&Tensor; 3]) -> Result<(Tensor, Saved)> {
        let (geometry, level) = (geometry(x)?, current_level()?);
        let saved = Saved {
            x: x.clone(),
            weight: weight.contiguous()?,
            bias: bias.contiguous()?,
        };
        let y = match_float!(OP, x.dtype(), T => {
            let mut y = Buffer::<T>::recycled(x.numel())?;
            batch::apply(level, &geometry, x.memory()?, &self.statistics()?, &saved.affine()?, &mut y)?;
            Tensor::from_buffer(y, x.shape(), format_of(x))?
        });
        Ok((y, saved))
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let x = &saved.x;
        let (geometry, level, format) = (geometry(x)?, current_level()?, format_of(x));
        let grad = in_format(grad, format)?;
        match_float!(OP, x.dtype(), T => {
            let mut dx = Buffer::<T>::recycled(x.numel())?;
            let mut dweight = Buffer::<T>::recycled(geometry.channels())?;
            let mut dbias = Buffer::<T>::recycled(geometry.channels())?;
            let run = if self.of_batch { batch::backward } else { batch::backward_constant };
            run(
                level,
                &geometry,
                x.memory()?,
                grad.memory()?,
                &self.statistics()?,
                &saved.affine()?,
                &mut dx,
                &mut dweight,
                &mut dbias,
            )?;
            let parameter = |values| Tensor::from_buffer(values, geometry.channels(), MemoryFormat::RowMajor);
            let [need_x, need_weight, need_bias] = needs;
            Ok([
                need_x.then(|| Tensor::from_buffer(dx, x.shape(), format)).transpose()?,
                need_weight.then(|| parameter(dweight)).transpose()?,
                need_bias.then(|| parameter(dbias)).transpose()?,
            ])
        })
    }
}

impl BatchNorm {
    fn statistics<T: crate::Element>(&self) -> Result<Statistics<'_, T>> {
        let BatchStats { mean, variance, .. } = &self.stats;
        Ok(Statistics {
            mean: mean.memory()?,
            var: variance.memory()?,
            epsilon: self.epsilon,
        })
    }
}

impl Saved {
    fn affine<T: crate::Element>(&self) -> Result<Affine<'_, T>> {
        Ok(Affine {
            weight: Some(self.weight.memory()?),
            bias: Some(self.bias.memory()?),
        })
    }
}
