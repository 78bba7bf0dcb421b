//! Joining tensors.

use striate_kernels::copy::copy;
use striate_simd::Buffer;

use crate::autograd::{Description, VariadicFunction, apply_variadic, is_shapes_only};
use crate::dtype::match_dtype;
use crate::layout::Layout;
use crate::nest::nest;
use crate::ops::spatial::{format_of, in_format};
use crate::ops::{check_dim, check_same_dtype};
use crate::{Error, Result, Tensor};

impl Tensor {
    /// Joins tensors along an existing dimension. The result has the memory order of the first.
    ///
    /// # Errors
    /// There are no tensors, or they differ in type or in another dimension than `dim`.
    pub fn cat(tensors: &[&Self], dim: usize) -> Result<Self> {
        const OP: &str = "cat";
        let [first, rest @ ..] = tensors else {
            return Err(Error::shape(OP, "needs at least one tensor"));
        };
        check_dim(OP, first, dim)?;
        for other in rest {
            check_same_dtype(OP, first, other)?;
            let fits = other.rank() == first.rank()
                && (0..first.rank()).all(|d| d == dim || other.shape()[d] == first.shape()[d]);
            if !fits {
                let shapes: Vec<_> = tensors.iter().map(|t| t.shape()).collect();
                let detail = format!("shapes {shapes:?} differ outside of dimension {dim}");
                return Err(Error::shape(OP, detail));
            }
        }
        let sizes: Vec<usize> = tensors.iter().map(|t| t.shape()[dim]).collect();
        apply_variadic(Cat { dim, sizes }, tensors)
    }

    /// Joins tensors of one shape along a new dimension at position `dim`.
    ///
    /// # Errors
    /// There are no tensors, they differ in shape or type, or there is no such position.
    pub fn stack(tensors: &[&Self], dim: usize) -> Result<Self> {
        const OP: &str = "stack";
        let Some(first) = tensors.first() else {
            return Err(Error::shape(OP, "needs at least one tensor"));
        };
        if tensors.iter().any(|t| t.shape() != first.shape()) {
            let shapes: Vec<_> = tensors.iter().map(|t| t.shape()).collect();
            return Err(Error::shape(OP, format!("shapes {shapes:?} differ")));
        }
        if dim > first.rank() {
            let detail = format!("there is no position {dim} in shape {:?}", first.shape());
            return Err(Error::index(OP, detail));
        }
        let rows = tensors
            .iter()
            .map(|t| t.unsqueeze(dim))
            .collect::<Result<Vec<_>>>()?;
        Self::cat(&rows.iter().collect::<Vec<_>>(), dim)
    }
}

struct Cat {
    dim: usize,
    sizes: Vec<usize>,
}

impl VariadicFunction for Cat {
    type Saved = ();

    fn describe(&self) -> Description {
        Description::new("cat").with("dim", self.dim)
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<(Tensor, ())> {
        const OP: &str = "cat";
        let Some(first) = inputs.first() else {
            return Err(Error::shape(OP, "needs at least one tensor"));
        };
        let mut shape = first.shape().to_vec();
        shape[self.dim] = self
            .sizes
            .iter()
            .try_fold(0usize, |sum, &size| sum.checked_add(size))
            .ok_or_else(|| Error::shape(OP, "the sizes do not add up"))?;
        let layout = Layout::dense_like(OP, &shape, first.layout())?;
        match_dtype!(first.dtype(), T => {
            let mut out = Buffer::<T>::recycled(layout.numel())?;
            let mut start = 0;
            for (input, &size) in inputs.iter().zip(&self.sizes) {
                let part = layout.narrow(self.dim, start, size);
                if input.numel() > 0 && !is_shapes_only() {
                    let nest = nest(OP, [&part, input.layout()])?;
                    copy(&nest, input.memory::<T>()?, &mut out[part.offset()..])?;
                }
                start += size;
            }
            Ok((Tensor::from_parts(out, layout), ()))
        })
    }

    fn backward(&self, (): &(), grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        // Some channels of an image have gaps between pixels; nearly every op closes them, and sums of gradients are
        // slow across them.
        let dense = |part: Tensor| match part.rank() {
            4 => in_format(&part, format_of(&part)),
            _ => Ok(part),
        };
        let parts = grad.split(&self.sizes, self.dim)?.into_iter().zip(needs);
        parts
            .map(|(part, &needed)| needed.then(|| dense(part)).transpose())
            .collect()
    }
}
