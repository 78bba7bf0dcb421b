//! Mixtures of rows: the weights of convolutions that have their own for every image.
//!
//! `y[n] = sum over e of a[n, e] w[e]` for rows of any length. It is a product with few rows on the left and few terms, for
//! which [`gemm`](crate::gemm) would spend its time packing the right operand. Here every `w` is read once and every `y`
//! written once.
//!
//! [`mix_maps`] weighs the channels of whole maps.

mod maps;
mod reference;
mod vector;

#[cfg(test)]
mod tests;

pub use maps::{Maps, mix_maps, mix_maps_backward};

use crate::error::{KernelError, check_len};
use crate::real::Real;
use striate_simd::Level;

/// How many mixtures there are, of how many rows, of what length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mixture {
    /// Number of mixtures, `N`.
    pub samples: usize,
    /// Number of rows that are mixed, `E`.
    pub rows: usize,
    /// Length of a row.
    pub len: usize,
}

impl Mixture {
    fn check<R>(&self, op: &'static str, a: &[R], w: &[R], y: &[R]) -> Result<(), KernelError> {
        // A length that overflows is no slice's.
        check_len(op, "a", a.len(), self.samples.saturating_mul(self.rows))?;
        check_len(op, "w", w.len(), self.rows.saturating_mul(self.len))?;
        check_len(op, "y", y.len(), self.samples.saturating_mul(self.len))
    }
}

/// `y[n] = sum over e of a[n, e] w[e]`, with `a` `[N, E]`, `w` `[E, len]` and `y` `[N, len]`.
///
/// # Errors
/// If a slice has another length.
pub fn mix<R: Real>(
    level: Level,
    m: &Mixture,
    a: &[R],
    w: &[R],
    y: &mut [R],
) -> Result<(), KernelError> {
    m.check("mix", a, w, y)?;
    if let (Some(a), Some(w), Some(y)) = (R::as_f32(a), R::as_f32(w), R::as_f32_mut(y)) {
        vector::mix(level, m, a, w, y);
    } else {
        reference::mix(m, a, w, y);
    }
    Ok(())
}

/// `a[n, e] = sum over i of y[n, i] w[e, i]`: what changing a factor of [`mix`] does to a sum weighted by `y`.
///
/// # Errors
/// If a slice has another length.
pub fn products<R: Real>(
    level: Level,
    m: &Mixture,
    y: &[R],
    w: &[R],
    a: &mut [R],
) -> Result<(), KernelError> {
    m.check("mix backward", a, w, y)?;
    if let (Some(y), Some(w), Some(a)) = (R::as_f32(y), R::as_f32(w), R::as_f32_mut(a)) {
        vector::products(level, m, y, w, a);
    } else {
        reference::products(m, y, w, a);
    }
    Ok(())
}
