//! The matrix product as three loops: `c[i, j] = sum over k of a[i, k] * b[k, j]`.

use super::Write;
use super::matrix::{Matrix, MatrixMut, check_product};
use crate::error::KernelError;
use crate::real::Real;

/// Computes `c = a * b` or `c += a * b`.
///
/// # Errors
/// If the shapes do not fit together.
pub fn multiply<T: Real>(
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    write: Write,
    mut c: MatrixMut<'_, T>,
) -> Result<(), KernelError> {
    check_product(a.shape(), b.shape(), c.shape())?;
    for i in 0..a.rows {
        for (j, c) in c.row_mut(i).iter_mut().enumerate() {
            let mut sum = if write == Write::Add { *c } else { T::ZERO };
            for k in 0..a.cols {
                sum += a.at(i, k) * b.at(k, j);
            }
            *c = sum;
        }
    }
    Ok(())
}
