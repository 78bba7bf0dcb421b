//! Resizing of images.

use striate_kernels::geometry::{Interpolation, ResizeGeometry};
use striate_kernels::resample;

use super::check_float;
use super::spatial::{Pair, filled_by, format_of, in_format, view};
use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::{MemoryFormat, Result, Tensor, current_level};

const OP: &str = "interpolate";

impl Tensor {
    /// The image at another size: PyTorch's `interpolate(x, size, mode, align_corners)`.
    ///
    /// # Shapes
    /// `[N, C, H, W]` to `[N, C, OH, OW]`.
    ///
    /// # Errors
    /// The rank is not 4, the elements are not floats, the image is empty and the output is not, or
    /// memory is out.
    pub fn interpolate(&self, size: impl Into<Pair>, interpolation: Interpolation) -> Result<Self> {
        check_float(OP, self)?;
        let Pair(size) = size.into();
        let geometry = ResizeGeometry::new(OP, self.dims_array(OP)?, size, interpolation)?;
        let x = in_format(self, format_of(self))?;
        apply(Interpolate { geometry }, [&x])
    }
}

#[derive(Debug)]
struct Interpolate {
    geometry: ResizeGeometry,
}

impl Function<1> for Interpolate {
    type Saved = MemoryFormat;

    fn describe(&self) -> Description {
        let [_, _, h, w] = self.geometry.output();
        Description::new(OP)
            .with("size", [h, w])
            .with("interpolation", self.geometry.interpolation())
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, MemoryFormat)> {
        let (g, level, format) = (&self.geometry, current_level()?, format_of(x));
        let y = match_float!(OP, x.dtype(), T => {
            filled_by::<T>(g.output(), format, |y| Ok(resample::resize(level, g, &view(x)?, y)?))?
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
        let dx = match_float!(OP, grad.dtype(), T => {
            filled_by::<T>(g.input(), format, |dx| {
                Ok(resample::resize_backward(level, g, &view(&grad)?, dx)?)
            })?
        });
        Ok([Some(dx)])
    }
}
