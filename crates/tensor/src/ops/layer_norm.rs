//! Layer normalisation.

use striate_kernels::norm::layer::{self, LayerGeometry};
use striate_kernels::norm::{Affine, Statistics};
use striate_simd::Buffer;

use super::affine::{check_epsilon, scale_and_shift};
use super::check_float;
use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::{Error, MemoryFormat, Result, Shape, Tensor, current_level};

const OP: &str = "layer_norm";

impl Tensor {
    /// `y = (x - mean) / sqrt(variance + epsilon) * weight + bias`, with mean and biased variance over the
    /// trailing dimensions `shape`.
    ///
    /// # Shapes
    /// `x [..., shape]`; weight and bias `shape`.
    ///
    /// # Errors
    /// The last dimensions are not `shape`, `shape` is empty, the types differ or are not float, or memory
    /// is out.
    pub fn layer_norm(
        &self,
        shape: impl Into<Shape>,
        weight: Option<&Self>,
        bias: Option<&Self>,
        epsilon: f64,
    ) -> Result<Self> {
        let shape = shape.into();
        check_float(OP, self)?;
        check_epsilon(OP, epsilon)?;
        if shape.is_empty() || !self.shape().ends_with(&shape) {
            let detail = format!(
                "input {:?} does not end with dimensions {shape}",
                self.shape()
            );
            return Err(Error::shape(OP, detail));
        }
        let [weight, bias] = scale_and_shift(OP, self, weight, bias, &shape)?;
        let leading = &self.shape()[..self.rank() - shape.len()];
        // Both products fit: they divide the number of elements, or the tensor is empty and has a count.
        let product = |dims: &[usize]| dims.iter().fold(1, |n: usize, &d| n.saturating_mul(d));
        let (rows, len) = (product(leading), product(&shape));
        let x = self.reshape([rows, len])?.contiguous()?;
        let (weight, bias) = (
            weight.reshape(len)?.contiguous()?,
            bias.reshape(len)?.contiguous()?,
        );
        apply(LayerNorm { epsilon }, [&x, &weight, &bias])?.reshape(self.shape())
    }
}

#[derive(Debug)]
struct LayerNorm {
    epsilon: f64,
}

struct Saved {
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
}

impl Function<3> for LayerNorm {
    type Saved = Saved;

    fn describe(&self) -> Description {
        Description::new(OP).with("epsilon", self.epsilon)
    }

    fn forward(&self, [x, weight, bias]: [&Tensor; 3]) -> Result<(Tensor, Saved)> {
        let (geometry, level) = (geometry(x)?, current_level()?);
        match_float!(OP, x.dtype(), T => {
            let mut y = Buffer::<T>::recycled(x.numel())?;
            let mut mean = Buffer::<T>::recycled(geometry.rows())?;
            let mut variance = Buffer::<T>::recycled(geometry.rows())?;
            let affine = Affine { weight: Some(weight.memory()?), bias: Some(bias.memory()?) };
            let x_memory = x.memory()?;
            layer::forward(
                level, &geometry, x_memory, &affine, self.epsilon, &mut y, &mut mean, &mut variance,
            )?;
            let rows = |values| Tensor::from_buffer(values, geometry.rows(), MemoryFormat::RowMajor);
            let saved = Saved {
                x: x.clone(),
                weight: weight.clone(),
                bias: bias.clone(),
                mean: rows(mean)?,
                variance: rows(variance)?,
            };
            Ok((Tensor::from_buffer(y, x.shape(), MemoryFormat::RowMajor)?, saved))
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
        let (geometry, level, grad) = (geometry(x)?, current_level()?, grad.contiguous()?);
        match_float!(OP, x.dtype(), T => {
            let mut dx = Buffer::<T>::recycled(x.numel())?;
            let mut dweight = Buffer::<T>::recycled(geometry.row_len())?;
            let mut dbias = Buffer::<T>::recycled(geometry.row_len())?;
            layer::backward(
                level,
                &geometry,
                x.memory()?,
                grad.memory()?,
                &Statistics { mean: mean.memory()?, var: variance.memory()?, epsilon: self.epsilon },
                &Affine { weight: Some(weight.memory()?), bias: Some(bias.memory()?) },
                &mut dx,
                &mut dweight,
                &mut dbias,
            )?;
            let [need_x, need_weight, need_bias] = needs;
            let new = |values, like: &Tensor| Tensor::from_buffer(values, like.shape(), MemoryFormat::RowMajor);
            Ok([
                need_x.then(|| new(dx, x)).transpose()?,
                need_weight.then(|| new(dweight, weight)).transpose()?,
                need_bias.then(|| new(dbias, bias)).transpose()?,
            ])
        })
    }
}

fn geometry(x: &Tensor) -> Result<LayerGeometry> {
    let [rows, len] = x.dims_array(OP)?;
    Ok(LayerGeometry::new(rows, len)?)
}
