//! `y = x * scale + shift` with a scale and a shift for each channel of each image: what is left of a normalisation once its
//! statistics are known, for those whose statistics are built from others.

use super::apply::{Parameters, apply};
use super::vector::gradient_sums;
use super::{After, NormGeometry, Upstream, reference};
use crate::error::{KernelError, check_len};
use crate::real::Real;
use striate_simd::Level;

/// `y = x * scale + shift`; scale and shift are `[N, C]`.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn forward<R: Real>(
    level: Level,
    g: &NormGeometry,
    x: &[R],
    scale: &[R],
    shift: &[R],
    y: &mut [R],
) -> Result<(), KernelError> {
    let op = "modulate";
    let lines = g.batch() * g.channels();
    check_len(op, "x", x.len(), g.total())?;
    check_len(op, "y", y.len(), g.total())?;
    check_len(op, "scale", scale.len(), lines)?;
    check_len(op, "shift", shift.len(), lines)?;
    if let (Some(x), Some(y)) = (R::as_f32(x), R::as_f32_mut(y)) {
        let parameters = Parameters::new(lines, |i| [0.0, scale[i].to_f64(), shift[i].to_f64()]);
        apply(level, g, x, parameters, After::NONE, y);
    } else {
        reference::modulate(g, x, scale, shift, y);
    }
    Ok(())
}

/// The gradients.
///
/// ```text
/// dx = dy * scale        dscale = sum(dy * x)        dshift = sum(dy)        sums over positions
/// ```
///
/// # Errors
/// If a slice does not have the geometry's length.
#[expect(clippy::too_many_arguments, reason = "three inputs and three outputs")]
pub fn backward<R: Real>(
    level: Level,
    g: &NormGeometry,
    x: &[R],
    dy: &[R],
    scale: &[R],
    dx: &mut [R],
    dscale: &mut [R],
    dshift: &mut [R],
) -> Result<(), KernelError> {
    let op = "modulate backward";
    let lines = g.batch() * g.channels();
    check_len(op, "x", x.len(), g.total())?;
    check_len(op, "dscale", dscale.len(), lines)?;
    check_len(op, "dshift", dshift.len(), lines)?;
    forward(level, g, dy, scale, &vec![R::ZERO; lines], dx)?;
    let upstream = Upstream { x, dy, mask: None };
    if let Some(upstream) = upstream.as_f32() {
        let sums = gradient_sums(level, g, upstream, &vec![0.0; lines]);
        for i in 0..lines {
            dscale[i] = R::from_f64(sums.second[i]);
            dshift[i] = R::from_f64(sums.first[i]);
        }
    } else {
        reference::modulate_sums(g, x, dy, dscale, dshift);
    }
    Ok(())
}
