//! Batch normalisation: one mean and variance for a channel of all images.
//!
//! In `f32`, training reads the data once for the statistics and once to write the value, and the backward pass once for
//! two sums and once to write the gradient. A residual sum and a `relu` that follow can happen in the writing passes.

use super::apply::{Parameters, apply as apply_vectors, gradient};
use super::vector::{gradient_sums, merged, moments};
use super::{Affine, After, NormGeometry, Statistics, Upstream, reference};
use crate::error::{KernelError, check_len};
use crate::real::Real;
use striate_simd::Level;

const OP: &str = "batch norm";
const BACKWARD: &str = "batch norm backward";

/// Which mean and variance a channel has.
fn share(_n: usize, c: usize) -> usize {
    c
}

/// The mean and biased variance of each channel: `[C]` each; NaN if there are no elements.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn statistics<R: Real>(
    level: Level,
    g: &NormGeometry,
    x: &[R],
    mean: &mut [R],
    var: &mut [R],
) -> Result<(), KernelError> {
    check_len(OP, "x", x.len(), g.total())?;
    check_len(OP, "mean", mean.len(), g.channels())?;
    check_len(OP, "var", var.len(), g.channels())?;
    let Some(x32) = R::as_f32(x) else {
        reference::statistics(g, share, x, mean, var);
        return Ok(());
    };
    let all = merged(g);
    let sums = moments(level, &all, x32);
    let count = all.spatial() as f64;
    for c in 0..g.channels() {
        // Images of channels-first data: the same number of elements each.
        let of = |v: &[f64]| {
            (0..all.batch())
                .map(|n| v[n * g.channels() + c])
                .sum::<f64>()
        };
        let middle = of(&sums.first) / all.batch() as f64;
        let apart = (0..all.batch()).map(|n| (sums.first[n * g.channels() + c] - middle).powi(2));
        let squares = of(&sums.second) + apart.sum::<f64>() * count;
        let elements = count * all.batch() as f64;
        mean[c] = R::from_f64(if elements > 0.0 { middle } else { f64::NAN });
        var[c] = R::from_f64(squares / elements);
    }
    Ok(())
}

/// `y = (x - mean) / sqrt(var + epsilon) * weight + bias` with given statistics: the second half of training, and all of
/// inference.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn apply<R: Real>(
    level: Level,
    g: &NormGeometry,
    x: &[R],
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    y: &mut [R],
) -> Result<(), KernelError> {
    apply_then(level, g, x, stats, affine, After::NONE, y)
}

/// [`apply`], then the sum with a residual and a `relu`, in the same pass.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn apply_then<R: Real>(
    level: Level,
    g: &NormGeometry,
    x: &[R],
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    after: After<'_, R>,
    y: &mut [R],
) -> Result<(), KernelError> {
    check_len(OP, "x", x.len(), g.total())?;
    check_len(OP, "y", y.len(), g.total())?;
    after.check(OP, g.total())?;
    stats.check(OP, g.channels())?;
    affine.check(OP, g.channels())?;
    if let Some(x) = R::as_f32(x)
        && let Some(after) = after.as_f32()
        && let Some(y) = R::as_f32_mut(y)
    {
        let all = merged(g);
        let parameters = Parameters::new(all.batch() * all.channels(), |i| {
            let c = i % all.channels();
            let scale = affine.weight_of(c) * stats.inverse_deviation(c);
            [stats.mean[c].to_f64(), scale, affine.bias_of(c)]
        });
        apply_vectors(level, &all, x, parameters, after, y);
    } else {
        reference::apply(g, share, x, stats, affine, y);
        reference::after(after, y);
    }
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
    level: Level,
    g: &NormGeometry,
    x: &[R],
    dy: &[R],
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    dx: &mut [R],
    dweight: &mut [R],
    dbias: &mut [R],
) -> Result<(), KernelError> {
    let upstream = Upstream { x, dy, mask: None };
    backward_through(
        level,
        g,
        upstream,
        stats,
        affine,
        true,
        Gradients {
            dx,
            dresidual: None,
            dweight,
            dbias,
        },
    )
}

