//! The largest elements and the means over dimensions, together.

use striate_kernels::reduce::{ReduceGeometry, extreme_backward, max_and_mean};
use striate_simd::Buffer;

use super::check_dims;
use super::dense::in_order_of;
use super::extremum::check_not_empty;
use super::sum::reduced_shape;
use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::layout::Layout;
use crate::{Result, Tensor, current_level};

const OP: &str = "max_and_mean";

impl Tensor {
    /// The largest elements over `dims` and then, behind a new first dimension of two, the means: what
    /// [`amax`](Self::amax) and [`mean`](Self::mean) give, with their gradients, in one pass over the elements in each
    /// direction.
    ///
    /// # Errors
    /// Those of [`amax`](Self::amax).
    pub fn max_and_mean(&self, dims: &[usize]) -> Result<Self> {
        check_dims(OP, self, dims)?;
        check_not_empty(OP, self, dims)?;
        apply(
            MaxAndMean {
                dims: dims.to_vec(),
            },
            [self],
        )
    }
}

struct MaxAndMean {
    dims: Vec<usize>,
}

impl Function<1> for MaxAndMean {
    /// Argument and value.
    type Saved = [Tensor; 2];

    fn describe(&self) -> Description {
        Description::new(OP).with("dims", &self.dims)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, [Tensor; 2])> {
        let geometry = ReduceGeometry::new(x.shape(), x.strides(), &self.dims)?;
        let shape = [&[2], &reduced_shape(x.shape(), &self.dims, false)[..]].concat();
        let layout = Layout::row_major(OP, &shape)?;
        let y = match_float!(OP, x.dtype(), T => {
            let mut out = Buffer::<T>::recycled(layout.numel())?;
            let (max, mean) = out.split_at_mut(geometry.output_len());
            max_and_mean(current_level()?, &geometry, x.memory()?, max, mean)?;
            Tensor::from_parts(out, layout)
        });
        Ok((y.clone(), [x.clone(), y]))
    }

    fn backward(
        &self,
        [x, y]: &[Tensor; 2],
        grad: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        // The gradient has the strides of the argument, which must not overlap.
        let layout = Layout::dense_like(OP, x.shape(), x.layout())?;
        let x = in_order_of(x, &layout)?;
        let grad = grad.contiguous()?;
        let count: usize = self.dims.iter().map(|&d| x.shape()[d]).product();
        let shares = grad
            .select(0, 1)?
            .mul_scalar(1.0 / count as f64)?
            .contiguous()?;
        let geometry = ReduceGeometry::new(x.shape(), layout.strides(), &self.dims)?;
        let outputs = geometry.output_len();
        match_float!(OP, x.dtype(), T => {
            let mut dx = Buffer::<T>::recycled(layout.numel())?;
            let (max, dmax) = (&y.memory::<T>()?[..outputs], &grad.memory::<T>()?[..outputs]);
            let shares = Some(shares.memory::<T>()?);
            extreme_backward(current_level()?, &geometry, x.memory()?, max, dmax, shares, &mut dx)?;
            Ok([Some(Tensor::from_parts(dx, layout))])
        })
    }
}
