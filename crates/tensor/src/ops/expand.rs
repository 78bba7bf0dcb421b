//! Repeating without copying, and the sum that undoes it.

use crate::autograd::{Description, Function, apply};
use crate::{Result, Shape, Tensor};

impl Tensor {
    /// Repeats dimensions of size 1, and new leading ones, up to `shape`. Shares memory.
    ///
    /// # Errors
    /// Another dimension than those of size 1 would have to grow.
    pub fn expand(&self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if *shape == *self.shape() {
            return Ok(self.clone());
        }
        apply(
            Expand {
                from: self.shape().to_vec(),
                to: shape.into_vec(),
            },
            [self],
        )
    }

    /// Sums over the dimensions that broadcasting `shape` to this shape would repeat.
    ///
    /// The gradient of a broadcast operand.
    ///
    /// # Errors
    /// `shape` does not broadcast to this shape.
    pub fn sum_to(&self, shape: &[usize]) -> Result<Self> {
        if shape == self.shape() {
            return Ok(self.clone());
        }
        crate::layout::Layout::row_major("sum_to", shape)?.expand("sum_to", self.shape())?;
        let lead = self.rank() - shape.len();
        let repeated: Vec<usize> = (0..self.rank())
            .filter(|&d| d < lead || (shape[d - lead] == 1 && self.shape()[d] != 1))
            .collect();
        self.sum(&repeated, true)?.reshape(shape)
    }
}

struct Expand {
    from: Vec<usize>,
    to: Vec<usize>,
}

impl Function<1> for Expand {
    type Saved = ();

    fn describe(&self) -> Description {
        Description::new("expand").with("shape", &self.to)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, ())> {
        Ok((x.view(x.layout().expand("expand", &self.to)?), ()))
    }

    fn backward(&self, (): &(), grad: &Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(grad.sum_to(&self.from)?)])
    }
}
