//! The sum of squares over dimensions.

use striate_kernels::reduce::{ReduceGeometry, sum_of_products};
use striate_simd::Buffer;

use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::layout::Layout;
use crate::level::current_level;
use crate::ops::check_dims;
use crate::ops::sum::reduced_shape;
use crate::{Result, Tensor};

const OP: &str = "sum_of_squares";

impl Tensor {
    /// `sum(x^2)` over `dims`, which go away or stay with size 1; in one pass.
    ///
    /// # Errors
    /// A dimension does not exist or is named twice, or the elements are not floats.
    pub fn sum_of_squares(&self, dims: &[usize], keepdim: bool) -> Result<Self> {
        check_dims(OP, self, dims)?;
        let dims = dims.to_vec();
        apply(SumOfSquares { dims, keepdim }, [self])
    }
}

struct SumOfSquares {
    dims: Vec<usize>,
    keepdim: bool,
}

impl Function<1> for SumOfSquares {
    /// The argument.
    type Saved = Tensor;

    fn describe(&self) -> Description {
        Description::new(OP)
            .with("dims", &self.dims)
            .with("keepdim", self.keepdim)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, Tensor)> {
        let geometry = ReduceGeometry::pair(x.shape(), x.strides(), x.strides(), &self.dims)?;
        let shape = reduced_shape(x.shape(), &self.dims, self.keepdim);
        let y = match_float!(OP, x.dtype(), T => {
            let mut out = Buffer::<T>::recycled(geometry.output_len())?;
            let x = x.memory()?;
            sum_of_products(current_level()?, &geometry, x, x, &mut out)?;
            Tensor::from_parts(out, Layout::row_major(OP, &shape)?)
        });
        Ok((y, x.clone()))
    }

    /// `2 x`
    fn backward(&self, x: &Tensor, grad: &Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        let grad = grad.reshape(reduced_shape(x.shape(), &self.dims, true))?;
        Ok([Some(x.mul(&grad.mul_scalar(2.0)?)?)])
    }
}
