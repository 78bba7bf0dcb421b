//! Largest and smallest elements over dimensions, and where they are.

use striate_kernels::reduce::{ReduceGeometry, Reduction, argmax, extreme_backward};
use striate_simd::Buffer;

use crate::autograd::{Description, Function, apply, reject};
use crate::dtype::match_float;
use crate::layout::Layout;
use crate::level::current_level;
use crate::ops::dense::in_order_of;
use crate::ops::sum::{reduce_to, reduced_shape};
use crate::ops::{check_dim, check_dims};
use crate::{Error, Result, Tensor};

impl Tensor {
    /// The largest element over `dims`, which go away or stay with size 1; NaN if any is.
    ///
    /// Elements that are equally large share the gradient.
    ///
    /// # Errors
    /// A dimension does not exist, is named twice or is empty, or the elements are not floats.
    pub fn amax(&self, dims: &[usize], keepdim: bool) -> Result<Self> {
        Extremum::run("amax", Reduction::Max, self, dims, keepdim)
    }

    /// The smallest element over `dims`, which go away or stay with size 1; NaN if any is.
    ///
    /// Elements that are equally small share the gradient.
    ///
    /// # Errors
    /// A dimension does not exist, is named twice or is empty, or the elements are not floats.
    pub fn amin(&self, dims: &[usize], keepdim: bool) -> Result<Self> {
        Extremum::run("amin", Reduction::Min, self, dims, keepdim)
    }

    /// Where the first of the largest elements is along `dim`, which goes away; I64.
    ///
    /// # Errors
    /// The dimension does not exist or is empty, the elements are not floats, or the tensor tracks
    /// gradients (detach it).
    pub fn argmax(&self, dim: usize) -> Result<Self> {
        const OP: &str = "argmax";
        check_dim(OP, self, dim)?;
        reject(OP, &[self])?;
        check_not_empty(OP, self, &[dim])?;
        let geometry = ReduceGeometry::new(self.shape(), self.strides(), &[dim])?;
        let mut out = Buffer::<i64>::recycled(geometry.output_len())?;
        match_float!(OP, self.dtype(), T => {
            argmax(current_level()?, &geometry, self.memory::<T>()?, &mut out)?;
        });
        let shape = reduced_shape(self.shape(), &[dim], false);
        Ok(Self::from_parts(out, Layout::row_major(OP, &shape)?))
    }
}

pub(super) fn check_not_empty(op: &'static str, x: &Tensor, dims: &[usize]) -> Result<()> {
    match dims.iter().find(|&&d| x.shape()[d] == 0) {
        None => Ok(()),
        Some(d) => {
            let detail = format!(
                "dimension {d} of shape {:?} has no element to pick",
                x.shape()
            );
            Err(Error::shape(op, detail))
        }
    }
}

struct Extremum {
    name: &'static str,
    op: Reduction,
    dims: Vec<usize>,
    keepdim: bool,
}

impl Extremum {
    fn run(
        name: &'static str,
        op: Reduction,
        x: &Tensor,
        dims: &[usize],
        keepdim: bool,
    ) -> Result<Tensor> {
        check_dims(name, x, dims)?;
        check_not_empty(name, x, dims)?;
        apply(
            Self {
                name,
                op,
                dims: dims.to_vec(),
                keepdim,
            },
            [x],
        )
    }
}

impl Function<1> for Extremum {
    /// Argument and value.
    type Saved = (Tensor, Tensor);

    fn describe(&self) -> Description {
        Description::new(self.name)
            .with("dims", &self.dims)
            .with("keepdim", self.keepdim)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, Self::Saved)> {
        let shape = reduced_shape(x.shape(), &self.dims, self.keepdim);
        let y = reduce_to(self.name, self.op, x, &self.dims, &shape)?;
        Ok((y.clone(), (x.clone(), y)))
    }

    fn backward(
        &self,
        (x, y): &Self::Saved,
        grad: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        // The gradient has the strides of the argument, which must not overlap.
        let layout = Layout::dense_like(self.name, x.shape(), x.layout())?;
        let x = in_order_of(x, &layout)?;
        let grad = grad.contiguous()?;
        let geometry = ReduceGeometry::new(x.shape(), layout.strides(), &self.dims)?;
        match_float!(self.name, x.dtype(), T => {
            // A dense layout has no gaps.
            let mut out = Buffer::<T>::recycled(layout.numel())?;
            let (y, grad) = (y.memory::<T>()?, grad.memory()?);
            extreme_backward(current_level()?, &geometry, x.memory()?, y, grad, None, &mut out)?;
            Ok([Some(Tensor::from_parts(out, layout))])
        })
    }
}