/// The gradients of batch norm whose statistics were constants (inference):
/// `dx = dy * weight / sqrt(var + epsilon)`, the others as in [`backward`].
///
/// # Errors
/// If a slice does not have the geometry's length.
#[expect(clippy::too_many_arguments, reason = "three inputs and three outputs")]
pub fn backward_constant<R: Real>(
    level: Level,
    g: &NormGeometry,
    x: &[R],
    dy: &[R],
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    dx: &mut [R],
    dweight: &mut [R],
    dbias: &mut [R],
) -> Result<(), KernelError> {
    let upstream = Upstream { x, dy, mask: None };
    backward_through(
        level,
        g,
        upstream,
        stats,
        affine,
        false,
        Gradients {
            dx,
            dresidual: None,
            dweight,
            dbias,
        },
    )
}

/// Where a backward pass writes.
#[derive(Debug)]
pub struct Gradients<'a, R> {
    /// The gradient of the argument, in the order of the array.
    pub dx: &'a mut [R],
    /// The gradient of the residual, in the order of the array, if there was one.
    pub dresidual: Option<&'a mut [R]>,
    /// The gradient of the weight, `[C]`.
    pub dweight: &'a mut [R],
    /// The gradient of the bias, `[C]`.
    pub dbias: &'a mut [R],
}

/// The gradients of [`apply_then`]: [`backward`] if the statistics were `of_batch`, else [`backward_constant`], of the
/// `dy` that passes the mask. That `dy` is the gradient of the residual.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn backward_through<R: Real>(
    level: Level,
    g: &NormGeometry,
    upstream: Upstream<'_, R>,
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    of_batch: bool,
    out: Gradients<'_, R>,
) -> Result<(), KernelError> {
    upstream.check(BACKWARD, g.total())?;
    stats.check(BACKWARD, g.channels())?;
    affine.check(BACKWARD, g.channels())?;
    let Gradients {
        dx,
        dresidual,
        dweight,
        dbias,
    } = out;
    check_len(BACKWARD, "dx", dx.len(), g.total())?;
    check_len(BACKWARD, "dweight", dweight.len(), g.channels())?;
    check_len(BACKWARD, "dbias", dbias.len(), g.channels())?;
    if let Some(dresidual) = &dresidual {
        check_len(BACKWARD, "dresidual", dresidual.len(), g.total())?;
    }
    let Some(upstream32) = upstream.as_f32() else {
        let passed = upstream.passed();
        let (x, dy) = (upstream.x, passed.as_deref().unwrap_or(upstream.dy));
        reference::backward_affine(g, share, x, dy, stats, dweight, dbias);
        if of_batch {
            reference::backward_input(g, share, x, dy, stats, affine, dx);
        } else {
            reference::backward_input_constant(g, share, dy, stats, affine, dx);
        }
        if let Some(dresidual) = dresidual {
            dresidual.copy_from_slice(dy);
        }
        return Ok(());
    };
    if g.total() == 0 {
        // Nothing has no statistics to divide by.
        dweight.fill(R::ZERO);
        dbias.fill(R::ZERO);
        return Ok(());
    }
    let all = merged(g);
    let channels = g.channels();
    let mean: Vec<f32> = (0..all.batch() * channels)
        .map(|i| stats.mean[i % channels].to_f64() as f32)
        .collect();
    let sums = gradient_sums(level, &all, upstream32, &mean);
    let over_images =
        |v: &[f64], c: usize| (0..all.batch()).map(|n| v[n * channels + c]).sum::<f64>();
    let totals: Vec<[f64; 2]> = (0..channels)
        .map(|c| [over_images(&sums.first, c), over_images(&sums.second, c)])
        .collect();
    for (c, [sum, product]) in totals.iter().enumerate() {
        dbias[c] = R::from_f64(*sum);
        dweight[c] = R::from_f64(product * stats.inverse_deviation(c));
    }
    let count = g.batch() as f64 * g.spatial() as f64;
    let parameters = Parameters::new(all.batch() * channels, |i| {
        let (c, [sum, product]) = (i % channels, totals[i % channels]);
        let inverse = stats.inverse_deviation(c);
        let scale = affine.weight_of(c) * inverse;
        let [constant, slope] = if of_batch {
            [
                scale * sum / count,
                scale * inverse * inverse * product / count,
            ]
        } else {
            [0.0, 0.0]
        };
        [f64::from(mean[i]), scale, constant, slope]
    });
    if let Some(dx) = R::as_f32_mut(dx) {
        gradient(
            level,
            &all,
            upstream32,
            parameters,
            dx,
            dresidual.and_then(R::as_f32_mut),
        );
    }
    Ok(())
}
