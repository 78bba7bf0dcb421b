//! Operations, one family a file: shape rule, kernel call, forward and backward together.

mod binary;
mod cat;
mod compare;
mod expand;
mod extremum;
mod index_select;
mod logsumexp;
mod memory_format;
mod narrow;
mod permute;
mod reshape;
mod round;
mod sum;
mod unary;

use crate::{Error, Result, Tensor};

/// Checks that a tensor has a dimension.
pub(crate) fn check_dim(op: &'static str, x: &Tensor, dim: usize) -> Result<()> {
    if dim < x.rank() {
        return Ok(());
    }
    let detail = format!("there is no dimension {dim} in shape {:?}", x.shape());
    Err(Error::index(op, detail))
}

/// Checks that dimensions exist and differ.
pub(crate) fn check_dims(op: &'static str, x: &Tensor, dims: &[usize]) -> Result<()> {
    for (i, &dim) in dims.iter().enumerate() {
        check_dim(op, x, dim)?;
        if dims[..i].contains(&dim) {
            let detail = format!("dimension {dim} is named twice in {dims:?}");
            return Err(Error::index(op, detail));
        }
    }
    Ok(())
}

/// Checks that operands hold the same type of element.
pub(crate) fn check_same_dtype(op: &'static str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dtype() == b.dtype() {
        return Ok(());
    }
    let expected = format!(
        "{} like the other operand (convert with to_dtype)",
        a.dtype()
    );
    Err(Error::dtype(op, b.dtype(), expected))
}
