//! Sums, means, extremes and their places over any dimensions of a strided array.
//!
//! The output of every function is dense and row-major over the dimensions that are kept, in their logical order.
//!
//! - [`reduce`]: sum, mean, maximum, minimum.
//! - [`max_and_mean`]: what gates are computed from, in one pass.
//! - [`sum_of_products`]: `sum(a * b)`, the gradient of a gate.
//! - [`moments`]: mean and variance.
//! - [`argmax`]: the place of the maximum along one dimension.
//! - [`extreme_backward`]: the gradient of a maximum or minimum.

mod extreme;
mod geometry;
pub(crate) mod reference;
mod vector;

#[cfg(test)]
mod tests;

pub use geometry::ReduceGeometry;

use crate::elementwise::check_reach;
use crate::error::{KernelError, check_len};
use crate::geometry::GeometryError;
use crate::real::Real;
use striate_simd::Level;
use vector::Fold;

/// What becomes of the elements of the reduced dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The sum; zero for none.
    Sum,
    /// The mean; NaN for none.
    Mean,
    /// The largest element; NaN if any is.
    Max,
    /// The smallest element; NaN if any is.
    Min,
}

/// Reduces `x` to `out`.
///
/// # Errors
/// If a slice does not fit the geometry, or an extreme of no elements is asked for.
pub fn reduce<R: Real>(
    level: Level,
    op: Reduction,
    g: &ReduceGeometry,
    x: &[R],
    out: &mut [R],
) -> Result<(), KernelError> {
    check_reach("reduce", "x", x.len(), g.reach(0))?;
    check_len("reduce", "out", out.len(), g.output_len())?;
    if matches!(op, Reduction::Max | Reduction::Min) {
        check_not_empty("reduce", g)?;
    }
    let n = g.reduced_len() as f64;
    let fold = match op {
        Reduction::Sum | Reduction::Mean => Fold::Sum,
        Reduction::Max => Fold::Max,
        Reduction::Min => Fold::Min,
    };
    let finish = |total| {
        if op == Reduction::Mean {
            total / n
        } else {
            total
        }
    };
    if !on_vectors(level, fold, g, (x, x), out, finish) {
        reference::reduce(op, g, x, out);
    }
    Ok(())
}

/// The largest elements of `x` and the means, which are read together.
///
/// # Errors
/// As [`reduce`].
pub fn max_and_mean<R: Real>(
    level: Level,
    g: &ReduceGeometry,
    x: &[R],
    max: &mut [R],
    mean: &mut [R],
) -> Result<(), KernelError> {
    check_reach("max and mean", "x", x.len(), g.reach(0))?;
    check_len("max and mean", "max", max.len(), g.output_len())?;
    check_len("max and mean", "mean", mean.len(), g.output_len())?;
    check_not_empty("max and mean", g)?;
    let folds = [Fold::Max, Fold::Sum];
    let totals = R::as_f32(x).and_then(|x| vector::totals(level, folds, g, (x, x)));
    if let Some([largest, sums]) = totals {
        let n = g.reduced_len() as f64;
        for (out, total) in max.iter_mut().zip(largest) {
            *out = R::from_f64(total);
        }
        for (out, total) in mean.iter_mut().zip(sums) {
            *out = R::from_f64(total / n);
        }
        return Ok(());
    }
    reference::reduce(Reduction::Max, g, x, max);
    reference::reduce(Reduction::Mean, g, x, mean);
    Ok(())
}

/// The sum of the rows of a dense matrix, each as long as `sums`.
///
/// # Errors
/// If the rows are no whole number.
pub(crate) fn sum_rows(level: Level, x: &[f32], sums: &mut [f32]) -> Result<(), KernelError> {
    let columns = sums.len();
    let g = ReduceGeometry::new(&[x.len() / columns.max(1), columns], &[columns, 1], &[0])?;
    reduce(level, Reduction::Sum, &g, x, sums)
}

/// `out = sum(a * b)` over the reduced dimensions of a geometry made by [`ReduceGeometry::pair`].
///
/// # Errors
/// If a slice does not fit the geometry.
pub fn sum_of_products<R: Real>(
    level: Level,
    g: &ReduceGeometry,
    a: &[R],
    b: &[R],
    out: &mut [R],
) -> Result<(), KernelError> {
    check_reach("sum of products", "a", a.len(), g.reach(0))?;
    check_reach("sum of products", "b", b.len(), g.reach(1))?;
    check_len("sum of products", "out", out.len(), g.output_len())?;
    if !on_vectors(level, Fold::Product, g, (a, b), out, |total| total) {
        reference::sum_of_products(g, a, b, out);
    }
    Ok(())
}

