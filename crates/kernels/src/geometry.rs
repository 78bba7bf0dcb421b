//! Shapes and attributes of an operation, validated once.
//!
//! A geometry is built by a constructor that checks every rule and every product, so that the kernels that take it
//! can multiply its fields without overflow and index without surprises.

mod blur;
mod error;
mod pad;
mod pool;
mod resize;
mod sample;

pub use blur::BlurGeometry;
pub use error::GeometryError;
pub use pad::PadMode;
pub use pool::{AdaptivePoolGeometry, PoolGeometry, PoolWindow};
pub use resize::{Interpolation, ResizeGeometry};
pub use sample::{SampleGeometry, SampleMode, SamplePadding};

/// Physical order of a dense 4-D array whose logical shape is `[N, C, H, W]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Channels first: `W` is contiguous.
    Nchw,
    /// Channels last: `C` is contiguous.
    Nhwc,
}

/// The product of `shape`, if an array of that many elements of at most 8 bytes can be addressed.
///
/// # Errors
/// A [`GeometryError`] of `op` naming `field` if the product does not fit.
pub fn element_count(
    op: &'static str,
    field: &'static str,
    shape: &[usize],
) -> Result<usize, GeometryError> {
    // Zero factors hide an overflow of the others, and strides are products of the others.
    let bound = shape
        .iter()
        .try_fold(1_usize, |n, &d| n.checked_mul(d.max(1)));
    match bound {
        Some(bound) if bound <= isize::MAX as usize / 8 => Ok(shape.iter().product()),
        _ => Err(GeometryError::new(
            op,
            field,
            format!("{shape:?}"),
            "the number of elements must fit the address space",
        )),
    }
}

/// Checks that the operand `field` of `op` has the shape that a geometry asks for.
pub(crate) fn check_shape(
    op: &'static str,
    field: &'static str,
    got: [usize; 4],
    expected: [usize; 4],
) -> Result<(), GeometryError> {
    if got == expected {
        Ok(())
    } else {
        let rule = format!("the geometry asks for {expected:?}");
        Err(GeometryError::new(op, field, format!("{got:?}"), rule))
    }
}
