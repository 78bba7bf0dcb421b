//! Functions of two numbers, and the arrays they are applied to.

use crate::geometry::GeometryError;
use crate::nest::LoopNest;
use crate::real::Real;

/// A function of corresponding elements of two arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// The larger; NaN if either is.
    Max,
    /// The smaller; NaN if either is.
    Min,
    /// `max(a + b, 0)`: the end of a residual block.
    AddRelu,
}

impl Binary {
    /// The value at `(a, b)`.
    pub fn value<R: Real>(self, a: R, b: R) -> R {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Max => a.maximum(b),
            Self::Min => a.minimum(b),
            Self::AddRelu => (a + b).maximum(R::ZERO),
        }
    }
}

/// Two arrays of one logical shape and the array their combination is written to, each with its own strides: a stride of
/// zero broadcasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinaryGeometry {
    pub(super) nest: LoopNest<3>,
}

impl BinaryGeometry {
    /// The geometry of arrays of the (broadcast) shape `shape`, with strides in elements.
    ///
    /// # Errors
    /// If the strides are not as many as the dimensions, or an offset does not fit the address space.
    pub fn new(
        shape: &[usize],
        a_strides: &[usize],
        b_strides: &[usize],
        out_strides: &[usize],
    ) -> Result<Self, GeometryError> {
        let nest = LoopNest::new("binary", shape, [out_strides, a_strides, b_strides])?;
        Ok(Self { nest })
    }

    /// The number of elements written.
    pub fn len(&self) -> usize {
        self.nest.len()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.nest.is_empty()
    }
}
