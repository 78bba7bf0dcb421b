//! Pooling: maximum, average, adaptive and global.
//!
//! All functions take views of any strides; dense channels-last `f32` is computed on vectors. Padding is minus infinity for a maximum and zero for an average.
//!
//! A maximum is NaN if a tap is; of equal maxima the first in row-major order of the window wins. The backward pass of
//! [`max`] reads which tap won from a `u8` per output ([`NO_TAP`] where the window lies wholly in the padding), which is
//! an eighth of what an index would take; windows of more taps than fit use [`max_backward_from_input`].
//! The global pools are the adaptive ones with an output of one by one.

mod plan;
pub(crate) mod reference;
mod vector;

#[cfg(test)]
mod tests;

use crate::error::KernelError;
use crate::geometry::{AdaptivePoolGeometry, GeometryError, Layout, PoolGeometry, check_shape};
use crate::real::Real;
use crate::reduce::{ReduceGeometry, Reduction, reduce};
use crate::view::{View, ViewMut, dense_strides, source, target};
pub(crate) use plan::Plan;
use plan::{cell_factors, window_factors};
use striate_simd::Level;
use vector::Factors;
pub(crate) use vector::{max_line, max_line_with_ids, win_line};

/// Marks an output of [`max`] whose window has no tap inside the input.
pub const NO_TAP: u8 = u8::MAX;

/// How an average pooling divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Divisor {
    /// By the number of taps inside the input or its padding.
    IncludePad,
    /// By the number of taps inside the input.
    ExcludePad,
    /// By a given number.
    Fixed(usize),
}

impl Divisor {
    /// The factor of the sum over the window of output `[oy, ox]`; zero if there is nothing to divide by.
    fn factor(self, g: &PoolGeometry, oy: usize, ox: usize) -> f64 {
        let counted = |pad| g.taps_counted(0, oy, pad) * g.taps_counted(1, ox, pad);
        let count = match self {
            Self::IncludePad => counted(true),
            Self::ExcludePad => counted(false),
            Self::Fixed(count) => count,
        };
        if count == 0 { 0.0 } else { 1.0 / count as f64 }
    }
}

/// Whether the taps of a window can be told apart by a `u8`, as [`max`] needs to record them.
pub fn taps_fit(g: &PoolGeometry) -> bool {
    g.taps() <= usize::from(NO_TAP)
}

/// `y = max of x over the window`. `taps`, if given, has the shape of `y` and receives the number `ky * kernel_w + kx` of
/// the tap that won.
///
/// # Errors
/// If a view does not have the geometry's shape, or `taps` is given for a window of more than 255 taps.
pub fn max<R: Real>(
    level: Level,
    g: &PoolGeometry,
    x: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
    mut taps: Option<&mut ViewMut<'_, u8>>,
) -> Result<(), KernelError> {
    let op = "max_pool2d";
    check_shape(op, "x", x.shape(), g.input())?;
    check_shape(op, "y", y.shape(), g.output())?;
    if let Some(taps) = &taps {
        check_shape(op, "taps", taps.shape(), g.output())?;
        check_taps(op, g)?;
    }
    let dense_taps = taps.as_deref_mut().map(|t| t.as_dense_mut(Layout::Nhwc));
    if let (Some(x), Some(y)) = (source(x), target(y))
        && let None | Some(Some(_)) = dense_taps
    {
        vector::max(level, &Plan::of_windows(g), x, y, dense_taps.flatten());
    } else {
        reference::max(g, x, y, taps);
    }
    Ok(())
}

