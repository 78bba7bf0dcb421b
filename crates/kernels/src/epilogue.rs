//! What happens to a result between the registers and memory.

use crate::error::{KernelError, check_len};
use crate::geometry::GeometryError;

/// The last step of an [`Epilogue`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `y`
    #[default]
    None,
    /// `max(y, 0)`; NaN stays NaN.
    Relu,
}

/// Steps applied while a result is stored, in this order: `activation(sum + bias[channel] + residual)`.
///
/// The channel is the column of a matrix product and the output channel of a convolution. The
/// residual has the layout and the length of the output.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) residual: Option<&'a [f32]>,
    pub(crate) activation: Activation,
}

impl<'a> Epilogue<'a> {
    /// Nothing: the sum is stored as it is.
    pub const NONE: Self = Self {
        bias: None,
        residual: None,
        activation: Activation::None,
    };

    /// Adds a number per channel, if there is one.
    pub fn bias(mut self, bias: Option<&'a [f32]>) -> Self {
        self.bias = bias;
        self
    }

    /// Adds an array of the output's layout.
    pub fn residual(mut self, residual: &'a [f32]) -> Self {
        self.residual = Some(residual);
        self
    }

    /// Ends with an activation.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Checks the lengths for an output of `rows` rows of `channels` elements, `stride` apart.
    pub(crate) fn check(
        &self,
        op: &'static str,
        rows: usize,
        channels: usize,
        stride: usize,
    ) -> Result<(), KernelError> {
        if let Some(bias) = self.bias {
            check_len(op, "bias", bias.len(), channels)?;
        }
        if let Some(residual) = self.residual {
            check_len(op, "residual", residual.len(), rows * channels)?;
            if stride != channels && rows > 1 {
                let rule = format!("rows of {channels} with a residual must be dense");
                return Err(GeometryError::new(op, "row_stride", stride.to_string(), rule).into());
            }
        }
        Ok(())
    }

    /// Applies the steps to an output in memory: what the kernels are tested against, whose channels are contiguous.
    #[cfg(test)]
    pub(crate) fn apply(&self, channels: usize, y: &mut [f32]) {
        for (i, y) in y.iter_mut().enumerate() {
            if let Some(bias) = self.bias {
                *y += bias[i % channels];
            }
            if let Some(residual) = self.residual {
                *y += residual[i];
            }
            if self.activation == Activation::Relu && *y <= 0.0 {
                *y = 0.0;
            }
        }
    }
}
