//! Other shapes over the same elements.

use crate::autograd::{Description, Function, apply};
use crate::dtype::match_dtype;
use crate::layout::Layout;
use crate::ops::check_dim;
use crate::{Error, Result, Shape, Tensor};

impl Tensor {
    /// The elements, in row-major order, under another shape.
    ///
    /// Shares memory where strides can express it, else copies. A channels-last image can be
    /// flattened over its pixels without copying, but not over its channels.
    ///
    /// # Errors
    /// The numbers of elements differ.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if *shape == *self.shape() {
            return Ok(self.clone());
        }
        if shape.numel() != Some(self.numel()) {
            let detail = format!(
                "{:?} ({} elements) cannot become {shape}",
                self.shape(),
                self.numel()
            );
            return Err(Error::shape("reshape", detail));
        }
        apply(
            Reshape {
                from: self.shape().to_vec(),
                to: shape.into_vec(),
            },
            [self],
        )
    }

    /// Merges dimensions `start` to `end`, both included.
    ///
    /// # Errors
    /// There are no such dimensions, or `end < start`.
    pub fn flatten(&self, start: usize, end: usize) -> Result<Self> {
        const OP: &str = "flatten";
        if self.rank() == 0 && (start, end) == (0, 0) {
            return self.reshape(1);
        }
        check_dim(OP, self, start)?;
        check_dim(OP, self, end)?;
        if end < start {
            return Err(Error::index(
                OP,
                format!("dimensions {start} to {end} are no range"),
            ));
        }
        let mut shape = self.shape().to_vec();
        // Other dimensions may be empty, so the product need not fit.
        let merged = crate::shape::checked_numel(&shape[start..=end])
            .ok_or_else(|| Error::shape(OP, format!("{shape:?} has too many elements")))?;
        shape.splice(start..=end, [merged]);
        self.reshape(shape)
    }

    /// Removes a dimension of size 1.
    ///
    /// # Errors
    /// There is no such dimension, or it has another size.
    pub fn squeeze(&self, dim: usize) -> Result<Self> {
        check_dim("squeeze", self, dim)?;
        let mut shape = self.shape().to_vec();
        if shape[dim] != 1 {
            let detail = format!("dimension {dim} of {shape:?} is not of size 1");
            return Err(Error::shape("squeeze", detail));
        }
        shape.remove(dim);
        self.reshape(shape)
    }

    /// Inserts a dimension of size 1 before position `dim`, at most the rank.
    ///
    /// # Errors
    /// There is no such position.
    pub fn unsqueeze(&self, dim: usize) -> Result<Self> {
        if dim > self.rank() {
            let detail = format!("there is no position {dim} in shape {:?}", self.shape());
            return Err(Error::index("unsqueeze", detail));
        }
        let mut shape = self.shape().to_vec();
        shape.insert(dim, 1);
        self.reshape(shape)
    }
}

struct Reshape {
    from: Vec<usize>,
    to: Vec<usize>,
}

impl Function<1> for Reshape {
    type Saved = ();

    fn describe(&self) -> Description {
        Description::new("reshape").with("shape", &self.to)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, ())> {
        if let Some(layout) = x.layout().reshape(&self.to) {
            return Ok((x.view(layout), ()));
        }
        let layout = Layout::row_major("reshape", &self.to)?;
        match_dtype!(x.dtype(), T => {
            Ok((Tensor::from_parts(x.copy_row_major::<T>()?, layout), ()))
        })
    }

    fn backward(&self, (): &(), grad: &Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(grad.reshape(&self.from)?)])
    }
}
