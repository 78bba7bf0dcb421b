//! Shapes as arguments.

use std::fmt;
use std::ops::Deref;

/// The sizes of a tensor's dimensions, outermost first.
///
/// Arguments take `impl Into<Shape>`: an array, a slice, a vector, one number for rank 1, `()` for rank 0.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The sizes.
    #[must_use]
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// The sizes as a vector.
    #[must_use]
    pub fn into_vec(self) -> Vec<usize> {
        self.0
    }

    /// Number of elements, if it can be counted.
    #[must_use]
    pub fn numel(&self) -> Option<usize> {
        checked_numel(&self.0)
    }
}

/// Product of the sizes; an empty dimension makes it 0 whatever the others are.
pub(crate) fn checked_numel(dims: &[usize]) -> Option<usize> {
    if dims.contains(&0) {
        return Some(0);
    }
    dims.iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(dim))
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<()> for Shape {
    fn from((): ()) -> Self {
        Self(Vec::new())
    }
}

impl From<usize> for Shape {
    fn from(dim: usize) -> Self {
        Self(vec![dim])
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Self(dims)
    }
}

impl From<&Vec<usize>> for Shape {
    fn from(dims: &Vec<usize>) -> Self {
        Self(dims.clone())
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Self(dims.to_vec())
    }
}

impl From<&Self> for Shape {
    fn from(shape: &Self) -> Self {
        shape.clone()
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Self(dims.to_vec())
    }
}

impl<const N: usize> From<&[usize; N]> for Shape {
    fn from(dims: &[usize; N]) -> Self {
        Self(dims.to_vec())
    }
}
