//! The logarithm of a sum of exponentials.

use striate_kernels::softmax::{AxisGeometry, logsumexp};
use striate_simd::Buffer;

use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::layout::Layout;
use crate::level::current_level;
use crate::ops::check_dim;
use crate::ops::sum::reduced_shape;
use crate::{Result, Tensor};

impl Tensor {
    /// `ln sum_i exp(x_i)` along `dim`, which goes away, without overflow.
    ///
    /// # Errors
    /// There is no such dimension, or the elements are not floats.
    pub fn logsumexp(&self, dim: usize) -> Result<Self> {
        check_dim("logsumexp", self, dim)?;
        apply(LogSumExp { dim }, [self])
    }
}

struct LogSumExp {
    dim: usize,
}

impl Function<1> for LogSumExp {
    /// Argument and value.
    type Saved = (Tensor, Tensor);

    fn describe(&self) -> Description {
        Description::new("logsumexp").with("dim", self.dim)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, Self::Saved)> {
        const OP: &str = "logsumexp";
        let geometry = AxisGeometry::row_major(x.shape(), self.dim)?;
        let layout = Layout::row_major(OP, &reduced_shape(x.shape(), &[self.dim], false))?;
        let dense = x.contiguous()?;
        let y = match_float!(OP, x.dtype(), T => {
            let mut out = Buffer::<T>::recycled(layout.numel())?;
            logsumexp(current_level()?, &geometry, dense.memory()?, &mut out)?;
            Tensor::from_parts(out, layout)
        });
        Ok((y.clone(), (x.clone(), y)))
    }

    /// `softmax(x) = exp(x - y)`
    fn backward(
        &self,
        (x, y): &Self::Saved,
        grad: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let softmax = x.sub(&y.unsqueeze(self.dim)?)?.exp()?;
        Ok([Some(softmax.mul(&grad.unsqueeze(self.dim)?)?)])
    }
}
