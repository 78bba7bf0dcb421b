//! Pooling of regions of interest: RoIAlign, position-sensitive pooling, both with bins that are moved by offsets, and the largest
//! pixels of bins.
//!
//! A bin is the average of samples, which have places along each axis: the weights of its pixels are products of one weight by the
//! row and one by the column. Images and outputs are channels-last; the channels of the input are `[position group, channel]`.

mod bins;
mod geometry;
mod largest;
mod reference;
mod vector;

#[cfg(test)]
mod tests;

pub use geometry::{RoiGeometry, RoiOffsets, RoiSampling};
pub use largest::{largest, largest_backward};

use crate::error::{KernelError, check_len};
use crate::geometry::GeometryError;
use crate::real::Real;
use striate_simd::Level;

const OP: &str = "roi pooling";

/// Where the bins lie.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, T> {
    /// `[image, x1, y1, x2, y2]` of each region.
    pub rois: &'a [T],
    /// As [`RoiGeometry::offset_shape`] says; empty if bins are not moved.
    pub offsets: &'a [T],
}

impl<'a, R: Real> Inputs<'a, R> {
    fn check(&self, g: &RoiGeometry) -> Result<(), KernelError> {
        check_len(OP, "rois", self.rois.len(), 5 * g.rois())?;
        let [rois, per_roi] = g.offset_shape();
        check_len(OP, "offsets", self.offsets.len(), rois * per_roi)?;
        let images = g.input()[0];
        for row in self.rois.chunks_exact(5) {
            let image = row[0].to_f64();
            if !(image >= 0.0 && image < images as f64 && image.fract() == 0.0) {
                let rule = format!("a region must be of one of {images} images");
                return Err(GeometryError::new(OP, "rois", image.to_string(), rule).into());
            }
        }
        Ok(())
    }

    /// The same, if the numbers are `f32`.
    fn as_f32(&self) -> Option<Inputs<'a, f32>> {
        Some(Inputs {
            rois: R::as_f32(self.rois)?,
            offsets: R::as_f32(self.offsets)?,
        })
    }
}

/// `y[r, i, j, c] = mean of the samples of bin [i, j] of region r`, which is zero where a bin has no samples.
///
/// # Errors
/// If a length does not fit the geometry or a region is of no image.
pub fn forward<R: Real>(
    level: Level,
    g: &RoiGeometry,
    inputs: &Inputs<'_, R>,
    x: &[R],
    y: &mut [R],
) -> Result<(), KernelError> {
    inputs.check(g)?;
    check_len(OP, "x", x.len(), g.input().iter().product())?;
    check_len(OP, "y", y.len(), g.output().iter().product())?;
    if let (Some(inputs), Some(x)) = (inputs.as_f32(), R::as_f32(x))
        && let Some(y) = R::as_f32_mut(y)
    {
        vector::forward(level, g, &inputs, x, y);
    } else {
        reference::forward(g, inputs, x, y);
    }
    Ok(())
}

/// The gradient by the images, which is overwritten.
///
/// # Errors
/// As [`forward`].
pub fn backward_input<R: Real>(
    level: Level,
    g: &RoiGeometry,
    inputs: &Inputs<'_, R>,
    dy: &[R],
    dx: &mut [R],
) -> Result<(), KernelError> {
    inputs.check(g)?;
    check_len(OP, "dy", dy.len(), g.output().iter().product())?;
    check_len(OP, "dx", dx.len(), g.input().iter().product())?;
    if let (Some(inputs), Some(dy)) = (inputs.as_f32(), R::as_f32(dy))
        && let Some(dx) = R::as_f32_mut(dx)
    {
        vector::backward_input(level, g, &inputs, dy, dx);
    } else {
        reference::backward_input(g, inputs, dy, dx);
    }
    Ok(())
}

/// The gradient by the offsets, which is overwritten.
///
/// # Errors
/// As [`forward`], or memory is out.
pub fn backward_offsets<R: Real>(
    level: Level,
    g: &RoiGeometry,
    inputs: &Inputs<'_, R>,
    x: &[R],
    dy: &[R],
    doffsets: &mut [R],
) -> Result<(), KernelError> {
    inputs.check(g)?;
    check_len(OP, "x", x.len(), g.input().iter().product())?;
    check_len(OP, "dy", dy.len(), g.output().iter().product())?;
    check_len(OP, "doffsets", doffsets.len(), inputs.offsets.len())?;
    if let (Some(inputs), Some(x), Some(dy)) = (inputs.as_f32(), R::as_f32(x), R::as_f32(dy))
        && let Some(doffsets) = R::as_f32_mut(doffsets)
    {
        return vector::backward_offsets(level, g, &inputs, x, dy, doffsets);
    }
    reference::backward_offsets(g, inputs, x, dy, doffsets);
    Ok(())
}
