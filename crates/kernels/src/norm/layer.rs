//! Layer normalisation: one mean and variance for a row of contiguous elements, a weight for each element of a row.
//!
//! The trailing dimensions of row-major data make a row, as do the channels of a position of channels-last data.

use super::group::{self, GroupGeometry};
use super::{Affine, NormGeometry, Statistics};
use crate::error::KernelError;
use crate::geometry::{GeometryError, Layout};
use crate::real::Real;
use striate_simd::Level;

/// Rows of contiguous elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayerGeometry {
    // A row is an image of one position, with all channels in one group.
    rows: GroupGeometry,
}

impl LayerGeometry {
    /// `rows` rows of `len` elements.
    ///
    /// # Errors
    /// If the number of elements does not fit the address space.
    pub fn new(rows: usize, len: usize) -> Result<Self, GeometryError> {
        let array = NormGeometry::new(rows, len, 1, Layout::Nhwc)?;
        Ok(Self {
            rows: GroupGeometry::new(array, 1)?,
        })
    }

    /// The number of rows, and of means and variances.
    pub fn rows(&self) -> usize {
        self.rows.array().batch()
    }

    /// The number of elements of a row.
    pub fn row_len(&self) -> usize {
        self.rows.array().channels()
    }
}

/// `y = (x - mean) / sqrt(var + epsilon) * weight + bias`; writes the mean and biased variance of each row for the
/// backward pass.
///
/// # Errors
/// If a slice does not have the geometry's length.
#[expect(clippy::too_many_arguments, reason = "one input and three outputs")]
pub fn forward<R: Real>(
    level: Level,
    g: &LayerGeometry,
    x: &[R],
    affine: &Affine<'_, R>,
    epsilon: f64,
    y: &mut [R],
    mean: &mut [R],
    var: &mut [R],
) -> Result<(), KernelError> {
    group::forward(level, &g.rows, x, affine, epsilon, y, mean, var)
}

/// The gradients, as in [`group::backward`]; `dweight` and `dbias` are summed over the rows.
///
/// # Errors
/// If a slice does not have the geometry's length.
#[expect(clippy::too_many_arguments, reason = "three inputs and three outputs")]
pub fn backward<R: Real>(
    level: Level,
    g: &LayerGeometry,
    x: &[R],
    dy: &[R],
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    dx: &mut [R],
    dweight: &mut [R],
    dbias: &mut [R],
) -> Result<(), KernelError> {
    group::backward(level, &g.rows, x, dy, stats, affine, dx, dweight, dbias)
}
