//! Softmax and its logarithm.

use striate_kernels::softmax;
use striate_simd::Buffer;

use super::dense::{axis_in_memory, dense, in_order_of};
use super::{check_dim, check_float};
use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::layout::Layout;
use crate::{Result, Tensor, current_level};

impl Tensor {
    /// `y_i = exp(x_i) / sum_j exp(x_j)` along a dimension, without overflow.
    ///
    /// # Errors
    /// There is no such dimension, the elements are not floats, or memory is out.
    pub fn softmax(&self, dim: usize) -> Result<Self> {
        self.apply_softmax(Softmax { dim, log: false })
    }

    /// `y_i = x_i - ln(sum_j exp(x_j))` along a dimension, without overflow.
    ///
    /// # Errors
    /// There is no such dimension, the elements are not floats, or memory is out.
    pub fn log_softmax(&self, dim: usize) -> Result<Self> {
        self.apply_softmax(Softmax { dim, log: true })
    }

    fn apply_softmax(&self, function: Softmax) -> Result<Self> {
        check_dim(function.name(), self, function.dim)?;
        check_float(function.name(), self)?;
        apply(function, [self])
    }
}

#[derive(Debug)]
struct Softmax {
    dim: usize,
    log: bool,
}

impl Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }
}

impl Function<1> for Softmax {
    /// The output.
    type Saved = Tensor;

    fn describe(&self) -> Description {
        Description::new(self.name()).with("dim", self.dim)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, Tensor)> {
        let x = dense(x)?;
        let (level, axis) = (current_level()?, axis_in_memory(&x, self.dim)?);
        let y = match_float!(self.name(), x.dtype(), T => {
            let mut y = Buffer::<T>::recycled(x.numel())?;
            let run = if self.log { softmax::log_softmax } else { softmax::softmax };
            run(level, &axis, x.memory()?, &mut y)?;
            Tensor::from_parts(y, Layout::dense_like(self.name(), x.shape(), x.layout())?)
        });
        Ok((y.clone(), y))
    }

    fn backward(&self, y: &Tensor, grad: &Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        let grad = in_order_of(grad, y.layout())?;
        let (level, axis) = (current_level()?, axis_in_memory(y, self.dim)?);
        let dx = match_float!(self.name(), y.dtype(), T => {
            let mut dx = Buffer::<T>::recycled(y.numel())?;
            let run =
                if self.log { softmax::log_softmax_backward } else { softmax::softmax_backward };
            run(level, &axis, y.memory()?, grad.memory()?, &mut dx)?;
            Tensor::from_parts(dx, y.layout().clone())
        });
        Ok([Some(dx)])
    }
}
