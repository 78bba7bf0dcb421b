//! The variance over dimensions.

use striate_kernels::reduce::{ReduceGeometry, moments};
use striate_simd::Buffer;

use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::layout::Layout;
use crate::level::current_level;
use crate::ops::check_dims;
use crate::ops::sum::reduced_shape;
use crate::{Result, Tensor};

impl Tensor {
    /// `sum((x - mean)^2) / (n - correction)` over `dims`, which go away or stay with size 1.
    ///
    /// A correction of 0 gives the biased variance, 1 the unbiased one (NaN of a single element).
    ///
    /// # Errors
    /// A dimension does not exist or is named twice, or the elements are not floats.
    pub fn var(&self, dims: &[usize], correction: usize, keepdim: bool) -> Result<Self> {
        check_dims("var", self, dims)?;
        apply(
            Variance {
                dims: dims.to_vec(),
                correction,
                keepdim,
            },
            [self],
        )
    }
}

struct Variance {
    dims: Vec<usize>,
    correction: usize,
    keepdim: bool,
}

impl Variance {
    /// `1 / (n - correction)`, infinite where the variance is undefined.
    fn weight(&self, x: &Tensor) -> f64 {
        let count: usize = self.dims.iter().map(|&d| x.shape()[d]).product();
        1.0 / count.saturating_sub(self.correction) as f64
    }
}

impl Function<1> for Variance {
    /// The argument and its mean.
    type Saved = (Tensor, Tensor);

    fn describe(&self) -> Description {
        Description::new("var")
            .with("dims", &self.dims)
            .with("correction", self.correction)
            .with("keepdim", self.keepdim)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, Self::Saved)> {
        const OP: &str = "var";
        let geometry = ReduceGeometry::new(x.shape(), x.strides(), &self.dims)?;
        let kept = Layout::row_major(OP, &reduced_shape(x.shape(), &self.dims, true))?;
        let shape = reduced_shape(x.shape(), &self.dims, self.keepdim);
        let (mean, biased) = match_float!(OP, x.dtype(), T => {
            let mut mean = Buffer::<T>::recycled(geometry.output_len())?;
            let mut var = Buffer::<T>::recycled(geometry.output_len())?;
            moments(current_level()?, &geometry, x.memory()?, &mut mean, &mut var)?;
            (Tensor::from_parts(mean, kept), Tensor::from_parts(var, Layout::row_major(OP, &shape)?))
        });
        let y = if self.correction == 0 {
            biased
        } else {
            biased.mul_scalar(geometry.reduced_len() as f64 * self.weight(x))?
        };
        Ok((y, (x.clone(), mean)))
    }

    /// `2 (x - mean) / (n - correction)`
    fn backward(
        &self,
        (x, mean): &Self::Saved,
        grad: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let grad = grad.reshape(mean.shape())?;
        let slope = grad.mul_scalar(2.0 * self.weight(x))?;
        Ok([Some(x.sub(mean)?.mul(&slope)?)])
    }
}
