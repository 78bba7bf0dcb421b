//! Gates that channels and pixels open together.

use striate_kernels::gate::{self, Gate, Joint, Operands};
use striate_simd::Buffer;

use super::affine::check_parameter;
use super::check_float;
use super::spatial::{format_of, in_format};
use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::{Element, MemoryFormat, Result, Tensor, current_level};

const OP: &str = "joint_gate";

impl Tensor {
    /// An image and its part that a gate lets through, whose logits are those of channels and pixels together:
    ///
    /// `y[n,c,i,j] = x[n,c,i,j] * (1 + sigmoid(channels[n,c] * pixels[n,i,j]))`, or with the sum of the logits.
    ///
    /// One pass over the image, and one on the way back: no gate is ever in memory.
    ///
    /// # Shapes
    /// `x [N, C, H, W]`, `channels [N, C, 1, 1]`, `pixels [N, 1, H, W]` to `[N, C, H, W]`.
    ///
    /// # Errors
    /// The shapes do not fit, element types differ, or memory is out.
    pub fn joint_gate(&self, channels: &Self, pixels: &Self, joint: Joint) -> Result<Self> {
        check_float(OP, self)?;
        let [n, c, h, w] = self.dims_array(OP)?;
        check_parameter(OP, self, "gate of channels", channels, &[n, c, 1, 1])?;
        check_parameter(OP, self, "gate of pixels", pixels, &[n, 1, h, w])?;
        let x = in_format(self, format_of(self))?;
        apply(
            JointGate(joint),
            [&x, &channels.contiguous()?, &pixels.contiguous()?],
        )
    }
}

#[derive(Debug)]
struct JointGate(Joint);

impl JointGate {
    /// The sizes, in the memory order of `x`: the innermost are columns.
    fn geometry(&self, x: &Tensor) -> Result<Gate> {
        let [batch, c, h, w] = x.dims4()?;
        let [rows, columns] = match format_of(x) {
            MemoryFormat::ChannelsLast => [h * w, c],
            MemoryFormat::RowMajor => [c, h * w],
        };
        Ok(Gate {
            batch,
            rows,
            columns,
            joint: self.0,
        })
    }
}

/// What is given for rows and for columns, of what is for channels and for pixels.
fn by_axis<T>(x: &Tensor, [channels, pixels]: [T; 2]) -> [T; 2] {
    match format_of(x) {
        MemoryFormat::ChannelsLast => [pixels, channels],
        MemoryFormat::RowMajor => [channels, pixels],
    }
}

fn operands<T: Element>([x, channels, pixels]: &[Tensor; 3]) -> Result<Operands<'_, T>> {
    let [rows, columns] = by_axis(x, [channels.memory()?, pixels.memory()?]);
    Ok(Operands {
        x: x.memory()?,
        rows,
        columns,
    })
}

impl Function<3> for JointGate {
    /// The operands.
    type Saved = [Tensor; 3];

    fn describe(&self) -> Description {
        Description::new(OP)
    }

    fn forward(&self, x: [&Tensor; 3]) -> Result<(Tensor, [Tensor; 3])> {
        let (g, x) = (self.geometry(x[0])?, x.map(Tensor::clone));
        let y = match_float!(OP, x[0].dtype(), T => {
            let mut y = Buffer::<T>::recycled(x[0].numel())?;
            gate::forward(current_level()?, &g, &operands(&x)?, &mut y)?;
            Tensor::from_buffer(y, x[0].shape(), format_of(&x[0]))?
        });
        Ok((y, x))
    }

    fn backward(
        &self,
        x: &[Tensor; 3],
        grad: &Tensor,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let (g, format) = (self.geometry(&x[0])?, format_of(&x[0]));
        let grad = in_format(grad, format)?;
        let gradients = match_float!(OP, grad.dtype(), T => {
            let mut dx = Buffer::<T>::recycled(x[0].numel())?;
            let mut dchannels = Buffer::<T>::recycled(x[1].numel())?;
            let mut dpixels = Buffer::<T>::recycled(x[2].numel())?;
            let [drows, dcolumns] = by_axis(&x[0], [&mut dchannels[..], &mut dpixels[..]]);
            let all = [&mut dx[..], drows, dcolumns];
            gate::backward(current_level()?, &g, &operands(x)?, grad.memory()?, all)?;
            [
                Tensor::from_buffer(dx, x[0].shape(), format)?,
                Tensor::from_buffer(dchannels, x[1].shape(), MemoryFormat::RowMajor)?,
                Tensor::from_buffer(dpixels, x[2].shape(), MemoryFormat::RowMajor)?,
            ]
        });
        let mut needs = needs.into_iter();
        Ok(gradients.map(|gradient| needs.next().unwrap_or(false).then_some(gradient)))
    }
}
