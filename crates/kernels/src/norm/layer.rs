//! Layer normalisation: one mean and variance for a row of contiguous elements, a weight for each element of a row.
//!
//! The trailing dimensions of row-major data make a row, as do the channels of a position of channels-last data.

use super::group::{self, GroupGeometry};
use super::rows;
use super::{Affine, NormGeometry, Statistics};
use crate::error::{KernelError, check_len};
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
    let Some(x) = R::as_f32(x) else {
        return group::forward(level, &g.rows, x, affine, epsilon, y, mean, var);
    };
    let op = "layer norm";
    check_len(op, "x", x.len(), g.rows() * g.row_len())?;
    check_len(op, "y", y.len(), g.rows() * g.row_len())?;
    check_len(op, "mean", mean.len(), g.rows())?;
    check_len(op, "var", var.len(), g.rows())?;
    affine.check(op, g.row_len())?;
    let (weight, bias) = scale_and_shift(g, affine);
    let stats = (R::as_f32_mut(mean), R::as_f32_mut(var));
    if let (Some(y), (Some(mean), Some(var))) = (R::as_f32_mut(y), stats) {
        rows::forward(level, g, x, [&weight, &bias], epsilon, y, mean, var);
    }
    Ok(())
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
    let (Some(x), Some(dy)) = (R::as_f32(x), R::as_f32(dy)) else {
        return group::backward(level, &g.rows, x, dy, stats, affine, dx, dweight, dbias);
    };
    let op = "layer norm backward";
    check_len(op, "x", x.len(), g.rows() * g.row_len())?;
    check_len(op, "dy", dy.len(), g.rows() * g.row_len())?;
    check_len(op, "dx", dx.len(), g.rows() * g.row_len())?;
    check_len(op, "dweight", dweight.len(), g.row_len())?;
    check_len(op, "dbias", dbias.len(), g.row_len())?;
    stats.check(op, g.rows())?;
    affine.check(op, g.row_len())?;
    let (weight, _) = scale_and_shift(g, affine);
    let row = |i: usize| [stats.mean[i].to_f64(), stats.inverse_deviation(i)];
    let Some(dx) = R::as_f32_mut(dx) else {
        return Ok(());
    };
    let [dw, db] = rows::backward(level, g, x, dy, row, &weight, dx);
    for j in 0..g.row_len() {
        dweight[j] = R::from_f64(dw[j]);
        dbias[j] = R::from_f64(db[j]);
    }
    Ok(())
}

/// The scale and shift of each element of a row.
fn scale_and_shift<R: Real>(g: &LayerGeometry, affine: &Affine<'_, R>) -> (Vec<f32>, Vec<f32>) {
    let weight = (0..g.row_len())
        .map(|i| affine.weight_of(i) as f32)
        .collect();
    (
        weight,
        (0..g.row_len()).map(|i| affine.bias_of(i) as f32).collect(),
    )
}
