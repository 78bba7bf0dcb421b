//! Deformable convolution: every tap of every output pixel is moved by an offset of its own.
//!
//! `y(p) = bias + sum over taps k of w(k) m(p, k) x(p s - pad + k d + offset(p, k))`, where `x` between pixels is bilinear and zero
//! outside, and the mask `m` is one where there is none (Dai et al., "Deformable Convolutional Networks", 2017, and with the
//! mask Zhu et al., "Deformable ConvNets v2", 2019).
//!
//! All images are channels-last: offsets `[N, OH, OW, offset_groups * taps * 2]` with how far down before how far right, masks
//! `[N, OH, OW, offset_groups * taps]`. Weights are `[out, taps, channels of a group]`.
//!
//! The values at the places of some taps of a strip of pixels are gathered once for all channels, as rows of the left operand of
//! a product with the weights of these taps, and used while both are in the cache. The way back multiplies a strip of gradients
//! with the weights of some taps and channels and spreads what comes out at once; what was sampled is sampled again.

mod backward_input;
mod backward_weight;
mod forward;
mod geometry;
mod packed;
mod pieces;
mod places;
pub mod reference;
mod strip;

#[cfg(test)]
mod tests;

pub use geometry::{DeformBorder, DeformConv2dGeometry};
pub use packed::PackedWeights;

use crate::error::{KernelError, check_len};
use crate::real::Real;
use striate_simd::Level;

/// What is sampled, and where.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, T> {
    /// The images.
    pub x: &'a [T],
    /// The offset of each tap.
    pub offset: &'a [T],
    /// The factor of each tap.
    pub mask: Option<&'a [T]>,
}

impl<'a, R: Real> Inputs<'a, R> {
    /// The same, if the numbers are `f32`.
    fn as_f32(&self) -> Option<Inputs<'a, f32>> {
        Some(Inputs {
            x: R::as_f32(self.x)?,
            offset: R::as_f32(self.offset)?,
            mask: match self.mask {
                Some(mask) => Some(R::as_f32(mask)?),
                None => None,
            },
        })
    }

    fn check(&self, op: &'static str, g: &DeformConv2dGeometry) -> Result<(), KernelError> {
        let mask = self.mask.map_or(Ok(()), |mask| {
            check_len(op, "mask", mask.len(), g.mask_shape().iter().product())
        });
        check_len(op, "x", self.x.len(), g.conv().x_len())?;
        let offsets = g.offset_shape().iter().product();
        check_len(op, "offset", self.offset.len(), offsets)?;
        mask
    }
}

/// Computes the output from the weights as packed for `level`.
///
/// # Errors
/// If a length or the shape of the weights does not fit the geometry, or memory is out.
pub fn forward(
    level: Level,
    g: &DeformConv2dGeometry,
    inputs: &Inputs<'_, f32>,
    weights: &PackedWeights,
    bias: Option<&[f32]>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    let op = "deform_conv2d";
    inputs.check(op, g)?;
    weights.check(op, g)?;
    if let Some(bias) = bias {
        check_len(op, "bias", bias.len(), g.conv().out_channels())?;
    }
    check_len(op, "y", y.len(), g.conv().y_len())?;
    forward::run(level, g, inputs, weights, bias, y)
}

/// The gradients by the images, the offsets and the mask, which are overwritten.
///
/// # Errors
/// If a length does not fit the geometry, or memory is out.
pub fn backward_input<R: Real>(
    level: Level,
    g: &DeformConv2dGeometry,
    inputs: &Inputs<'_, R>,
    weight: &[R],
    dy: &[R],
    [dx, doffset, dmask]: [&mut [R]; 3],
) -> Result<(), KernelError> {
    let op = "deform_conv2d backward";
    inputs.check(op, g)?;
    check_len(op, "weight", weight.len(), g.conv().weight_len())?;
    check_len(op, "dy", dy.len(), g.conv().y_len())?;
    check_len(op, "dx", dx.len(), g.conv().x_len())?;
    check_len(op, "doffset", doffset.len(), inputs.offset.len())?;
    check_len(op, "dmask", dmask.len(), g.mask_shape().iter().product())?;
    if let (Some(inputs), Some(weight), Some(dy)) =
        (inputs.as_f32(), R::as_f32(weight), R::as_f32(dy))
        && let (Some(dx), Some(doffset)) = (R::as_f32_mut(dx), R::as_f32_mut(doffset))
        && let Some(dmask) = R::as_f32_mut(dmask)
    {
        return backward_input::run(level, g, &inputs, weight, dy, [dx, doffset, dmask]);
    }
    reference::backward_input(g, inputs, weight, dy, [dx, doffset, dmask]);
    Ok(())
}

/// The gradient by the weights, which is overwritten.
///
/// # Errors
/// If a length does not fit the geometry, or memory is out.
pub fn backward_weight<R: Real>(
    level: Level,
    g: &DeformConv2dGeometry,
    inputs: &Inputs<'_, R>,
    dy: &[R],
    dweight: &mut [R],
) -> Result<(), KernelError> {
    let op = "deform_conv2d backward";
    inputs.check(op, g)?;
    check_len(op, "dy", dy.len(), g.conv().y_len())?;
    check_len(op, "dweight", dweight.len(), g.conv().weight_len())?;
    if let (Some(inputs), Some(dy)) = (inputs.as_f32(), R::as_f32(dy))
        && let Some(dweight) = R::as_f32_mut(dweight)
    {
        return backward_weight::run(level, g, &inputs, dy, dweight);
    }
    reference::backward_weight(g, inputs, dy, dweight);
    Ok(())
}
