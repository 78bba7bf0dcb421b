//! Sampling of images at places of their own: `grid_sample` (Jaderberg et al., "Spatial Transformer Networks", 2015).
//!
//! A place is `(x, y)`, in a grid `[N, OH, OW, 2]`; what it means and what lies outside says the geometry. Places that are not
//! finite lie outside: zero where the padding is zeros, otherwise as -1. The gradient by a place is zero where the
//! padding holds it fast, and for the nearest pixel.

mod reference;
pub(crate) mod taps;
mod vector;

#[cfg(test)]
mod tests;

use crate::error::KernelError;
use crate::geometry::{Layout, SampleGeometry, check_shape};
use crate::real::Real;
use crate::view::{View, ViewMut, source, target};
use striate_simd::Level;

/// `y[n, c, i, j] = sum of the pixels of x[n, c] around grid[n, i, j], each times its weight`.
///
/// # Errors
/// If a view does not have the geometry's shape.
pub fn grid_sample<R: Real>(
    level: Level,
    g: &SampleGeometry,
    x: &View<'_, R>,
    grid: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "grid_sample";
    check_shape(op, "x", x.shape(), g.input())?;
    check_shape(op, "grid", grid.shape(), g.grid())?;
    check_shape(op, "y", y.shape(), g.output())?;
    if let (Some(x), Some(places), Some(y)) = (source(x), places(grid), target(y)) {
        vector::forward(level, g, x, places, y);
    } else {
        reference::forward(g, x, grid, y);
    }
    Ok(())
}

/// The gradient of [`grid_sample`] by the images.
///
/// # Errors
/// If a view does not have the geometry's shape.
pub fn grid_sample_backward_input<R: Real>(
    level: Level,
    g: &SampleGeometry,
    grid: &View<'_, R>,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "grid_sample backward";
    check_shape(op, "grid", grid.shape(), g.grid())?;
    check_shape(op, "dy", dy.shape(), g.output())?;
    check_shape(op, "dx", dx.shape(), g.input())?;
    if let (Some(places), Some(dy), Some(dx)) = (places(grid), source(dy), target(dx)) {
        vector::backward_input(level, g, places, dy, dx);
    } else {
        reference::backward_input(g, grid, dy, dx);
    }
    Ok(())
}

/// The gradient of [`grid_sample`] by the places.
///
/// # Errors
/// If a view does not have the geometry's shape.
pub fn grid_sample_backward_grid<R: Real>(
    level: Level,
    g: &SampleGeometry,
    x: &View<'_, R>,
    grid: &View<'_, R>,
    dy: &View<'_, R>,
    dgrid: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "grid_sample backward";
    check_shape(op, "x", x.shape(), g.input())?;
    check_shape(op, "grid", grid.shape(), g.grid())?;
    check_shape(op, "dy", dy.shape(), g.output())?;
    check_shape(op, "dgrid", dgrid.shape(), g.grid())?;
    if let (Some(x), Some(places), Some(dy)) = (source(x), places(grid), source(dy))
        && let Some(dgrid) = dgrid.as_dense_mut(Layout::Nchw).and_then(R::as_f32_mut)
    {
        vector::backward_grid(level, g, x, places, dy, dgrid);
    } else {
        reference::backward_grid(g, x, grid, dy, dgrid);
    }
    Ok(())
}

/// A grid that the vector kernels can read.
fn places<'a, R: Real>(view: &View<'a, R>) -> Option<&'a [f32]> {
    R::as_f32(view.as_dense(Layout::Nchw)?)
}
