//! Batch normalisation, with the statistics of the batch or with given ones.

use striate_kernels::norm::{self, Affine, NormGeometry, Statistics, Upstream, batch};
use striate_simd::Buffer;

use super::affine::{check_epsilon, check_parameter, scale_and_shift};
use super::check_float;
use super::spatial::{as_image, format_of, image_layout, in_format};
use crate::autograd::{Description, VariadicFunction, apply_variadic, is_shapes_only, reject};
use crate::dtype::match_float;
use crate::{Element, Error, MemoryFormat, Result, Tensor, current_level};

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

impl BatchStats {
    /// Statistics of an F32 tensor.
    pub(super) fn single([mean, variance]: [Vec<f64>; 2], count: usize) -> Result<Self> {
        let tensor = |numbers: Vec<f64>| {
            let channels = numbers.len();
            let numbers = numbers.into_iter().map(|x| x as f32).collect();
            Tensor::from_vec::<f32>(numbers, channels)
        };
        Ok(Self {
            mean: tensor(mean)?,
            variance: tensor(variance)?,
            count,
        })
    }
}

/// What a batch norm ends with: the sum with a residual, then a ReLU.
#[derive(Clone, Copy, Debug, Default)]
pub struct After<'a> {
    /// What is added, of the input's shape.
    pub residual: Option<&'a Tensor>,
    /// Whether the last step is `max(y, 0)`.
    pub relu: bool,
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
        let stats = self.batch_stats()?;
        let y = self.batch_norm_with_stats(&stats, weight, bias, epsilon, After::default())?;
        Ok((y, stats))
    }

    /// The mean and the biased variance of each channel.
    ///
    /// # Shapes
    /// `x [N, C]`, `[N, C, L]`, `[N, C, H, W]` or `[N, C, T, H, W]`.
    ///
    /// # Errors
    /// The shape or the type does not fit, or memory is out.
    pub fn batch_stats(&self) -> Result<BatchStats> {
        check_float(OP, self)?;
        let x = as_image(OP, &self.detach())?;
        let geometry = geometry(&x)?;
        statistics(&x, &geometry, geometry.batch() * geometry.spatial())
    }

    /// [`batch_norm_train`](Self::batch_norm_train), then the sum with a residual and a ReLU, in one
    /// pass in each direction. `stats` are those of this tensor, from
    /// [`batch_stats`](Self::batch_stats) or [`conv2d_with_stats`](Self::conv2d_with_stats): the gradient
    /// goes through them as if they were computed here.
    ///
    /// # Shapes
    /// As [`batch_norm_train`](Self::batch_norm_train); the residual has the shape of `x`.
    ///
    /// # Errors
    /// As [`batch_norm_train`](Self::batch_norm_train).
    pub fn batch_norm_with_stats(
        &self,
        stats: &BatchStats,
        weight: Option<&Self>,
        bias: Option<&Self>,
        epsilon: f64,
        after: After<'_>,
    ) -> Result<Self> {
        check_float(OP, self)?;
        check_epsilon(OP, epsilon)?;
        let x = as_image(OP, self)?;
        let geometry = geometry(&x)?;
        if stats.count < 2 {
            let detail = format!(
                "statistics need more than one value a channel, input {:?} has {}: use a larger batch or \
                 evaluation mode",
                self.shape(),
                stats.count
            );
            return Err(Error::shape(OP, detail));
        }
        let shape = [geometry.channels()];
        let [weight, bias] = scale_and_shift(OP, &x, weight, bias, &shape)?;
        for (name, given) in [("mean", &stats.mean), ("variance", &stats.variance)] {
            check_parameter(OP, &x, name, given, &shape)?;
        }
        let residual = match after.residual {
            None => None,
            Some(residual) => {
                check_parameter(OP, self, "residual", residual, self.shape())?;
                Some(in_format(&as_image(OP, residual)?, format_of(&x))?)
            }
        };
        let function = BatchNorm {
            epsilon,
            stats: stats.clone(),
            of_batch: true,
            relu: after.relu,
        };
        let inputs: Vec<&Self> = [Some(&x), Some(&weight), Some(&bias), residual.as_ref()]
            .into_iter()
            .flatten()
            .collect();
        apply_variadic(function, &inputs)?.reshape(self.shape())
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
            relu: false,
        };
        apply_variadic(function, &[&x, &weight, &bias])?.reshape(self.shape())
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
    /// Whether a ReLU follows.
    relu: bool,
}

