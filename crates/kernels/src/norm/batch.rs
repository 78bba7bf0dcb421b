//! Batch normalisation: one mean and variance for a channel of all images.

use super::{Affine, NormGeometry, Statistics, reference};
use crate::error::{KernelError, check_len};
use crate::real::Real;
use striate_simd::Level;

/// Which mean and variance a channel's.
fn share(_n: usize, c: usize) -> usize {
    c
}

/// The mean and biased variance of each channel: `[C]` each; NaN if there are no elements.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn statistics<R: Real>(
    _level: Level,
    g: &NormGeometry,
    x: &[R],
    mean: &mut [R],
    var: &mut [R],
) -> Result<(), KernelError> {
    let op = "batch norm";
    check_len(op, "x", x.len(), g.total())?;
    check_len(op, "mean", mean.len(), g.channels())?;
    check_len(op, "var", var.len(), g.channels())?;
    reference::statistics(g, share, x, mean, var);
    Ok(())
}

/// `y = (x - mean) / sqrt(var + epsilon) * weight + bias` with given statistics: the second half of training, and all of
/// inference.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn apply<R: Real>(
    _level: Level,
    g: &NormGeometry,
    x: &[R],
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    y: &mut [R],
) -> Result<(), KernelError> {
    let op = "batch norm";
    check_len(op, "x", x.len(), g.total())?;
    check_len(op, "y", y.len(), g.total())?;
    stats.check(op, g.channels())?;
    affine.check(op, g.channels())?;
    reference::apply(g, share, x, stats, affine, y);
    Ok(())
}

/// The gradients of batch norm whose statistics were those of `x` itself (training).
///
/// ```text
/// dbias   = sum(dy)
/// dweight = sum(dy * normal)                        normal = (x - mean) / sqrt(var + epsilon)
/// dx      = weight / sqrt(var + epsilon) * (dy - dbias / n - normal * dweight / n)
/// ```
///
/// # Errors
/// If a slice does not have the geometry's length.
#[expect(clippy::too_many_arguments, reason = "three inputs and three outputs")]
pub fn backward<R: Real>(
    _level: Level,
    g: &NormGeometry,
    x: &[R],
    dy: &[R],
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    dx: &mut [R],
    dweight: &mut [R],
    dbias: &mut [R],
) -> Result<(), KernelError> {
    check_backward(g, x, dy, stats, affine, dx, dweight, dbias)?;
    reference::backward_affine(g, share, x, dy, stats, dweight, dbias);
    reference::backward_input(g, share, x, dy, stats, affine, dx);
    Ok(())
}

/// The gradients of batch norm whose statistics were constants (inference):
/// `dx = dy * weight / sqrt(var + epsilon)`, the others as in [`backward`].
///
/// # Errors
/// If a slice does not have the geometry's length.
#[expect(clippy::too_many_arguments, reason = "three inputs and three outputs")]
pub fn backward_constant<R: Real>(
    _level: Level,
    g: &NormGeometry,
    x: &[R],
    dy: &[R],
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    dx: &mut [R],
    dweight: &mut [R],
    dbias: &mut [R],
) -> Result<(), KernelError> {
    check_backward(g, x, dy, stats, affine, dx, dweight, dbias)?;
    reference::backward_affine(g, share, x, dy, stats, dweight, dbias);
    reference::backward_input_constant(g, share, dy, stats, affine, dx);
    Ok(())
}

#[expect(
    clippy::too_many_arguments,
    reason = "the arguments of the two functions above"
)]
fn check_backward<R: Real>(
    g: &NormGeometry,
    x: &[R],
    dy: &[R],
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    dx: &[R],
    dweight: &[R],
    dbias: &[R],
) -> Result<(), KernelError> {
    let op = "batch norm backward";
    check_len(op, "x", x.len(), g.total())?;
    check_len(op, "dy", dy.len(), g.total())?;
    check_len(op, "dx", dx.len(), g.total())?;
    check_len(op, "dweight", dweight.len(), g.channels())?;
    check_len(op, "dbias", dbias.len(), g.channels())?;
    stats.check(op, g.channels())?;
    affine.check(op, g.channels())
}
