//! Pooling to a given size: output `i` covers rows `floor(i H / OH) .. ceil((i + 1) H / OH)`.

use striate_kernels::geometry::AdaptivePoolGeometry;
use striate_kernels::pool;
use striate_kernels::view::{View, ViewMut};
use striate_simd::Buffer;

use super::check_float;
use super::spatial::{Pair, filled_by, format_of, image_layout, in_format, view};
use crate::autograd::{Description, Function, apply, is_grad_enabled};
use crate::dtype::match_float;
use crate::{MemoryFormat, Result, Tensor, current_level};

impl Tensor {
    /// The mean of each covered area.
    ///
    /// # Shapes
    /// `[N, C, H, W]` to `[N, C, OH, OW]`.
    ///
    /// # Errors
    /// The rank is not 4, the elements are not floats, the image is empty and the output is not, or
    /// memory is out.
    pub fn adaptive_avg_pool2d(&self, size: impl Into<Pair>) -> Result<Self> {
        let (x, geometry) = prepare("adaptive_avg_pool2d", self, size.into())?;
        apply(AdaptiveAverage { geometry }, [&x])
    }

    /// The largest element of each covered area; NaN if one is. Of equal ones, the first in row-major order gets
    /// the gradient.
    ///
    /// # Shapes
    /// `[N, C, H, W]` to `[N, C, OH, OW]`.
    ///
    /// # Errors
    /// As [`Tensor::adaptive_avg_pool2d`].
    pub fn adaptive_max_pool2d(&self, size: impl Into<Pair>) -> Result<Self> {
        let (x, geometry) = prepare("adaptive_max_pool2d", self, size.into())?;
        let record = self.tracks_grad() && is_grad_enabled();
        apply(AdaptiveMax { geometry, record }, [&x])
    }
}

/// The image in the order the kernels read, and the checked sizes.
fn prepare(op: &'static str, x: &Tensor, size: Pair) -> Result<(Tensor, AdaptivePoolGeometry)> {
    check_float(op, x)?;
    let geometry = AdaptivePoolGeometry::new(op, x.dims_array(op)?, size.0)?;
    Ok((in_format(x, format_of(x))?, geometry))
}

fn describe(name: &'static str, geometry: &AdaptivePoolGeometry) -> Description {
    let [_, _, h, w] = geometry.output();
    Description::new(name).with("size", [h, w])
}

#[derive(Debug)]
struct AdaptiveAverage {
    geometry: AdaptivePoolGeometry,
}

impl Function<1> for AdaptiveAverage {
    type Saved = MemoryFormat;

    fn describe(&self) -> Description {
        describe("adaptive_avg_pool2d", &self.geometry)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, MemoryFormat)> {
        let (g, level, format) = (&self.geometry, current_level()?, format_of(x));
        let y = match_float!("adaptive_avg_pool2d", x.dtype(), T => {
            filled_by::<T>(g.output(), format, |y| {
                Ok(pool::adaptive_average(level, g, &view(x)?, y)?)
            })?
        });
        Ok((y, format))
    }

    fn backward(
        &self,
        &format: &MemoryFormat,
        grad: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let (g, level) = (&self.geometry, current_level()?);
        let grad = in_format(grad, format)?;
        let dx = match_float!("adaptive_avg_pool2d", grad.dtype(), T => {
            filled_by::<T>(g.input(), format, |dx| {
                Ok(pool::adaptive_average_backward(level, g, &view(&grad)?, dx)?)
            })?
        });
        Ok([Some(dx)])
    }
}

#[derive(Debug)]
struct AdaptiveMax {
    geometry: AdaptivePoolGeometry,
    /// Whether there will be a backward pass.
    record: bool,
}

struct AdaptiveMaxSaved {
    /// The position `h * W + w` of each largest element; empty without a backward pass.
    places: Buffer<i32>,
    format: MemoryFormat,
}

impl Function<1> for AdaptiveMax {
    type Saved = AdaptiveMaxSaved;

    fn describe(&self) -> Description {
        describe("adaptive_max_pool2d", &self.geometry)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, AdaptiveMaxSaved)> {
        let (g, level, format) = (&self.geometry, current_level()?, format_of(x));
        let mut places = Buffer::recycled(if self.record { g.output_len() } else { 0 })?;
        let y = match_float!("adaptive_max_pool2d", x.dtype(), T => {
            filled_by::<T>(g.output(), format, |y| {
                let mut places = match self.record {
                    true => Some(ViewMut::dense(&mut places[..], g.output(), image_layout(format))?),
                    false => None,
                };
                Ok(pool::adaptive_max(level, g, &view(x)?, y, places.as_mut())?)
            })?
        });
        Ok((y, AdaptiveMaxSaved { places, format }))
    }

    fn backward(
        &self,
        AdaptiveMaxSaved { places, format }: &AdaptiveMaxSaved,
        grad: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let (g, level) = (&self.geometry, current_level()?);
        let grad = in_format(grad, *format)?;
        let places = View::dense(&places[..], g.output(), image_layout(*format))?;
        let dx = match_float!("adaptive_max_pool2d", grad.dtype(), T => {
            filled_by::<T>(g.input(), *format, |dx| {
                Ok(pool::adaptive_max_backward(level, g, &places, &view(&grad)?, dx)?)
            })?
        });
        Ok([Some(dx)])
    }
}
