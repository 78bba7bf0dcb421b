//! A convolution with what follows it in evaluation, in one pass over the output.

use striate_kernels::epilogue::{Activation, Epilogue};
use striate_simd::Buffer;

use super::affine::check_parameter;
use super::check_float;
use super::conv2d::{Conv2d, packed};
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
    /// Factors of the output's channels, `[O]`: a batch norm's.
    pub scale: Option<&'a Tensor>,
    /// What is added to the output's channels, `[O]`.
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
        let outputs = [g.out_channels()];
        let gates = [g.batch(), g.in_channels()];
        let operands = [
            ("gate", epilogue.gate, &gates[..]),
            ("scale", epilogue.scale, &outputs),
            ("bias", epilogue.bias, &outputs),
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
        let steps = Epilogue::NONE
            .scale(memory(scale.as_ref())?)
            .bias(memory(bias.as_ref())?)
            .residual(memory(residual.as_ref())?)
            .activation(epilogue.activation);
        let packed = packed(&x, weight, &g)?;
        let mut y = Buffer::recycled(g.y_len())?;
        match memory(gate.as_ref())? {
            None => packed.forward(&g, x.memory()?, &steps, &mut y)?,
            Some(gate) => packed.forward_gated(&g, x.memory()?, gate, &steps, &mut y)?,
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
        let per_channel = |operand: &Self| operand.reshape([1, operand.numel(), 1, 1]);
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

fn memory(operand: Option<&Tensor>) -> Result<Option<&[f32]>> {
    operand.map(Tensor::memory).transpose()
}
