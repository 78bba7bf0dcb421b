//! Attention: each query gathers values, weighted by the softmax of its products with the keys.
//!
//! ```text
//! s[i, j] = scale * sum over d of q[i, d] * k[j, d]
//! y[i]    = sum over j of exp(s[i, j] - l[i]) * v[j]      l[i] = ln sum over j of exp(s[i, j])
//! ```
//!
//! The weights `[queries, keys]` are never stored: a block of queries goes along the keys with a running maximum and
//! sum, and what it has gathered is scaled down when the maximum rises. The way back computes the weights again, from
//! `l`. Beside operands and results the memory is linear in queries and keys. Weights and their gradients that are too
//! small for a normal `f32` are 0, since products with subnormal numbers are slow.
//!
//! [`pool`] is the same for one query that is learned.

mod backward;
mod forward;
mod geometry;
pub mod pairs;
pub mod pool;
mod product;
mod reference;

#[cfg(test)]
mod tests;

pub use geometry::AttentionGeometry;

use crate::error::{KernelError, check_len};
use crate::real::Real;
use striate_simd::Level;

const OP: &str = "attention";

/// What an attention reads, each dense and row-major.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a, T> {
    /// `[batch, queries, depth]`
    pub q: &'a [T],
    /// `[batch, keys, depth]`
    pub k: &'a [T],
    /// `[batch, keys, values]`
    pub v: &'a [T],
    /// Factor of the products of queries and keys.
    pub scale: f64,
}

impl<'a, R: Real> Operands<'a, R> {
    fn check(&self, g: &AttentionGeometry) -> Result<(), KernelError> {
        check_len(OP, "q", self.q.len(), g.q_len())?;
        check_len(OP, "k", self.k.len(), g.k_len())?;
        check_len(OP, "v", self.v.len(), g.v_len())
    }

    /// The same, if the numbers are `f32`.
    fn as_f32(&self) -> Option<Operands<'a, f32>> {
        Some(Operands {
            q: R::as_f32(self.q)?,
            k: R::as_f32(self.k)?,
            v: R::as_f32(self.v)?,
            scale: self.scale,
        })
    }
}

/// What the way back needs of a forward pass.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a, T> {
    /// The result, `[batch, queries, values]`.
    pub y: &'a [T],
    /// The logarithm of each query's sum of exponentials, `[batch, queries]`.
    pub log_sums: &'a [T],
}

/// Computes `y`, and the logarithms of the sums of exponentials. A query whose products are all minus infinity gathers
/// NaN.
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn forward<R: Real>(
    level: Level,
    g: &AttentionGeometry,
    operands: &Operands<'_, R>,
    y: &mut [R],
    log_sums: &mut [R],
) -> Result<(), KernelError> {
    operands.check(g)?;
    check_len(OP, "y", y.len(), g.y_len())?;
    check_len(OP, "log_sums", log_sums.len(), g.rows())?;
    if let (Some(operands), Some(y), Some(log_sums)) =
        (operands.as_f32(), R::as_f32_mut(y), R::as_f32_mut(log_sums))
    {
        return forward::run(level, g, &operands, y, log_sums);
    }
    reference::forward(g, operands, y, log_sums);
    Ok(())
}

/// Computes the gradients `[dq, dk, dv]` from that of `y`.
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn backward<R: Real>(
    level: Level,
    g: &AttentionGeometry,
    operands: &Operands<'_, R>,
    outcome: &Outcome<'_, R>,
    dy: &[R],
    [dq, dk, dv]: [&mut [R]; 3],
) -> Result<(), KernelError> {
    operands.check(g)?;
    check_len(OP, "y", outcome.y.len(), g.y_len())?;
    check_len(OP, "log_sums", outcome.log_sums.len(), g.rows())?;
    check_len(OP, "dy", dy.len(), g.y_len())?;
    check_len(OP, "dq", dq.len(), g.q_len())?;
    check_len(OP, "dk", dk.len(), g.k_len())?;
    check_len(OP, "dv", dv.len(), g.v_len())?;
    if let (Some(operands), Some(y), Some(log_sums), Some(dy)) = (
        operands.as_f32(),
        R::as_f32(outcome.y),
        R::as_f32(outcome.log_sums),
        R::as_f32(dy),
    ) && let (Some(dq), Some(dk), Some(dv)) =
        (R::as_f32_mut(dq), R::as_f32_mut(dk), R::as_f32_mut(dv))
    {
        let outcome = Outcome { y, log_sums };
        return backward::run(level, g, &operands, &outcome, dy, [dq, dk, dv]);
    }
    reference::backward(g, operands, outcome, dy, [dq, dk, dv]);
    Ok(())
}
