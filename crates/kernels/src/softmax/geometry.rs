//! One dimension of a dense array.

use crate::geometry::{GeometryError, element_count};

/// A dense array seen as `[outer, len, inner]` around the dimension of length `len`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AxisGeometry {
    outer: usize,
    len: usize,
    inner: usize,
}

impl AxisGeometry {
    /// The dimension of length `len`, with `inner` elements between its steps, `outer` times.
    ///
    /// # Errors
    /// If the number of elements does not fit the address space.
    pub fn new(outer: usize, len: usize, inner: usize) -> Result<Self, GeometryError> {
        element_count("axis", "shape", &[outer, len, inner])?;
        Ok(Self { outer, len, inner })
    }

    /// Dimension `axis` of a row-major array.
    ///
    /// # Errors
    /// If there is no such dimension or the number of elements does not fit the address space.
    pub fn row_major(shape: &[usize], axis: usize) -> Result<Self, GeometryError> {
        element_count("axis", "shape", shape)?;
        let Some(&len) = shape.get(axis) else {
            let rule = format!("it must be one of {} dimensions", shape.len());
            return Err(GeometryError::new("axis", "axis", axis.to_string(), rule));
        };
        Self::new(
            shape[..axis].iter().product(),
            len,
            shape[axis + 1..].iter().product(),
        )
    }

    /// The number of times the dimension and everything inside it repeats.
    pub fn outer(&self) -> usize {
        self.outer
    }

    /// The length of the dimension.
    #[expect(
        clippy::len_without_is_empty,
        reason = "the length of a dimension, not of a collection"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The number of elements between two steps of the dimension.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// The number of elements.
    pub fn total(&self) -> usize {
        self.outer * self.len * self.inner
    }
}
