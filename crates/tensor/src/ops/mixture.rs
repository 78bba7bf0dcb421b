//! Mixtures of experts' weights.

use striate_kernels::mixture::{self, Mixture};
use striate_kernels::real::Real;
use striate_simd::Buffer;

use super::{check_float, check_same_dtype};
use crate::autograd::{Description, Function, apply, is_shapes_only};
use crate::dtype::match_float;
use crate::layout::Layout;
use crate::{Element, Error, MemoryFormat, Result, Tensor, current_level};

const OP: &str = "mixture";

impl Tensor {
    /// For each row of factors the sum of `experts`, each times its factor: `y[n] = sum over e of self[n, e] experts[e]`.
    ///
    /// A matrix product in one pass over the experts, however few the rows are.
    ///
    /// # Shapes
    /// `[N, E]` and `[E, ...]` to `[N, ...]`.
    ///
    /// # Errors
    /// The shapes do not fit, the types differ or are not float, or memory is out.
    pub fn mixture(&self, experts: &Self) -> Result<Self> {
        check_float(OP, self)?;
        check_same_dtype(OP, self, experts)?;
        let [_, factors] = self.dims_array(OP)?;
        if experts.shape().first() != Some(&factors) {
            let detail = format!(
                "factors {:?} need {factors} experts, got {:?}",
                self.shape(),
                experts.shape()
            );
            return Err(Error::shape(OP, detail));
        }
        apply(Mix, [&self.contiguous()?, &experts.contiguous()?])
    }
}

#[derive(Debug)]
struct Mix;

/// The sizes of a mixture of `rows`, each of the shape of an expert.
fn sizes(samples: usize, rows: &Tensor) -> Mixture {
    Mixture {
        samples,
        rows: rows.shape()[0],
        len: rows.shape()[1..].iter().product(),
    }
}

/// `[samples, rows] * rows` for contiguous operands.
fn mix<T: Element + Real>(a: &Tensor, rows: &Tensor) -> Result<Tensor> {
    let m = sizes(a.shape()[0], rows);
    let shape = [&a.shape()[..1], &rows.shape()[1..]].concat();
    let mut y = Buffer::<T>::recycled(Layout::row_major(OP, &shape)?.numel())?;
    if !is_shapes_only() {
        mixture::mix(current_level()?, &m, a.memory()?, rows.memory()?, &mut y)?;
    }
    Tensor::from_buffer(y, shape, MemoryFormat::RowMajor)
}

impl Function<2> for Mix {
    type Saved = [Tensor; 2];

    fn describe(&self) -> Description {
        Description::new(OP)
    }

    fn forward(&self, [factors, experts]: [&Tensor; 2]) -> Result<(Tensor, [Tensor; 2])> {
        let y = match_float!(OP, factors.dtype(), T => mix::<T>(factors, experts)?);
        Ok((y, [factors.clone(), experts.clone()]))
    }

    /// The gradient of an expert is a mixture of those of the results.
    fn backward(
        &self,
        [factors, experts]: &[Tensor; 2],
        grad: &Tensor,
        [to_factors, to_experts]: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let grad = grad.contiguous()?;
        match_float!(OP, grad.dtype(), T => {
            let factor_gradient = || {
                let mut da = Buffer::<T>::recycled(factors.numel())?;
                let (m, dy) = (sizes(factors.shape()[0], experts), grad.memory()?);
                mixture::products(current_level()?, &m, dy, experts.memory()?, &mut da)?;
                Tensor::from_buffer(da, factors.shape(), MemoryFormat::RowMajor)
            };
            let expert_gradient = || mix::<T>(&factors.transpose(0, 1)?.contiguous()?, &grad);
            Ok([
                to_factors.then(factor_gradient).transpose()?,
                to_experts.then(expert_gradient).transpose()?,
            ])
        })
    }
}
