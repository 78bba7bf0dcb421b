//! What happens to a result between the registers and memory.

use crate::disjoint::TileMut;
use crate::elementwise::Unary;
use crate::error::{KernelError, check_len};
use crate::geometry::GeometryError;
use crate::moments::{Pixels, TileMoments};
use striate_simd::{Level, Simd};

/// The last step of an [`Epilogue`]: the functions of the same names in [`Unary`].
///
/// `None`, `Relu` and `Relu6` happen in registers, `HardSwish` where tiles of a product are stored. The others run over what
/// was just stored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// `y`
    #[default]
    None,
    /// `max(y, 0)`; NaN stays NaN.
    Relu,
    /// `min(max(y, 0), 6)`
    Relu6,
    /// `y` if positive, else `slope * y`
    LeakyRelu {
        /// The slope for negative numbers.
        slope: f64,
    },
    /// `1 / (1 + e^-y)`
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `y * sigmoid(y)`
    Silu,
    /// `y / 2 * (1 + erf(y / sqrt(2)))`
    Gelu,
    /// `y * tanh(ln(1 + e^y))`
    Mish,
    /// `y * min(max(y + 3, 0), 6) / 6`
    HardSwish,
    /// `min(max(y + 3, 0), 6) / 6`
    HardSigmoid,
    /// `ln(1 + e^y)`
    Softplus,
}

impl Activation {
    /// What results are kept within, in registers.
    pub(crate) fn bounds(self) -> Bounds {
        match self {
            Self::Relu => Bounds {
                floor: 0.0,
                ..Bounds::NONE
            },
            Self::Relu6 => Bounds {
                floor: 0.0,
                ceiling: 6.0,
            },
            _ => Bounds::NONE,
        }
    }

    /// The function, if there is one.
    pub fn function(self) -> Option<Unary> {
        Some(match self {
            Self::None => return None,
            Self::Relu => Unary::Relu,
            Self::Relu6 => Unary::Relu6,
            Self::LeakyRelu { slope } => Unary::LeakyRelu { slope },
            Self::Sigmoid => Unary::Sigmoid,
            Self::Tanh => Unary::Tanh,
            Self::Silu => Unary::Silu,
            Self::Gelu => Unary::Gelu,
            Self::Mish => Unary::Mish,
            Self::HardSwish => Unary::HardSwish,
            Self::HardSigmoid => Unary::HardSigmoid,
            // Beyond the threshold the value is the argument, to the last bit.
            Self::Softplus => Unary::Softplus {
                beta: 1.0,
                threshold: 20.0,
            },
        })
    }

    /// The function that is left to apply to results in memory.
    pub(crate) fn late(self) -> Option<Unary> {
        self.function().filter(|_| self.bounds() == Bounds::NONE)
    }
}

/// What results are kept within. NaN stays NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    floor: f32,
    ceiling: f32,
}

impl Bounds {
    pub(crate) const NONE: Self = Self {
        floor: f32::NEG_INFINITY,
        ceiling: f32::INFINITY,
    };

    /// With the numbers in registers.
    #[inline(always)]
    pub(crate) fn in_registers<S: Simd>(self, s: S) -> Clamp<S> {
        Clamp {
            floor: s.splat(self.floor),
            ceiling: s.splat(self.ceiling),
        }
    }
}

/// [`Bounds`] in registers.
#[derive(Clone, Copy)]
pub(crate) struct Clamp<S: Simd> {
    floor: S::F32,
    ceiling: S::F32,
}

impl<S: Simd> Clamp<S> {
    /// A vector within the bounds: a NaN passes as the second operand.
    #[inline(always)]
    pub(crate) fn run(&self, s: S, x: S::F32) -> S::F32 {
        s.min(self.ceiling, s.max(self.floor, x))
    }
}

/// Steps applied while a result is stored, in this order:
/// `activation(sum * scale[channel] + bias[channel] + residual)`.
///
/// The channel is the column of a matrix product and the output channel of a convolution; a batch norm
/// with constant statistics is a scale and a bias. The residual has the layout and the length of the
/// output.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    pub(crate) scale: Option<&'a [f32]>,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) residual: Option<&'a [f32]>,
    pub(crate) activation: Activation,
    /// Where tiles are handed over once they are stored.
    pub(crate) moments: Option<&'a TileMoments>,
}

impl<'a> Epilogue<'a> {
    /// Nothing: the sum is stored as it is.
    pub const NONE: Self = Self {
        scale: None,
        bias: None,
        residual: None,
        activation: Activation::None,
        moments: None,
    };

    /// Multiplies by a number per channel, if there is one.
    pub fn scale(mut self, scale: Option<&'a [f32]>) -> Self {
        self.scale = scale;
        self
    }

    /// Adds a number per channel, if there is one.
    pub fn bias(mut self, bias: Option<&'a [f32]>) -> Self {
        self.bias = bias;
        self
    }

    /// Adds an array of the output's layout, if there is one.
    pub fn residual(mut self, residual: Option<&'a [f32]>) -> Self {
        self.residual = residual;
        self
    }

    /// Ends with an activation.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Hands over a tile whose rows are pixels and whose columns are channels, which has been stored.
    pub(crate) fn observe(&self, level: Level, tile: &mut TileMut<'_, f32>) {
        if let Some(moments) = self.moments {
            let [at, first] = tile.start();
            let pixels = Pixels {
                at,
                channels: first..first + tile.row_len(),
            };
            moments.observe(level, tile, &pixels);
        }
    }

    /// Checks the lengths for an output of `rows` rows of `channels` elements, `stride` apart.
    pub(crate) fn check(
        &self,
        op: &'static str,
        rows: usize,
        channels: usize,
        stride: usize,
    ) -> Result<(), KernelError> {
        for (operand, numbers) in [("scale", self.scale), ("bias", self.bias)] {
            if let Some(numbers) = numbers {
                check_len(op, operand, numbers.len(), channels)?;
            }
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

    /// Applies the steps to sums, and to the sums of their magnitudes: what the kernels are tested
    /// against, whose channels are contiguous.
    #[cfg(test)]
    pub(crate) fn apply(&self, channels: usize, [y, magnitudes]: [&mut [f64]; 2]) {
        let wide = |x: f32| f64::from(x);
        for (i, (y, magnitude)) in y.iter_mut().zip(magnitudes).enumerate() {
            if let Some(scale) = self.scale {
                *y *= wide(scale[i % channels]);
                *magnitude *= wide(scale[i % channels].abs());
            }
            for term in [
                self.bias.map(|bias| bias[i % channels]),
                self.residual.map(|residual| residual[i]),
            ]
            .into_iter()
            .flatten()
            {
                *y += wide(term);
                *magnitude += wide(term.abs());
            }
            if let Some(function) = self.activation.function() {
                *y = function.value(*y);
            }
        }
    }
}
