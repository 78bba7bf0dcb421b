//! Functions applied element by element.
//!
//! - [`unary`], [`unary_backward`]: activations and other functions of one number, over slices in physical order.
//! - [`binary`]: functions of two arrays with any strides, which is how broadcasting is said.
//! - [`accumulate`]: `dst += scale * src` with any strides, for sums of gradients.

mod binary;
pub(crate) mod reference;
mod unary;

pub use binary::{Binary, BinaryGeometry};
pub use unary::{Saved, Unary};

use crate::error::{KernelError, check_len};
use crate::nest::LoopNest;
use crate::real::Real;
use striate_simd::Level;

/// `y = op(x)`, element by element.
///
/// # Errors
/// If the slices differ in length.
pub fn unary<R: Real>(_level: Level, op: Unary, x: &[R], y: &mut [R]) -> Result<(), KernelError> {
    check_len("unary", "y", y.len(), x.len())?;
    reference::unary(op, x, y);
    Ok(())
}

/// `dx = dy * op'`, element by element.
///
/// `saved` is the forward's argument or value, as [`Unary::saved`] says, and empty if it says neither.
///
/// # Errors
/// If the slices differ in length.
pub fn unary_backward<R: Real>(
    _level: Level,
    op: Unary,
    saved: &[R],
    dy: &[R],
    dx: &mut [R],
) -> Result<(), KernelError> {
    check_len("unary backward", "dx", dx.len(), dy.len())?;
    if op.saved() != Saved::Nothing {
        check_len("unary backward", "saved", saved.len(), dy.len())?;
    }
    reference::unary_backward(op, saved, dy, dx);
    Ok(())
}

/// `out = op(a, b)`, element by element, with the shape and strides of `g`.
///
/// # Errors
/// If a slice is shorter than its strides reach.
pub fn binary<R: Real>(
    _level: Level,
    op: Binary,
    g: &BinaryGeometry,
    a: &[R],
    b: &[R],
    out: &mut [R],
) -> Result<(), KernelError> {
    check_reach("binary", "out", out.len(), g.nest.extent(0))?;
    check_reach("binary", "a", a.len(), g.nest.extent(1))?;
    check_reach("binary", "b", b.len(), g.nest.extent(2))?;
    reference::binary(op, g, a, b, out);
    Ok(())
}

/// `dst += scale * src`, element by element; `nest` holds the strides of `dst` and `src`, in this order.
///
/// Where `dst` has a stride of zero, all elements of that dimension are added to the same number.
///
/// # Errors
/// If a slice is shorter than its strides reach.
pub fn accumulate<R: Real>(
    _level: Level,
    nest: &LoopNest<2>,
    scale: R,
    src: &[R],
    dst: &mut [R],
) -> Result<(), KernelError> {
    check_reach("accumulate", "dst", dst.len(), nest.extent(0))?;
    check_reach("accumulate", "src", src.len(), nest.extent(1))?;
    reference::accumulate(nest, scale, src, dst);
    Ok(())
}

/// Checks that a slice has at least the length that its strides reach.
pub(crate) fn check_reach(
    op: &'static str,
    operand: &'static str,
    got: usize,
    expected: usize,
) -> Result<(), KernelError> {
    if got >= expected {
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
