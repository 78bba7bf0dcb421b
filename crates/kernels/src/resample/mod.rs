//! Resampling of images at places that are the same for all of them: nearest, bilinear and bicubic interpolation, and
//! low-pass filters with a step between their places.
//!
//! All of it is separable, a weighted sum of rows of weighted sums of columns, and so is its gradient, with the same
//! weights the other way around: both directions gather and write every element once.

mod elements;
mod plan;
mod reference;
mod squares;
mod vector;

#[cfg(test)]
mod blur_tests;
#[cfg(test)]
mod tests;

use crate::error::KernelError;
use crate::geometry::{BlurGeometry, Layout, ResizeGeometry, check_shape};
use crate::real::Real;
use crate::view::{View, ViewMut};
pub(crate) use plan::Plan;
use striate_simd::Level;
pub(crate) use vector::write_line;

/// `y[n, c, i, j] = sum of the pixels of x around the place of [i, j], each times its weight`.
///
/// # Errors
/// If a view does not have the geometry's shape, or memory is out.
pub fn resize<R: Real>(
    level: Level,
    g: &ResizeGeometry,
    x: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "interpolate";
    check_shape(op, "x", x.shape(), g.input())?;
    check_shape(op, "y", y.shape(), g.output())?;
    resample(level, Plan::of_resize(g), x, y)
}

/// The gradient of [`resize`]: `dx` of a pixel is the sum of `dy` over the outputs that it is in, each times its weight.
///
/// # Errors
/// If a view does not have the geometry's shape, or memory is out.
pub fn resize_backward<R: Real>(
    level: Level,
    g: &ResizeGeometry,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "interpolate backward";
    check_shape(op, "dy", dy.shape(), g.output())?;
    check_shape(op, "dx", dx.shape(), g.input())?;
    resample(level, Plan::of_resize(g).reversed(), dy, dx)
}

/// `y[n, c, i, j] = sum of the pixels of x under the filter at [i, j], each times its weight`.
///
/// # Errors
/// If a view does not have the geometry's shape, or memory is out.
pub fn blur<R: Real>(
    level: Level,
    g: &BlurGeometry,
    x: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "blur2d";
    check_shape(op, "x", x.shape(), g.input())?;
    check_shape(op, "y", y.shape(), g.output())?;
    resample(level, Plan::of_blur(g), x, y)
}

/// The gradient of [`blur`]: `dx` of a pixel is the sum of `dy` over the filters that it is under, each times its weight.
///
/// # Errors
/// If a view does not have the geometry's shape, or memory is out.
pub fn blur_backward<R: Real>(
    level: Level,
    g: &BlurGeometry,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "blur2d backward";
    check_shape(op, "dy", dy.shape(), g.output())?;
    check_shape(op, "dx", dx.shape(), g.input())?;
    resample(level, Plan::of_blur(g).reversed(), dy, dx)
}

fn resample<R: Real>(
    level: Level,
    plan: Plan,
    x: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    for layout in [Layout::Nhwc, Layout::Nchw] {
        if let Some(x) = x.as_dense(layout).and_then(R::as_f32)
            && let Some(y) = y.as_dense_mut(layout).and_then(R::as_f32_mut)
        {
            let plan = if layout == Layout::Nhwc {
                plan
            } else {
                plan.of_planes()
            };
            return vector::sum(level, &plan, x, y);
        }
    }
    reference::sum(&plan, x, y);
    Ok(())
}
