//! Functions of one number, and their derivatives.

use crate::real::Real;

/// A function that is applied to every element. Parameters are `f64` and are rounded to the element's type.
///
/// The derivatives at kinks are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Unary {
    /// `-x`
    Neg,
    /// `|x|`
    Abs,
    /// `e^x`
    Exp,
    /// The natural logarithm.
    Log,
    /// The square root.
    Sqrt,
    /// `1 / sqrt(x)`
    Rsqrt,
    /// `1 / x`
    Reciprocal,
    /// `x^2`
    Square,
    /// The sine.
    Sin,
    /// The cosine.
    Cos,
    /// `x^exponent`
    Powf {
        /// The exponent.
        exponent: f64,
    },
    /// `scale * x + shift`
    Affine {
        /// The factor.
        scale: f64,
        /// What is added after.
        shift: f64,
    },
    /// `min(max(x, min), max)`
    Clamp {
        /// The lower bound; minus infinity for none.
        min: f64,
        /// The upper bound, which wins over the lower; infinity for none.
        max: f64,
    },
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `x` if positive, else `slope * x`
    LeakyRelu {
        /// The slope for negative numbers.
        slope: f64,
    },
    /// `x` if positive, else `alpha * (e^x - 1)`
    Elu {
        /// The negative of the limit at minus infinity.
        alpha: f64,
    },
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `x * sigmoid(x)`
    Silu,
    /// `x / 2 * (1 + erf(x / sqrt(2)))`
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`
    GeluTanh,
    /// `x * tanh(ln(1 + e^x))`
    Mish,
    /// `x * min(max(x + 3, 0), 6) / 6`
    HardSwish,
    /// `min(max(x + 3, 0), 6) / 6`
    HardSigmoid,
    /// `ln(1 + e^(beta x)) / beta`, or `x` where `beta * x > threshold`
    Softplus {
        /// The sharpness.
        beta: f64,
        /// Beyond which the function is taken to be `x`.
        threshold: f64,
    },
}

/// What the derivative of a [`Unary`] is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Nothing: the derivative is a constant.
    Nothing,
    /// The argument.
    Input,
    /// The value.
    Output,
}

/// `sqrt(2 / pi)`
const SQRT_2_PI: f64 = 0.797_884_560_802_865_4;
/// `1 / sqrt(2 pi)`
const SQRT_1_2PI: f64 = 0.398_942_280_401_432_7;

impl Unary {
    /// What [`derivative`](Self::derivative) wants.
    pub fn saved(self) -> Saved {
        match self {
            Self::Neg | Self::Affine { .. } => Saved::Nothing,
            Self::Exp
            | Self::Sqrt
            | Self::Rsqrt
            | Self::Reciprocal
            | Self::Relu
            | Self::Relu6
            | Self::Sigmoid
            | Self::Tanh
            | Self::HardSigmoid => Saved::Output,
            _ => Saved::Input,
        }
    }

    /// Whether value and gradient are computed in the time that reading and writing take.
    pub(super) fn is_cheap(self) -> bool {
        matches!(
            self,
            Self::Neg
                | Self::Abs
                | Self::Square
                | Self::Affine { .. }
                | Self::Clamp { .. }
                | Self::Relu
                | Self::Relu6
                | Self::LeakyRelu { .. }
                | Self::HardSwish
                | Self::HardSigmoid
        )
    }

    /// The value at `x`.
    pub fn value<R: Real>(self, x: R) -> R {
        let (zero, one, c) = (R::ZERO, R::ONE, R::from_f64);
        match self {
            Self::Neg => -x,
            Self::Abs => x.abs(),
            Self::Exp => x.exp(),
            Self::Log => x.ln(),
            Self::Sqrt => x.sqrt(),
            Self::Rsqrt => one / x.sqrt(),
            Self::Reciprocal => one / x,
            Self::Square => x * x,
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Powf { exponent } => x.powf(c(exponent)),
            Self::Affine { scale, shift } => c(scale) * x + c(shift),
            Self::Clamp { min, max } => x.maximum(c(min)).minimum(c(max)),
            Self::Relu => x.maximum(zero),
            Self::Relu6 => x.maximum(zero).minimum(c(6.0)),
            Self::LeakyRelu { slope } => {
                if x > zero {
                    x
                } else {
                    c(slope) * x
                }
            }
            Self::Elu { alpha } => {
                if x > zero {
                    x
                } else {
                    c(alpha) * x.exp_m1()
                }
            }
            Self::Sigmoid => x.sigmoid(),
            Self::Tanh => x.tanh(),
            Self::Silu => x * x.sigmoid(),
            Self::Gelu => c(0.5) * x * (one + (x * c(std::f64::consts::FRAC_1_SQRT_2)).erf()),
            Self::GeluTanh => x * gelu_argument(x).sigmoid(),
            Self::Mish => x * softplus(x).tanh(),
            Self::HardSwish => x * (x + c(3.0)).maximum(zero).minimum(c(6.0)) / c(6.0),
            Self::HardSigmoid => (x + c(3.0)).maximum(zero).minimum(c(6.0)) / c(6.0),
            Self::Softplus { beta, threshold } => {
                if x * c(beta) > c(threshold) {
                    x
                } else {
                    softplus(x * c(beta)) / c(beta)
                }
            }
        }
    }

    /// The derivative, from the argument or the value `v` as [`saved`](Self::saved) says.
    pub fn derivative<R: Real>(self, v: R) -> R {
        let (zero, one, c) = (R::ZERO, R::ONE, R::from_f64);
        let step = |inside: bool| if inside { one } else { zero };
        match self {
            Self::Neg => -one,
            // NaN has no sign to tell: it stays.
            Self::Abs => {
                if v > zero {
                    one
                } else if v < zero {
                    -one
                } else {
                    v * zero
                }
            }
            Self::Exp => v,
            Self::Log => one / v,
            Self::Sqrt => c(0.5) / v,
            Self::Rsqrt => c(-0.5) * v * v * v,
            Self::Reciprocal => -(v * v),
            Self::Square => c(2.0) * v,
            Self::Sin => v.cos(),
            Self::Cos => -v.sin(),
            Self::Powf { exponent } => {
                if exponent == 0.0 {
                    zero
                } else {
                    c(exponent) * v.powf(c(exponent - 1.0))
                }
            }
            Self::Affine { scale, .. } => c(scale),
            Self::Clamp { min, max } => step(v >= c(min) && v <= c(max)),
            // A NaN is not below the bound: its gradient passes.
            Self::Relu => {
                if v <= zero {
                    zero
                } else {
                    one
                }
            }
            Self::Relu6 => {
                if v <= zero || v >= c(6.0) {
                    zero
                } else {
                    one
                }
            }
            Self::LeakyRelu { slope } => {
                if v > zero {
                    one
                } else {
                    c(slope)
                }
            }
            Self::Elu { alpha } => {
                if v > zero {
                    one
                } else {
                    c(alpha) * v.exp()
                }
            }
            Self::Sigmoid => v * (one - v),
            Self::Tanh => one - v * v,
            Self::Silu => {
                let s = v.sigmoid();
                s * (one + v * (one - s))
            }
            Self::Gelu => {
                let cdf = c(0.5) * (one + (v * c(std::f64::consts::FRAC_1_SQRT_2)).erf());
                cdf + v * c(SQRT_1_2PI) * (c(-0.5) * v * v).exp()
            }
            Self::GeluTanh => {
                let g = gelu_argument(v).sigmoid();
                let slope = c(2.0 * SQRT_2_PI) * (one + c(3.0 * 0.044_715) * v * v);
                g + v * g * (one - g) * slope
            }
            Self::Mish => {
                let t = softplus(v).tanh();
                t + v * v.sigmoid() * (one - t * t)
            }
            Self::HardSwish => {
                if v <= c(-3.0) {
                    zero
                } else if v >= c(3.0) {
                    one
                } else {
                    v / c(3.0) + c(0.5)
                }
            }
            Self::HardSigmoid => step(v > zero && v < one) / c(6.0),
            Self::Softplus { beta, threshold } => {
                if v * c(beta) > c(threshold) {
                    one
                } else {
                    (v * c(beta)).sigmoid()
                }
            }
        }
    }

    /// The gradient `dy * derivative`, from the argument or the value `v` as [`saved`](Self::saved) says. Where a function is
    /// constant the gradient is zero, even of an infinite `dy`.
    pub fn gradient<R: Real>(self, v: R, dy: R) -> R {
        let derivative = self.derivative(v);
        let has_flat_parts = matches!(
            self,
            Self::Relu | Self::Relu6 | Self::Clamp { .. } | Self::HardSwish | Self::HardSigmoid
        );
        if has_flat_parts && derivative == R::ZERO {
            R::ZERO
        } else {
            dy * derivative
        }
    }
}

/// `ln(1 + e^x)` without overflow.
fn softplus<R: Real>(x: R) -> R {
    x.maximum(R::ZERO) + (-x.abs()).exp().ln_1p()
}

/// Twice the argument `u` of the hyperbolic tangent in [`Unary::GeluTanh`]: `(1 + tanh(u)) / 2 = sigmoid(2 u)`.
fn gelu_argument<R: Real>(x: R) -> R {
    R::from_f64(2.0 * SQRT_2_PI) * (x + R::from_f64(0.044_715) * x * x * x)
}
