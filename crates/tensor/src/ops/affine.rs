//! The scale and shift of normalisations.

use super::check_same_dtype;
use crate::{Error, Result, Tensor};

/// The scale and shift given, or ones and zeros.
///
/// # Errors
/// One has another shape than `shape` or another type than `x`.
pub(crate) fn scale_and_shift(
    op: &'static str,
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    shape: &[usize],
) -> Result<[Tensor; 2]> {
    let or_else = |given: Option<&Tensor>, name: &str, value: f64| match given {
        Some(given) => check_parameter(op, x, name, given, shape).map(|()| given.clone()),
        None => Tensor::full(shape, value, x.dtype()),
    };
    Ok([or_else(weight, "weight", 1.0)?, or_else(bias, "bias", 0.0)?])
}

/// Checks shape and type of something that goes along with `x`.
pub(crate) fn check_parameter(
    op: &'static str,
    x: &Tensor,
    name: &str,
    given: &Tensor,
    shape: &[usize],
) -> Result<()> {
    check_same_dtype(op, x, given)?;
    if given.shape() == shape {
        return Ok(());
    }
    let detail = format!(
        "input {:?} needs a {name} of shape {shape:?}, got {:?}",
        x.shape(),
        given.shape()
    );
    Err(Error::shape(op, detail))
}

/// Checks what is added to a variance.
pub(crate) fn check_epsilon(op: &'static str, epsilon: f64) -> Result<()> {
    if epsilon >= 0.0 && epsilon.is_finite() {
        return Ok(());
    }
    Err(Error::msg(format!(
        "{op}: epsilon is {epsilon}, but must be finite and not negative"
    )))
}
