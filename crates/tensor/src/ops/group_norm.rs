//! Group normalisation; with one channel a group, instance normalisation.

use striate_kernels::norm::group::{self, GroupGeometry};
use striate_kernels::norm::{Affine, Statistics};
use striate_simd::Buffer;

use super::affine::{check_epsilon, scale_and_shift};
use super::check_float;
use super::spatial::{as_image, format_of, in_format};
use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::{MemoryFormat, Result, Tensor, current_level};

const OP: &str = "group_norm";

impl Tensor {
    /// `y = (x - mean) / sqrt(variance + epsilon) * weight + bias`, with mean and biased variance over the
    /// channels of a group of each image; weight and bias are per channel.
    ///
    /// # Shapes
    /// `x [N, C]`, `[N, C, L]`, `[N, C, H, W]` or `[N, C, T, H, W]`; weight and bias `[C]`.
    ///
    /// # Errors
    /// `groups` does not divide the channels, the shapes or types do not fit, or memory is out.
    pub fn group_norm(
        &self,
        groups: usize,
        weight: Option<&Self>,
        bias: Option<&Self>,
        epsilon: f64,
    ) -> Result<Self> {
        check_float(OP, self)?;
        check_epsilon(OP, epsilon)?;
        let x = as_image(OP, self)?;
        let geometry = GroupGeometry::new(super::batch_norm::geometry(&x)?, groups)?;
        let [weight, bias] = scale_and_shift(OP, &x, weight, bias, &[geometry.array().channels()])?;
        let (weight, bias) = (weight.contiguous()?, bias.contiguous()?);
        apply(GroupNorm { geometry, epsilon }, [&x, &weight, &bias])?.reshape(self.shape())
    }
}

#[derive(Debug)]
struct GroupNorm {
    geometry: GroupGeometry,
    epsilon: f64,
}

struct Saved {
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
}

impl Function<3> for GroupNorm {
    type Saved = Saved;

    fn describe(&self) -> Description {
        Description::new(OP)
            .with("groups", self.geometry.groups())
            .with("epsilon", self.epsilon)
    }

    fn forward(&self, [x, weight, bias]: [&Tensor; 3]) -> Result<(Tensor, Saved)> {
        let (geometry, level) = (&self.geometry, current_level()?);
        match_float!(OP, x.dtype(), T => {
            let mut y = Buffer::<T>::recycled(x.numel())?;
            let mut mean = Buffer::<T>::recycled(geometry.statistics_len())?;
            let mut variance = Buffer::<T>::recycled(geometry.statistics_len())?;
            let affine = Affine { weight: Some(weight.memory()?), bias: Some(bias.memory()?) };
            let x_memory = x.memory()?;
            group::forward(
                level, geometry, x_memory, &affine, self.epsilon, &mut y, &mut mean, &mut variance,
            )?;
            let new = |values| {
                Tensor::from_buffer(values, geometry.statistics_len(), MemoryFormat::RowMajor)
            };
            let saved = Saved {
                x: x.clone(),
                weight: weight.clone(),
                bias: bias.clone(),
                mean: new(mean)?,
                variance: new(variance)?,
            };
            Ok((Tensor::from_buffer(y, x.shape(), format_of(x))?, saved))
        })
    }

    fn backward(
        &self,
        Saved {
            x,
            weight,
            bias,
            mean,
            variance,
        }: &Saved,
        grad: &Tensor,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let (level, format) = (current_level()?, format_of(x));
        let grad = in_format(grad, format)?;
        match_float!(OP, x.dtype(), T => {
            let mut dx = Buffer::<T>::recycled(x.numel())?;
            let mut dweight = Buffer::<T>::recycled(weight.numel())?;
            let mut dbias = Buffer::<T>::recycled(bias.numel())?;
            group::backward(
                level,
                &self.geometry,
                x.memory()?,
                grad.memory()?,
                &Statistics { mean: mean.memory()?, var: variance.memory()?, epsilon: self.epsilon },
                &Affine { weight: Some(weight.memory()?), bias: Some(bias.memory()?) },
                &mut dx,
                &mut dweight,
                &mut dbias,
            )?;
            let [need_x, need_weight, need_bias] = needs;
            let parameter = |values| Tensor::from_buffer(values, weight.numel(), MemoryFormat::RowMajor);
            Ok([
                need_x.then(|| Tensor::from_buffer(dx, x.shape(), format)).transpose()?,
                need_weight.then(|| parameter(dweight)).transpose()?,
                need_bias.then(|| parameter(dbias)).transpose()?,
            ])
        })
    }
}
