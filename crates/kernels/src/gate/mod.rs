//! Gates made of a logit for each row and one for each column of a matrix, which a map of places and channels is.
//!
//! ```text
//! y[i, j] = x[i, j] (1 + sigmoid(l[i, j]))        l[i, j] = r[i] c[j]  or  r[i] + c[j]
//! dl = dy x sigmoid(l) (1 - sigmoid(l))           dx = dy (1 + sigmoid(l))
//! ```
//!
//! Logits and gates are as many numbers as the map; here they are never in memory. Rows and columns change places with
//! the memory order of the map.

mod reference;
mod vector;

#[cfg(test)]
mod tests;

use crate::error::{KernelError, check_len};
use crate::real::Real;
use striate_simd::Level;

/// How the logit of a row and that of a column become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joint {
    /// Their product.
    Product,
    /// Their sum.
    Sum,
}

/// How many matrices there are, of how many rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Number of matrices.
    pub batch: usize,
    /// Rows of each.
    pub rows: usize,
    /// Columns of each.
    pub columns: usize,
    /// How logits are joined.
    pub joint: Joint,
}

/// What is read.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a, T> {
    /// `[batch, rows, columns]`
    pub x: &'a [T],
    /// The logits of the rows, `[batch, rows]`.
    pub rows: &'a [T],
    /// The logits of the columns, `[batch, columns]`.
    pub columns: &'a [T],
}

impl Gate {
    /// The numbers of elements of the map, the logits of rows and those of columns. What overflows is no slice's length.
    fn lens(&self) -> [usize; 3] {
        let rows = self.batch.saturating_mul(self.rows);
        let columns = self.batch.saturating_mul(self.columns);
        [rows.saturating_mul(self.columns), rows, columns]
    }

    fn check<R>(&self, x: &Operands<'_, R>) -> Result<(), KernelError> {
        let [all, rows, columns] = self.lens();
        check_len("gate", "x", x.x.len(), all)?;
        check_len("gate", "rows", x.rows.len(), rows)?;
        check_len("gate", "columns", x.columns.len(), columns)
    }
}

impl<'a, R: Real> Operands<'a, R> {
    /// The same, if the numbers are `f32`.
    fn as_f32(&self) -> Option<Operands<'a, f32>> {
        Some(Operands {
            x: R::as_f32(self.x)?,
            rows: R::as_f32(self.rows)?,
            columns: R::as_f32(self.columns)?,
        })
    }
}

/// Computes `y`.
///
/// # Errors
/// If a slice has another length.
pub fn forward<R: Real>(
    level: Level,
    g: &Gate,
    x: &Operands<'_, R>,
    y: &mut [R],
) -> Result<(), KernelError> {
    g.check(x)?;
    check_len("gate", "y", y.len(), x.x.len())?;
    if let (Some(x), Some(y)) = (x.as_f32(), R::as_f32_mut(y)) {
        vector::forward(level, g, &x, y);
    } else {
        reference::forward(g, x, y);
    }
    Ok(())
}

/// Computes the gradients of the map, of the logits of rows and of those of columns.
///
/// # Errors
/// If a slice has another length.
pub fn backward<R: Real>(
    level: Level,
    g: &Gate,
    x: &Operands<'_, R>,
    dy: &[R],
    [dx, drows, dcolumns]: [&mut [R]; 3],
) -> Result<(), KernelError> {
    g.check(x)?;
    check_len("gate", "dy", dy.len(), x.x.len())?;
    check_len("gate", "dx", dx.len(), x.x.len())?;
    check_len("gate", "drows", drows.len(), x.rows.len())?;
    check_len("gate", "dcolumns", dcolumns.len(), x.columns.len())?;
    if let (Some(x), Some(dy)) = (x.as_f32(), R::as_f32(dy))
        && let (Some(dx), Some(drows), Some(dcolumns)) = (
            R::as_f32_mut(dx),
            R::as_f32_mut(drows),
            R::as_f32_mut(dcolumns),
        )
    {
        vector::backward(level, g, &x, dy, [dx, drows, dcolumns]);
    } else {
        reference::backward(g, x, dy, [dx, drows, dcolumns]);
    }
    Ok(())
}