struct Saved {
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    /// The value, if a ReLU follows: it tells where that was zero. The next layer keeps it as well.
    y: Option<Tensor>,
}

impl VariadicFunction for BatchNorm {
    type Saved = Saved;

    fn describe(&self) -> Description {
        let description = Description::new(OP)
            .with("training", self.of_batch)
            .with("epsilon", self.epsilon);
        if self.relu {
            description.with("relu", true)
        } else {
            description
        }
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<(Tensor, Saved)> {
        let [x, weight, bias, rest @ ..] = inputs else {
            return Err(Error::msg("batch_norm: no scale and shift"));
        };
        let (geometry, level) = (geometry(x)?, current_level()?);
        let mut saved = Saved {
            x: x.clone(),
            weight: weight.contiguous()?,
            bias: bias.contiguous()?,
            y: None,
        };
        let y = match_float!(OP, x.dtype(), T => {
            let mut y = Buffer::<T>::recycled(x.numel())?;
            let after = norm::After {
                residual: rest.first().map(Tensor::memory).transpose()?,
                relu: self.relu,
            };
            let (statistics, affine) = (self.statistics()?, saved.affine()?);
            if !is_shapes_only() {
                batch::apply_then(level, &geometry, x.memory()?, &statistics, &affine, after, &mut y)?;
            }
            Tensor::from_buffer(y, x.shape(), format_of(x))?
        });
        saved.y = self.relu.then(|| y.clone());
        Ok((y, saved))
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let x = &saved.x;
        let (geometry, level, format) = (geometry(x)?, current_level()?, format_of(x));
        let grad = in_format(grad, format)?;
        let need_residual = needs.get(3) == Some(&true);
        match_float!(OP, x.dtype(), T => {
            let mut dx = Buffer::<T>::recycled(x.numel())?;
            let mut dweight = Buffer::<T>::recycled(geometry.channels())?;
            let mut dbias = Buffer::<T>::recycled(geometry.channels())?;
            // Without a mask it is the gradient itself.
            let mut dresidual = (need_residual && self.relu)
                .then(|| Buffer::<T>::recycled(x.numel()))
                .transpose()?;
            let upstream = Upstream {
                x: x.memory()?,
                dy: grad.memory()?,
                mask: saved.y.as_ref().map(Tensor::memory).transpose()?,
            };
            let out = batch::Gradients {
                dx: &mut dx,
                dresidual: dresidual.as_deref_mut(),
                dweight: &mut dweight,
                dbias: &mut dbias,
            };
            let (statistics, affine) = (self.statistics()?, saved.affine()?);
            batch::backward_through(level, &geometry, upstream, &statistics, &affine, self.of_batch, out)?;
            let image = |values| Tensor::from_buffer(values, x.shape(), format);
            let parameter = |values| Tensor::from_buffer(values, geometry.channels(), MemoryFormat::RowMajor);
            let mut gradients = vec![
                Some(image(dx)?),
                Some(parameter(dweight)?),
                Some(parameter(dbias)?),
            ];
            if needs.len() > 3 {
                gradients.push(match dresidual {
                    Some(dresidual) => Some(image(dresidual)?),
                    None => Some(grad.clone()),
                });
            }
            for (gradient, &need) in gradients.iter_mut().zip(needs) {
                gradient.take_if(|_| !need);
            }
            Ok(gradients)
        })
    }
}

impl BatchNorm {
    fn statistics<T: Element>(&self) -> Result<Statistics<'_, T>> {
        let BatchStats { mean, variance, .. } = &self.stats;
        Ok(Statistics {
            mean: mean.memory()?,
            var: variance.memory()?,
            epsilon: self.epsilon,
        })
    }
}

impl Saved {
    fn affine<T: Element>(&self) -> Result<Affine<'_, T>> {
        Ok(Affine {
            weight: Some(self.weight.memory()?),
            bias: Some(self.bias.memory()?),
        })
    }
}
