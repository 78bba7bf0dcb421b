//! A scale and a shift for each channel of each image.

use striate_kernels::norm::modulate;
use striate_simd::Buffer;

use super::affine::check_parameter;
use super::check_float;
use super::spatial::{as_image, format_of, in_format};
use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::{MemoryFormat, Result, Tensor, current_level};

const OP: &str = "modulate";

impl Tensor {
    /// `y[n, c] = x[n, c] * scale[n, c] + shift[n, c]`, in one pass over the map: what a normalisation does once its
    /// statistics are known, and what a network does that is told by another.
    ///
    /// # Shapes
    /// `x [N, C]` to `[N, C, T, H, W]`; scale and shift `[N, C]`.
    ///
    /// # Errors
    /// The shapes or types do not fit, or memory is out.
    pub fn modulate(&self, scale: &Self, shift: &Self) -> Result<Self> {
        check_float(OP, self)?;
        let x = as_image(OP, self)?;
        let [n, c, _, _] = x.dims4()?;
        check_parameter(OP, self, "scale", scale, &[n, c])?;
        check_parameter(OP, self, "shift", shift, &[n, c])?;
        let (scale, shift) = (scale.contiguous()?, shift.contiguous()?);
        apply(Modulate, [&x, &scale, &shift])?.reshape(self.shape())
    }
}

struct Modulate;

impl Function<3> for Modulate {
    /// The map and the scale.
    type Saved = [Tensor; 2];

    fn describe(&self) -> Description {
        Description::new(OP)
    }

    fn forward(&self, [x, scale, shift]: [&Tensor; 3]) -> Result<(Tensor, [Tensor; 2])> {
        let geometry = super::batch_norm::geometry(x)?;
        let y = match_float!(OP, x.dtype(), T => {
            let mut y = Buffer::<T>::recycled(x.numel())?;
            let (scale, shift) = (scale.memory()?, shift.memory()?);
            modulate::forward(current_level()?, &geometry, x.memory::<T>()?, scale, shift, &mut y)?;
            Tensor::from_buffer(y, x.shape(), format_of(x))?
        });
        Ok((y, [x.clone(), scale.clone()]))
    }

    fn backward(
        &self,
        [x, scale]: &[Tensor; 2],
        grad: &Tensor,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let geometry = super::batch_norm::geometry(x)?;
        let grad = in_format(grad, format_of(x))?;
        match_float!(OP, x.dtype(), T => {
            let mut dx = Buffer::<T>::recycled(x.numel())?;
            let mut dscale = Buffer::<T>::recycled(scale.numel())?;
            let mut dshift = Buffer::<T>::recycled(scale.numel())?;
            modulate::backward(
                current_level()?,
                &geometry,
                x.memory()?,
                grad.memory()?,
                scale.memory()?,
                &mut dx,
                &mut dscale,
                &mut dshift,
            )?;
            let [need_x, need_scale, need_shift] = needs;
            let parameter = |values| Tensor::from_buffer(values, scale.shape(), MemoryFormat::RowMajor);
            Ok([
                need_x.then(|| Tensor::from_buffer(dx, x.shape(), format_of(x))).transpose()?,
                need_scale.then(|| parameter(dscale)).transpose()?,
                need_shift.then(|| parameter(dshift)).transpose()?,
            ])
        })
    }
}
