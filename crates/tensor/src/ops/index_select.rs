//! Entries picked by number.

use striate_simd::Buffer;

use crate::autograd::{Description, Function, apply};
use crate::dtype::{match_dtype, match_float};
use crate::layout::Layout;
use crate::nest::{for_each, nest};
use crate::ops::check_dim;
use crate::{DType, Error, Result, Tensor};

impl Tensor {
    /// The entries of dimension `dim` whose numbers `index` (I64, rank 1) lists, in its order.
    ///
    /// # Errors
    /// There is no such dimension or entry, or `index` is not I64 of rank 1.
    pub fn index_select(&self, dim: usize, index: &Self) -> Result<Self> {
        const OP: &str = "index_select";
        check_dim(OP, self, dim)?;
        if index.dtype() != DType::I64 {
            return Err(Error::dtype(OP, index.dtype(), "i64 indices"));
        }
        if index.rank() != 1 {
            let detail = format!("indices must have rank 1, got shape {:?}", index.shape());
            return Err(Error::shape(OP, detail));
        }
        let size = self.shape()[dim];
        let picks = index
            .to_vec::<i64>()?
            .into_iter()
            .map(|i| usize::try_from(i).ok().filter(|&i| i < size).ok_or(i))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|i| {
                let shape = self.shape();
                Error::index(
                    OP,
                    format!("no entry {i} in dimension {dim} of shape {shape:?}"),
                )
            })?;
        IndexSelect::run(OP, self, dim, picks)
    }
}

/// `y[.., i, ..] = x[.., picks[i], ..]`
pub(super) struct IndexSelect {
    name: &'static str,
    dim: usize,
    picks: Vec<usize>,
    input: Vec<usize>,
}

impl IndexSelect {
    /// Picks entries, which must exist.
    pub(super) fn run(
        name: &'static str,
        x: &Tensor,
        dim: usize,
        picks: Vec<usize>,
    ) -> Result<Tensor> {
        let input = x.shape().to_vec();
        apply(
            Self {
                name,
                dim,
                picks,
                input,
            },
            [x],
        )
    }
}

impl Function<1> for IndexSelect {
    type Saved = ();

    fn describe(&self) -> Description {
        Description::new(self.name)
            .with("dim", self.dim)
            .with("count", self.picks.len())
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, ())> {
        let mut shape = self.input.clone();
        shape[self.dim] = self.picks.len();
        let layout = Layout::dense_like(self.name, &shape, x.layout())?;
        match_dtype!(x.dtype(), T => {
            let memory = x.memory::<T>()?;
            let mut out = Buffer::<T>::recycled(layout.numel())?;
            for (to, &from) in self.picks.iter().enumerate() {
                let (o, i) = (layout.narrow(self.dim, to, 1), from * x.strides()[self.dim]);
                let entry = x.layout().narrow(self.dim, 0, 1);
                let base = o.offset();
                for_each(&nest(self.name, [&o, &entry])?, |[a, b]| out[base + a] = memory[i + b]);
            }
            Ok((Tensor::from_parts(out, layout), ()))
        })
    }

    /// Gradients of an entry picked twice add up.
    fn backward(&self, (): &(), grad: &Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        let layout = Layout::dense_like(self.name, &self.input, grad.layout())?;
        match_float!(self.name, grad.dtype(), T => {
            let memory = grad.memory::<T>()?;
            let mut out = Buffer::<T>::zeroed(layout.numel())?;
            for (from, &to) in self.picks.iter().enumerate() {
                let (o, i) = (layout.narrow(self.dim, to, 1), from * grad.strides()[self.dim]);
                let entry = grad.layout().narrow(self.dim, 0, 1);
                let base = o.offset();
                for_each(&nest(self.name, [&o, &entry])?, |[a, b]| out[base + a] += memory[i + b]);
            }
            Ok([Some(Tensor::from_parts(out, layout))])
        })
    }
}
