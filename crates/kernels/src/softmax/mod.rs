//! Softmax and its logarithm along one dimension.
//!
//! The data is dense and seen as `[outer, len, inner]`, `len` being the dimension in question. Channels-last data whose
//! channels are normalised has `inner = 1` like the last dimension of row-major data.

mod columns;
mod geometry;
pub(crate) mod reference;
mod rows;
mod vector;

#[cfg(test)]
mod tests;

pub use geometry::AxisGeometry;

use crate::error::{KernelError, check_len};
use crate::real::Real;
use striate_simd::Level;

/// `y_i = exp(x_i - m) / sum_j exp(x_j - m)`, with `m` the largest `x`. Of `f32`, a weight too small for a normal number is 0,
/// as is such a gradient: products with subnormal numbers are slow.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn softmax<R: Real>(
    level: Level,
    g: &AxisGeometry,
    x: &[R],
    y: &mut [R],
) -> Result<(), KernelError> {
    check_len("softmax", "x", x.len(), g.total())?;
    check_len("softmax", "y", y.len(), g.total())?;
    if let (Some(x), Some(y)) = (R::as_f32(x), R::as_f32_mut(y)) {
        vector::softmax(level, g, x, y);
    } else {
        reference::softmax(g, x, y);
    }
    Ok(())
}

/// `dx_i = y_i (dy_i - sum_j y_j dy_j)`, from the value `y`.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn softmax_backward<R: Real>(
    level: Level,
    g: &AxisGeometry,
    y: &[R],
    dy: &[R],
    dx: &mut [R],
) -> Result<(), KernelError> {
    check_len("softmax backward", "y", y.len(), g.total())?;
    check_len("softmax backward", "dy", dy.len(), g.total())?;
    check_len("softmax backward", "dx", dx.len(), g.total())?;
    if let (Some(y), Some(dy), Some(dx)) = (R::as_f32(y), R::as_f32(dy), R::as_f32_mut(dx)) {
        vector::softmax_backward(level, g, y, dy, dx);
    } else {
        reference::softmax_backward(g, y, dy, dx);
    }
    Ok(())
}

/// `y_i = x_i - m - ln sum_j exp(x_j - m)`, with `m` the largest `x`.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn log_softmax<R: Real>(
    level: Level,
    g: &AxisGeometry,
    x: &[R],
    y: &mut [R],
) -> Result<(), KernelError> {
    check_len("log_softmax", "x", x.len(), g.total())?;
    check_len("log_softmax", "y", y.len(), g.total())?;
    if let (Some(x), Some(y)) = (R::as_f32(x), R::as_f32_mut(y)) {
        vector::log_softmax(level, g, x, y);
    } else {
        reference::log_softmax(g, x, y);
    }
    Ok(())
}

/// `dx_i = dy_i - exp(y_i) sum_j dy_j`, from the value `y`.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn log_softmax_backward<R: Real>(
    level: Level,
    g: &AxisGeometry,
    y: &[R],
    dy: &[R],
    dx: &mut [R],
) -> Result<(), KernelError> {
    check_len("log_softmax backward", "y", y.len(), g.total())?;
    check_len("log_softmax backward", "dy", dy.len(), g.total())?;
    check_len("log_softmax backward", "dx", dx.len(), g.total())?;
    if let (Some(y), Some(dy), Some(dx)) = (R::as_f32(y), R::as_f32(dy), R::as_f32_mut(dx)) {
        vector::log_softmax_backward(level, g, y, dy, dx);
    } else {
        reference::log_softmax_backward(g, y, dy, dx);
    }
    Ok(())
}

/// `y = m + ln sum_j exp(x_j - m)`, with `m` the largest `x`; `y` is `[outer, inner]`. Its gradient is
/// `dx = softmax(x) * dy`.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn logsumexp<R: Real>(
    level: Level,
    g: &AxisGeometry,
    x: &[R],
    y: &mut [R],
) -> Result<(), KernelError> {
    check_len("logsumexp", "x", x.len(), g.total())?;
    check_len("logsumexp", "y", y.len(), g.outer() * g.inner())?;
    if let (Some(x), Some(y)) = (R::as_f32(x), R::as_f32_mut(y)) {
        vector::logsumexp(level, g, x, y);
    } else {
        reference::logsumexp(g, x, y);
    }
    Ok(())
}
