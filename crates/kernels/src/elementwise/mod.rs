//! Functions applied element by element.
//!
//! - [`unary`], [`unary_backward`]: activations and other functions of one number, over slices in physical order, into
//!   another slice or in place.
//! - [`binary`]: functions of two arrays with any strides, which is how broadcasting is said.
//! - [`accumulate`]: `dst += scale * src` with any strides, for sums of gradients.
//!
//! `f32` is computed on vectors (`f32-unary-{function}-{level}`, `f32-binary-{function}-{level}`) within a few units in the
//! last place; strides that leave no contiguous rows, sines, cosines and powers take the reference.

mod binary;
mod binary_f32;
pub(crate) mod reference;
mod unary;
mod unary_f32;

#[cfg(test)]
mod tests;

pub use binary::{Binary, BinaryGeometry};
pub use unary::{Saved, Unary};
pub(crate) use unary_f32::{assign, hard_swish};

use crate::error::{KernelError, check_len};
use crate::far::{self, BLOCK, FAR};
use crate::nest::LoopNest;
use crate::parallel::{Cut, for_each_chunk};
use crate::real::Real;
use striate_simd::Level;

/// Cost of an elementary function, in units of [`Cut::new`].
const COST: usize = 3;

/// Elements of a task: whole blocks, whose vectors are aligned if those of the array are.
fn step(len: usize) -> usize {
    Cut::new(len, COST).per_task().next_multiple_of(BLOCK)
}

/// Runs `write(at, part)` on `y` or, if that is `far` from any cache, on blocks of it; false if it cannot.
fn in_blocks(
    level: Level,
    far: bool,
    y: &mut [f32],
    write: impl Fn(usize, &mut [f32]) -> bool,
) -> bool {
    if !far {
        return write(0, y);
    }
    let mut done = true;
    far::fill(level, y, &mut |at, y| done &= write(at, y));
    done
}

/// `y = op(x)`, element by element.
///
/// # Errors
/// If the slices differ in length.
pub fn unary<R: Real>(level: Level, op: Unary, x: &[R], y: &mut [R]) -> Result<(), KernelError> {
    check_len("unary", "y", y.len(), x.len())?;
    let (step, far) = (step(y.len()), op.is_cheap() && y.len() >= FAR);
    for_each_chunk(y, step, |i, y| {
        let x = &x[i * step..][..y.len()];
        let done = match (R::as_f32(x), R::as_f32_mut(y)) {
            (Some(x), Some(y)) => in_blocks(level, far, y, |at, y| {
                unary_f32::unary(level, op, Some(&x[at..][..y.len()]), y)
            }),
            _ => false,
        };
        if !done {
            reference::unary(op, x, y);
        }
    });
    Ok(())
}

/// `x = op(x)`, element by element.
pub fn unary_assign<R: Real>(level: Level, op: Unary, x: &mut [R]) {
    let step = step(x.len());
    for_each_chunk(x, step, |_, x| {
        let done = R::as_f32_mut(x).is_some_and(|x| unary_f32::unary(level, op, None, x));
        if !done {
            reference::unary_assign(op, x);
        }
    });
}

/// `dx = dy * op'`, element by element.
///
/// `saved` is the forward's argument or value, as [`Unary::saved`] says, and empty if it says neither.
///
/// # Errors
/// If the slices differ in length.
pub fn unary_backward<R: Real>(
    level: Level,
    op: Unary,
    saved: &[R],
    dy: &[R],
    dx: &mut [R],
) -> Result<(), KernelError> {
    check_len("unary backward", "dx", dx.len(), dy.len())?;
    check_saved(op, saved.len(), dy.len())?;
    let (step, far) = (step(dx.len()), op.is_cheap() && dx.len() >= FAR);
    for_each_chunk(dx, step, |i, dx| {
        let dy = &dy[i * step..][..dx.len()];
        let saved = part(saved, i * step, dx.len());
        let done = match (R::as_f32(saved), R::as_f32(dy), R::as_f32_mut(dx)) {
            (Some(saved), Some(dy), Some(dx)) => in_blocks(level, far, dx, |at, dx| {
                let (saved, dy) = (part(saved, at, dx.len()), &dy[at..][..dx.len()]);
                unary_f32::unary_backward(level, op, saved, Some(dy), dx)
            }),
            _ => false,
        };
        if !done {
            reference::unary_backward(op, saved, dy, dx);
        }
    });
    Ok(())
}

/// `dy = dy * op'`, element by element: [`unary_backward`] in place.
///
/// # Errors
/// If the slices differ in length.
pub fn unary_backward_assign<R: Real>(
    level: Level,
    op: Unary,
    saved: &[R],
    dy: &mut [R],
) -> Result<(), KernelError> {
    check_saved(op, saved.len(), dy.len())?;
    let step = step(dy.len());
    for_each_chunk(dy, step, |i, dy| {
        let saved = part(saved, i * step, dy.len());
        let done = match (R::as_f32(saved), R::as_f32_mut(dy)) {
            (Some(saved), Some(dy)) => unary_f32::unary_backward(level, op, saved, None, dy),
            _ => false,
        };
        if !done {
            reference::unary_backward_assign(op, saved, dy);
        }
    });
    Ok(())
}

/// `out = op(a, b)`, element by element, with the shape and strides of `g`.
///
/// # Errors
/// If a slice is shorter than its strides reach.
pub fn binary<R: Real>(
    level: Level,
    op: Binary,
    g: &BinaryGeometry,
    a: &[R],
    b: &[R],
    out: &mut [R],
) -> Result<(), KernelError> {
    check_reach("binary", "out", out.len(), g.nest.extent(0))?;
    check_reach("binary", "a", a.len(), g.nest.extent(1))?;
    check_reach("binary", "b", b.len(), g.nest.extent(2))?;
    if binary_f32::has_vector_rows(&g.nest)
        && let (Some(a), Some(b)) = (R::as_f32(a), R::as_f32(b))
        && let Some(out) = R::as_f32_mut(out)
    {
        binary_f32::binary(level, op, g, a, b, out);
    } else {
        reference::binary(op, g, a, b, out);
    }
    Ok(())
}

/// `dst += scale * src`, element by element; `nest` holds the strides of `dst` and `src`, in this order.
///
/// Where `dst` has a stride of zero, all elements of that dimension are added to the same number.
///
/// # Errors
/// If a slice is shorter than its strides reach.
pub fn accumulate<R: Real>(
    level: Level,
    nest: &LoopNest<2>,
    scale: R,
    src: &[R],
    dst: &mut [R],
) -> Result<(), KernelError> {
    check_reach("accumulate", "dst", dst.len(), nest.extent(0))?;
    check_reach("accumulate", "src", src.len(), nest.extent(1))?;
    if binary_f32::has_vector_rows(nest)
        && let Some(src) = R::as_f32(src)
        && let Some(dst) = R::as_f32_mut(dst)
    {
        binary_f32::accumulate(level, nest, scale.to_f64() as f32, src, dst);
    } else {
        reference::accumulate(nest, scale, src, dst);
    }
    Ok(())
}

/// The part of what was saved that a task needs; nothing of nothing.
fn part<R>(saved: &[R], start: usize, len: usize) -> &[R] {
    if saved.is_empty() {
        saved
    } else {
        &saved[start..start + len]
    }
}

fn check_saved(op: Unary, got: usize, expected: usize) -> Result<(), KernelError> {
    if op.saved() == Saved::Nothing && got == 0 {
        return Ok(());
    }
    check_len("unary backward", "saved", got, expected)
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
