//! Parts of a tensor along a dimension.

use striate_kernels::copy::copy;
use striate_simd::Buffer;

use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::layout::Layout;
use crate::nest::nest;
use crate::ops::check_dim;
use crate::{Error, Result, Tensor};

impl Tensor {
    /// `len` entries of dimension `dim` from `start`. Shares memory.
    ///
    /// # Errors
    /// There is no such dimension, or the range leaves it.
    pub fn narrow(&self, dim: usize, start: usize, len: usize) -> Result<Self> {
        const OP: &str = "narrow";
        check_dim(OP, self, dim)?;
        if start
            .checked_add(len)
            .is_none_or(|end| end > self.shape()[dim])
        {
            let detail = format!(
                "{len} entries from {start} leave dimension {dim} of shape {:?}",
                self.shape()
            );
            return Err(Error::index(OP, detail));
        }
        apply(Narrow { dim, start, len }, [self])
    }

    /// Entry `index` of dimension `dim`, which goes away. Shares memory.
    ///
    /// # Errors
    /// There is no such dimension or entry.
    pub fn select(&self, dim: usize, index: usize) -> Result<Self> {
        check_dim("select", self, dim)?;
        if index >= self.shape()[dim] {
            let detail = format!(
                "no entry {index} in dimension {dim} of shape {:?}",
                self.shape()
            );
            return Err(Error::index("select", detail));
        }
        self.narrow(dim, index, 1)?.squeeze(dim)
    }

    /// Consecutive parts of the given sizes along `dim`. They share memory.
    ///
    /// # Errors
    /// There is no such dimension, or the sizes do not add up to its size.
    pub fn split(&self, sizes: &[usize], dim: usize) -> Result<Vec<Self>> {
        const OP: &str = "split";
        check_dim(OP, self, dim)?;
        let total = sizes
            .iter()
            .try_fold(0usize, |sum, &size| sum.checked_add(size));
        if total != Some(self.shape()[dim]) {
            let detail = format!(
                "sizes {sizes:?} do not make up dimension {dim} of shape {:?}",
                self.shape()
            );
            return Err(Error::shape(OP, detail));
        }
        let mut start = 0;
        sizes
            .iter()
            .map(|&size| {
                let part = self.narrow(dim, start, size);
                start += size;
                part
            })
            .collect()
    }

    /// `chunks` equal parts along `dim`. They share memory.
    ///
    /// # Errors
    /// There is no such dimension, or it cannot be divided so.
    pub fn chunk(&self, chunks: usize, dim: usize) -> Result<Vec<Self>> {
        check_dim("chunk", self, dim)?;
        let size = self.shape()[dim];
        if chunks == 0 || !size.is_multiple_of(chunks) {
            let detail = format!(
                "dimension {dim} of shape {:?} does not divide into {chunks} equal parts",
                self.shape()
            );
            return Err(Error::shape("chunk", detail));
        }
        (0..chunks)
            .map(|i| self.narrow(dim, i * (size / chunks), size / chunks))
            .collect()
    }
}

struct Narrow {
    dim: usize,
    start: usize,
    len: usize,
}

impl Function<1> for Narrow {
    /// Where the elements of the input lay.
    type Saved = Layout;

    fn describe(&self) -> Description {
        Description::new("narrow")
            .with("dim", self.dim)
            .with("start", self.start)
            .with("len", self.len)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, Layout)> {
        let layout = x.layout().narrow(self.dim, self.start, self.len);
        Ok((x.view(layout), x.layout().clone()))
    }

    /// The gradient in its place, zeros around it.
    fn backward(&self, input: &Layout, grad: &Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        const OP: &str = "narrow";
        let layout = Layout::dense_like(OP, input.shape(), input)?;
        let part = layout.narrow(self.dim, self.start, self.len);
        match_float!(OP, grad.dtype(), T => {
            let mut out = Buffer::<T>::zeroed(layout.numel())?;
            if part.numel() > 0 {
                let nest = nest(OP, [&part, grad.layout()])?;
                copy(&nest, grad.memory::<T>()?, &mut out[part.offset()..])?;
            }
            Ok([Some(Tensor::from_parts(out, layout))])
        })
    }

    /// The gradient added in its place.
    fn accumulate(&self, _: &Layout, grad: &Tensor, sum: &mut Tensor) -> Result<bool> {
        let part = sum.layout().narrow(self.dim, self.start, self.len);
        sum.add_to_part(&part, grad)
    }
}
