//! What a kernel refuses.

use crate::geometry::GeometryError;

/// Why a kernel did not run. Nothing has been written when one of these is returned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The description of the problem is impossible.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// A workspace cannot be had.
    #[error(transparent)]
    Alloc(#[from] striate_simd::AllocError),
    /// A slice does not have the length the description asks for.
    #[error("{op}: {operand} has {got} elements where {expected} are needed")]
    Length {
        /// The operation.
        op: &'static str,
        /// Which argument.
        operand: &'static str,
        /// The length the description asks for.
        expected: usize,
        /// The length of the slice.
        got: usize,
    },
}

/// Checks that the slice `operand` of `op` has exactly `expected` elements.
///
/// # Errors
/// [`KernelError::Length`] if it has not.
pub(crate) fn check_len(
    op: &'static str,
    operand: &'static str,
    got: usize,
    expected: usize,
) -> Result<(), KernelError> {
    if got == expected {
        Ok(())
    } else {
        Err(KernelError::Length {
            op,
            operand,
            expected,
            got,
        })
    }
}
