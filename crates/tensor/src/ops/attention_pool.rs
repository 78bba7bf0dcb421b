//! Pooling by attention.

use striate_kernels::attention::Outcome;
use striate_kernels::attention::pool::{self, Map, PoolGeometry};
use striate_simd::Buffer;

use super::affine::check_parameter;
use super::check_float;
use super::spatial::as_image;
use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::{Element, MemoryFormat, Result, Tensor, current_level};

const OP: &str = "attention_pool";

impl Tensor {
    /// The mean of the pixels of each image, weighted by the softmax of their products with a query:
    ///
    /// `y[n] = sum over i of softmax_i(weight . x[n,i] + bias) x[n,i]`
    ///
    /// It reads the image once, and once on the way back.
    ///
    /// # Shapes
    /// `x [N, C]` to `[N, C, T, H, W]`, `weight [C]`, `bias [1]` to `[N, C]`.
    ///
    /// # Errors
    /// The shapes do not fit, there are no pixels or channels, element types differ, or memory is out.
    pub fn attention_pool(&self, weight: &Self, bias: &Self) -> Result<Self> {
        check_float(OP, self)?;
        let x = as_image(OP, self)?;
        let [_, c, _, _] = x.dims4()?;
        check_parameter(OP, self, "weight", weight, &[c])?;
        check_parameter(OP, self, "bias", bias, &[1])?;
        let x = x.channels_last()?;
        apply(AttentionPool, [&x, &weight.contiguous()?, bias])
    }
}

#[derive(Debug)]
struct AttentionPool;

struct Saved {
    /// Image, weight and bias.
    x: [Tensor; 3],
    y: Tensor,
    log_sums: Tensor,
}

fn geometry(x: &Tensor) -> Result<PoolGeometry> {
    let [n, c, h, w] = x.dims4()?;
    Ok(PoolGeometry::new(n, h * w, c)?)
}

fn map<T: Element>([x, weight, bias]: &[Tensor; 3]) -> Result<Map<'_, T>> {
    Ok(Map {
        x: x.memory()?,
        w: weight.memory()?,
        b: bias.item()?,
    })
}

impl Function<3> for AttentionPool {
    type Saved = Saved;

    fn describe(&self) -> Description {
        Description::new(OP)
    }

    fn forward(&self, x: [&Tensor; 3]) -> Result<(Tensor, Saved)> {
        let (g, level, x) = (geometry(x[0])?, current_level()?, x.map(Tensor::clone));
        let [y, log_sums] = match_float!(OP, x[0].dtype(), T => {
            let mut y = Buffer::<T>::recycled(g.y_len())?;
            let mut log_sums = Buffer::<T>::recycled(g.batch())?;
            pool::forward(level, &g, &map(&x)?, &mut y, &mut log_sums)?;
            [
                Tensor::from_buffer(y, [g.batch(), g.channels()], MemoryFormat::RowMajor)?,
                Tensor::from_buffer(log_sums, g.batch(), MemoryFormat::RowMajor)?,
            ]
        });
        Ok((y.clone(), Saved { x, y, log_sums }))
    }

    fn backward(
        &self,
        Saved { x, y, log_sums }: &Saved,
        grad: &Tensor,
        [need_x, need_weight, need_bias]: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let (g, level, grad) = (geometry(&x[0])?, current_level()?, grad.contiguous()?);
        match_float!(OP, grad.dtype(), T => {
            let outcome = Outcome {
                y: y.memory::<T>()?,
                log_sums: log_sums.memory()?,
            };
            let mut dx = Buffer::<T>::recycled(g.x_len())?;
            let mut dw = Buffer::<T>::recycled(g.channels())?;
            let mut db = Buffer::<T>::recycled(1)?;
            let all = [&mut dx[..], &mut dw, &mut db];
            pool::backward(level, &g, &map(x)?, &outcome, grad.memory()?, all)?;
            let of = |needed: bool, memory, i: usize, format| {
                needed.then(|| Tensor::from_buffer(memory, x[i].shape(), format)).transpose()
            };
            Ok([
                of(need_x, dx, 0, MemoryFormat::ChannelsLast)?,
                of(need_weight, dw, 1, MemoryFormat::RowMajor)?,
                of(need_bias, db, 2, MemoryFormat::RowMajor)?,
            ])
        })
    }
}