/// The gradient of [`max`] from the taps that won: `dx` of the element that won is the sum of `dy` over the windows that it
/// won.
///
/// # Errors
/// If a view does not have the geometry's shape, or the window has more than 255 taps.
pub fn max_backward<R: Real>(
    level: Level,
    g: &PoolGeometry,
    taps: &View<'_, u8>,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "max_pool2d backward";
    check_shape(op, "taps", taps.shape(), g.output())?;
    check_shape(op, "dy", dy.shape(), g.output())?;
    check_shape(op, "dx", dx.shape(), g.input())?;
    check_taps(op, g)?;
    if let (Some(taps), Some(dy)) = (taps.as_dense(Layout::Nhwc), source(dy))
        && let Some(dx) = target(dx)
    {
        vector::max_backward(level, &Plan::of_windows(g).reversed(), taps, dy, dx);
    } else {
        reference::max_backward(g, taps, dy, dx);
    }
    Ok(())
}

/// The gradient of [`max`] from its input, for windows of any size.
///
/// # Errors
/// If a view does not have the geometry's shape.
pub fn max_backward_from_input<R: Real>(
    _level: Level,
    g: &PoolGeometry,
    x: &View<'_, R>,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "max_pool2d backward";
    check_shape(op, "x", x.shape(), g.input())?;
    check_shape(op, "dy", dy.shape(), g.output())?;
    check_shape(op, "dx", dx.shape(), g.input())?;
    reference::max_backward_from_input(g, x, dy, dx);
    Ok(())
}

/// `y = sum of x over the window / divisor`.
///
/// # Errors
/// If a view does not have the geometry's shape.
pub fn average<R: Real>(
    level: Level,
    g: &PoolGeometry,
    divisor: Divisor,
    x: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "avg_pool2d";
    check_shape(op, "x", x.shape(), g.input())?;
    check_shape(op, "y", y.shape(), g.output())?;
    check_divisor(op, divisor)?;
    if let (Some(x), Some(y)) = (source(x), target(y)) {
        let factors = window_factors(g, divisor);
        vector::sum(
            level,
            &Plan::of_windows(g),
            x,
            Factors::Written(&factors),
            y,
        );
    } else {
        reference::average(g, divisor, x, y);
    }
    Ok(())
}

/// The gradient of [`average`]: `dx = sum of dy / divisor` over the windows that an element is in.
///
/// # Errors
/// If a view does not have the geometry's shape.
pub fn average_backward<R: Real>(
    level: Level,
    g: &PoolGeometry,
    divisor: Divisor,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "avg_pool2d backward";
    check_shape(op, "dy", dy.shape(), g.output())?;
    check_shape(op, "dx", dx.shape(), g.input())?;
    check_divisor(op, divisor)?;
    if let (Some(dy), Some(dx)) = (source(dy), target(dx)) {
        let factors = window_factors(g, divisor);
        let plan = Plan::of_windows(g).reversed();
        vector::sum(level, &plan, dy, Factors::Read(&factors), dx);
    } else {
        reference::average_backward(g, divisor, dy, dx);
    }
    Ok(())
}

/// `y = mean of x over the covered positions`.
///
/// # Errors
/// If a view does not have the geometry's shape.
pub fn adaptive_average<R: Real>(
    level: Level,
    g: &AdaptivePoolGeometry,
    x: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "adaptive_avg_pool2d";
    check_shape(op, "x", x.shape(), g.input())?;
    check_shape(op, "y", y.shape(), g.output())?;
    if global(level, Reduction::Mean, x, y)? {
        return Ok(());
    }
    if let (Some(x), Some(y)) = (source(x), target(y)) {
        let factors = cell_factors(g);
        vector::sum(level, &Plan::of_cells(g), x, Factors::Written(&factors), y);
    } else {
        reference::adaptive_average(g, x, y);
    }
    Ok(())
}

/// The gradient of [`adaptive_average`].
///
/// # Errors
/// If a view does not have the geometry's shape.
pub fn adaptive_average_backward<R: Real>(
    level: Level,
    g: &AdaptivePoolGeometry,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "adaptive_avg_pool2d backward";
    check_shape(op, "dy", dy.shape(), g.output())?;
    check_shape(op, "dx", dx.shape(), g.input())?;
    if let (Some(dy), Some(dx)) = (source(dy), target(dx)) {
        let plan = Plan::of_cells(g).reversed();
        vector::sum(level, &plan, dy, Factors::Read(&cell_factors(g)), dx);
    } else {
        reference::adaptive_average_backward(g, dy, dx);
    }
    Ok(())
}

