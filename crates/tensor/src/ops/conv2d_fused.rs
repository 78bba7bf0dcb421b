//! A convolution with what follows it in evaluation, in one pass over the output.

use striate_kernels::epilogue::{Activation, Epilogue};
use striate_simd::Buffer;

use super::affine::check_parameter;
use super::check_float;
use super::conv2d::{Conv2d, forward_once_or_kept, packed};
use super::spatial::{format_of, image, in_format};
use crate::autograd::reject;
use crate::{Conv2dOptions, DType, Result, Tensor};

const OP: &str = "conv2d_fused";

/// What surrounds a convolution: `activation(conv(gate * x) * scale + bias + residual)`. What is not
/// given is left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conv2dEpilogue<'a> {
    /// Factors of the input, `[N, C]`: a channel attention.
    pub gate: Option<&'a Tensor>,
    /// Factors of the output's channels, `[O]`: a batch norm's; or `[N, O]`, those of each image.
    pub scale: Option<&'a Tensor>,
    /// What is added to the output's channels, `[O]`; or `[N, O]`, to those of each image.
    pub bias: Option<&'a Tensor>,
    /// What is added to the output, of its shape.
    pub residual: Option<&'a Tensor>,
    /// The last step.
    pub activation: Activation,
}

impl Tensor {
    /// The convolution of [`conv2d`](Self::conv2d) with what follows it, for inference: it has no gradient.
    ///
    /// # Shapes
    /// Those of [`conv2d`](Self::conv2d) and of [`Conv2dEpilogue`].
    ///
    /// # Errors
    /// Those of [`conv2d`](Self::conv2d); an operand has another shape or type, or tracks gradients.
    pub fn conv2d_fused(
        &self,
        weight: &Self,
        options: Conv2dOptions,
        epilogue: &Conv2dEpilogue<'_>,
    ) -> Result<Self> {
        check_float(OP, self)?;
        let x = in_format(self, format_of(self))?;
        let g = Conv2d::new(options).geometry(&x, weight, None)?;
        let of_channels = |operand: Option<&Self>| match operand {
            Some(operand) if operand.rank() == 2 => vec![g.batch(), g.out_channels()],
            _ => vec![g.out_channels()],
        };
        let gates = [g.batch(), g.in_channels()];
        let operands = [
            ("gate", epilogue.gate, &gates[..]),
            ("scale", epilogue.scale, &of_channels(epilogue.scale)),
            ("bias", epilogue.bias, &of_channels(epilogue.bias)),
            ("residual", epilogue.residual, &g.y_shape()),
        ];
        for (name, operand, shape) in operands {
            if let Some(operand) = operand {
                check_parameter(OP, self, name, operand, shape)?;
                reject(OP, &[operand])?;
            }
        }
        reject(OP, &[self, weight])?;
        if self.dtype() != DType::F32 {
            return self.composed(weight, options, epilogue);
        }
        let dense = |operand: Option<&Self>| operand.map(Self::contiguous).transpose();
        let (gate, scale) = (dense(epilogue.gate)?, dense(epilogue.scale)?);
        let bias = dense(epilogue.bias)?;
        let residual = epilogue.residual.map(Self::channels_last).transpose()?;
        let own = [&scale, &bias].map(|t| t.as_ref().is_some_and(|t| t.rank() == 2));
        let (gate, scale) = (memory(gate.as_ref())?, memory(scale.as_ref())?);
        let (bias, residual) = (memory(bias.as_ref())?, memory(residual.as_ref())?);
        let mut y = Buffer::recycled(g.y_len())?;
        // Images whose steps are their own are convolved one by one.
        let images = if own == [false; 2] || g.y_len() == 0 {
            1
        } else {
            g.batch()
        };
        if own == [false; 2] && gate.is_none() {
            let steps = Epilogue::NONE.scale(scale).bias(bias).residual(residual);
            let steps = steps.activation(epilogue.activation);
            forward_once_or_kept(&x, weight, &g, &steps, &mut y)?;
            return image(y, g.y_shape());
        }
        let (x_len, y_len) = (g.x_len() / images, g.y_len() / images);
        let one = x.narrow(0, 0, x.shape()[0] / images)?;
        let g_one = Conv2d::new(options).geometry(&one, weight, None)?;
        let packed = packed(&one, weight, &g_one)?;
        let channels = [g.in_channels(), g.out_channels()];
        for (i, y) in y.chunks_exact_mut(y_len.max(1)).enumerate() {
            let step = |all, own| {
                if own {
                    of_image(all, i, channels[1])
                } else {
                    all
                }
            };
            let steps = Epilogue::NONE
                .scale(step(scale, own[0]))
                .bias(step(bias, own[1]))
                .residual(of_image(residual, i, y_len))
                .activation(epilogue.activation);
            let x = &x.memory()?[i * x_len..][..x_len];
            match of_image(gate, i, gates[0] / images * channels[0]) {
                None => packed.forward(&g_one, x, &steps, y)?,
                Some(gate) => packed.forward_gated(&g_one, x, gate, &steps, y)?,
            }
        }
        image(y, g.y_shape())
    }

    /// The same, step by step.
    fn composed(
        &self,
        weight: &Self,
        options: Conv2dOptions,
        epilogue: &Conv2dEpilogue<'_>,
    ) -> Result<Self> {
        let per_channel = |operand: &Self| match operand.rank() {
            2 => operand.unsqueeze(2)?.unsqueeze(3),
            _ => operand.reshape([1, operand.numel(), 1, 1]),
        };
        let mut x = self.clone();
        if let Some(gate) = epilogue.gate {
            x = x.mul(&gate.unsqueeze(2)?.unsqueeze(3)?)?;
        }
        let mut y = x.conv2d(weight, None, options)?;
        if let Some(scale) = epilogue.scale {
            y = y.mul(&per_channel(scale)?)?;
        }
        if let Some(bias) = epilogue.bias {
            y = y.add(&per_channel(bias)?)?;
        }
        if let Some(residual) = epilogue.residual {
            y = y.add(residual)?;
        }
        match epilogue.activation.function() {
            Some(function) => y.unary(OP, function),
            None => Ok(y),
        }
    }
}

/// The part of image `i`.
fn of_image(all: Option<&[f32]>, i: usize, len: usize) -> Option<&[f32]> {
    all.map(|all| &all[i * len..][..len])
}

pub(super) fn memory(operand: Option<&Tensor>) -> Result<Option<&[f32]>> {
    operand.map(Tensor::memory).transpose()
}