/// Mean and biased variance: `mean = sum(x) / n`, `var = sum((x - mean)^2) / n`; NaN for no elements.
///
/// # Errors
/// If a slice does not fit the geometry.
pub fn moments<R: Real>(
    level: Level,
    g: &ReduceGeometry,
    x: &[R],
    mean: &mut [R],
    var: &mut [R],
) -> Result<(), KernelError> {
    check_reach("moments", "x", x.len(), g.reach(0))?;
    check_len("moments", "mean", mean.len(), g.output_len())?;
    check_len("moments", "var", var.len(), g.output_len())?;
    let n = g.reduced_len() as f64;
    if on_vectors(level, Fold::Sum, g, (x, x), mean, |sum| sum / n) {
        // Deviations from the rounded mean: off by the square of its rounding error, far below that of the result.
        let pair = g.with_outputs_as_second();
        if on_vectors(level, Fold::Deviation, &pair, (x, mean), var, |sum| sum / n) {
            return Ok(());
        }
    }
    reference::moments(g, x, mean, var);
    Ok(())
}

/// The index of the first maximum along the reduced dimension, of which there must be one; of the first NaN if there
/// is any.
///
/// # Errors
/// If a slice does not fit the geometry, or the geometry does not reduce one dimension with elements.
pub fn argmax<R: Real>(
    _level: Level,
    g: &ReduceGeometry,
    x: &[R],
    out: &mut [i64],
) -> Result<(), KernelError> {
    check_reach("argmax", "x", x.len(), g.reach(0))?;
    check_len("argmax", "out", out.len(), g.output_len())?;
    check_not_empty("argmax", g)?;
    if g.reduced_dims() != 1 {
        let got = format!("{} dimensions", g.reduced_dims());
        return Err(GeometryError::new("argmax", "axes", got, "it must be one dimension").into());
    }
    reference::argmax(g, x, out);
    Ok(())
}

/// The gradient of [`Reduction::Max`] or [`Reduction::Min`] from its argument `x`, its value `y` and `dy`: each `dy` is
/// shared equally by the elements that equal the extreme, and to each element of an output is added what `plus` has for
/// it, if there is any. `dx` has the strides of `x`; where `x` has gaps, it is left as it is.
///
/// # Errors
/// If a slice does not fit the geometry.
pub fn extreme_backward<R: Real>(
    level: Level,
    g: &ReduceGeometry,
    x: &[R],
    y: &[R],
    dy: &[R],
    plus: Option<&[R]>,
    dx: &mut [R],
) -> Result<(), KernelError> {
    check_reach("extreme backward", "x", x.len(), g.reach(0))?;
    check_reach("extreme backward", "dx", dx.len(), g.reach(0))?;
    check_len("extreme backward", "y", y.len(), g.output_len())?;
    check_len("extreme backward", "dy", dy.len(), g.output_len())?;
    let zeros;
    let plus = match plus {
        Some(plus) => plus,
        None => {
            zeros = vec![R::ZERO; g.output_len()];
            &zeros
        }
    };
    check_len("extreme backward", "plus", plus.len(), g.output_len())?;
    if let (Some(x), Some(y)) = (R::as_f32(x), R::as_f32(y))
        && let (Some(dy), Some(plus)) = (R::as_f32(dy), R::as_f32(plus))
        && let Some(dx) = R::as_f32_mut(dx)
    {
        extreme::backward(level, g, x, y, dy, plus, dx);
    } else {
        reference::extreme_backward(g, x, y, dy, plus, dx);
    }
    Ok(())
}

/// Reduces `f32` operands on vectors; false, and nothing done, if that cannot be.
fn on_vectors<R: Real>(
    level: Level,
    fold: Fold,
    g: &ReduceGeometry,
    (a, b): (&[R], &[R]),
    out: &mut [R],
    finish: impl Fn(f64) -> f64,
) -> bool {
    let (Some(a), Some(b)) = (R::as_f32(a), R::as_f32(b)) else {
        return false;
    };
    let Some([totals]) = vector::totals(level, [fold], g, (a, b)) else {
        return false;
    };
    for (out, total) in out.iter_mut().zip(totals) {
        *out = R::from_f64(finish(total));
    }
    true
}

fn check_not_empty(op: &'static str, g: &ReduceGeometry) -> Result<(), GeometryError> {
    if g.reduced_len() == 0 && g.output_len() > 0 {
        let rule = "an extreme needs at least one element";
        return Err(GeometryError::new(op, "reduced dimensions", "empty", rule));
    }
    Ok(())
}
