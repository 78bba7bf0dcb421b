//! The same entries in another order along a dimension.

use crate::ops::index_select::IndexSelect;
use crate::ops::{check_dim, check_dims};
use crate::{Result, Tensor};

impl Tensor {
    /// Reverses the order of the entries along `dims`.
    ///
    /// A kernel flipped over its last two dimensions turns the cross-correlation that convolution
    /// layers compute into a convolution.
    ///
    /// # Errors
    /// A dimension does not exist or is named twice.
    pub fn flip(&self, dims: &[usize]) -> Result<Self> {
        check_dims("flip", self, dims)?;
        dims.iter().try_fold(self.clone(), |x, &dim| {
            IndexSelect::run("flip", &x, dim, (0..x.shape()[dim]).rev().collect())
        })
    }

    /// Moves entry `i` of `dim` to `i + shift`; those that leave at one end come back at the other.
    ///
    /// # Errors
    /// There is no such dimension.
    pub fn roll(&self, shift: isize, dim: usize) -> Result<Self> {
        check_dim("roll", self, dim)?;
        let len = self.shape()[dim];
        if len == 0 {
            return Ok(self.clone());
        }
        let back = shift.unsigned_abs() % len;
        let first = if shift < 0 { back } else { (len - back) % len };
        let entries = (first..len).chain(0..first).collect();
        IndexSelect::run("roll", self, dim, entries)
    }
}