/// `y = max of x over the covered positions`. `places`, if given, has the shape of `y` and receives the position
/// `h * W + w` of the element that won.
///
/// # Errors
/// If a view does not have the geometry's shape, or `places` is given for an image of more than 2^31 positions.
pub fn adaptive_max<R: Real>(
    level: Level,
    g: &AdaptivePoolGeometry,
    x: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
    mut places: Option<&mut ViewMut<'_, i32>>,
) -> Result<(), KernelError> {
    let op = "adaptive_max_pool2d";
    check_shape(op, "x", x.shape(), g.input())?;
    check_shape(op, "y", y.shape(), g.output())?;
    if let Some(places) = &places {
        check_shape(op, "places", places.shape(), g.output())?;
        let [_, _, h, w] = g.input();
        if i32::try_from(h * w).is_err() {
            let rule = "its positions must be counted by 31 bits";
            return Err(GeometryError::new(op, "input", format!("{:?}", g.input()), rule).into());
        }
    }
    if places.is_none() && global(level, Reduction::Max, x, y)? {
        return Ok(());
    }
    let dense_places = places.as_deref_mut().map(|p| p.as_dense_mut(Layout::Nhwc));
    if let (Some(x), Some(y)) = (source(x), target(y))
        && let None | Some(Some(_)) = dense_places
    {
        vector::max(level, &Plan::of_cells(g), x, y, dense_places.flatten());
    } else {
        reference::adaptive_max(g, x, y, places);
    }
    Ok(())
}

/// The gradient of [`adaptive_max`] from the positions that won.
///
/// # Errors
/// If a view does not have the geometry's shape. A position outside the image is left out.
pub fn adaptive_max_backward<R: Real>(
    level: Level,
    g: &AdaptivePoolGeometry,
    places: &View<'_, i32>,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) -> Result<(), KernelError> {
    let op = "adaptive_max_pool2d backward";
    check_shape(op, "places", places.shape(), g.output())?;
    check_shape(op, "dy", dy.shape(), g.output())?;
    check_shape(op, "dx", dx.shape(), g.input())?;
    if let (Some(places), Some(dy)) = (places.as_dense(Layout::Nhwc), source(dy))
        && let Some(dx) = target(dx)
    {
        vector::max_backward(level, &Plan::of_cells(g).reversed(), places, dy, dx);
    } else {
        reference::adaptive_max_backward(g, places, dy, dx);
    }
    Ok(())
}

/// Reduces each image of each channel to the one pixel of `y`; false, and nothing done, if there are more, or gaps.
fn global<R: Real>(
    level: Level,
    op: Reduction,
    x: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
) -> Result<bool, KernelError> {
    let ([_, _, h, w], shape) = (y.shape(), x.shape());
    for layout in [Layout::Nhwc, Layout::Nchw] {
        if [h, w] == [1, 1]
            && let Some(x) = x.as_dense(layout)
            && let Some(y) = y.as_dense_mut(Layout::Nchw)
        {
            let g = ReduceGeometry::new(&shape, &dense_strides(shape, layout), &[2, 3])?;
            reduce(level, op, &g, x, y)?;
            return Ok(true);
        }
    }
    Ok(false)
}

pub(crate) fn check_taps(op: &'static str, g: &PoolGeometry) -> Result<(), KernelError> {
    if taps_fit(g) {
        return Ok(());
    }
    let rule = "at most 255 taps can be recorded: recompute them from the input";
    Err(GeometryError::new(op, "kernel", format!("{:?}", g.window().kernel), rule).into())
}

fn check_divisor(op: &'static str, divisor: Divisor) -> Result<(), KernelError> {
    if divisor != Divisor::Fixed(0) {
        return Ok(());
    }
    Err(GeometryError::new(op, "divisor", "0", "it must be positive").into())
}
