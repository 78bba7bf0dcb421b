//! Functions of one number, applied to every element.
//!
//! The result has the memory order of the operand. Formulas and derivatives are those of
//! [`Unary`]; at kinks they are PyTorch's.

use striate_kernels::elementwise::{Saved, Unary, unary, unary_backward};
use striate_simd::Buffer;

use crate::autograd::{Description, Function, apply, is_shapes_only};
use crate::dtype::match_float;
use crate::layout::Layout;
use crate::level::current_level;
use crate::ops::dense::in_order_of;
use crate::{Result, Tensor};

macro_rules! unary_methods {
    ($($(#[doc = $doc:literal])+ $name:ident($($arg:ident),*) = $op:expr;)+) => {
        impl Tensor {$(
            $(#[doc = $doc])+
            ///
            /// # Errors
            /// The elements are not floats.
            pub fn $name(&self, $($arg: f64),*) -> Result<Self> {
                self.unary(stringify!($name), $op)
            }
        )+}
    };
}

unary_methods! {
    /// `-x`
    neg() = Unary::Neg;
    /// `|x|`
    abs() = Unary::Abs;
    /// `e^x`
    exp() = Unary::Exp;
    /// The natural logarithm.
    log() = Unary::Log;
    /// The square root.
    sqrt() = Unary::Sqrt;
    /// `1 / sqrt(x)`
    rsqrt() = Unary::Rsqrt;
    /// `1 / x`
    recip() = Unary::Reciprocal;
    /// `x^2`
    square() = Unary::Square;
    /// The sine.
    sin() = Unary::Sin;
    /// The cosine.
    cos() = Unary::Cos;
    /// `x^exponent`
    powf(exponent) = Unary::Powf { exponent };
    /// `scale * x + shift`
    affine(scale, shift) = Unary::Affine { scale, shift };
    /// `x + value`
    add_scalar(value) = Unary::Affine { scale: 1.0, shift: value };
    /// `x * value`
    mul_scalar(value) = Unary::Affine { scale: value, shift: 0.0 };
    /// `min(max(x, min), max)`
    clamp(min, max) = Unary::Clamp { min, max };
    /// `max(x, 0)`
    relu() = Unary::Relu;
    /// `min(max(x, 0), 6)`
    relu6() = Unary::Relu6;
    /// `x` if positive, else `slope * x`
    leaky_relu(slope) = Unary::LeakyRelu { slope };
    /// `x` if positive, else `alpha * (e^x - 1)`
    elu(alpha) = Unary::Elu { alpha };
    /// `1 / (1 + e^-x)`
    sigmoid() = Unary::Sigmoid;
    /// The hyperbolic tangent.
    tanh() = Unary::Tanh;
    /// `x * sigmoid(x)`
    silu() = Unary::Silu;
    /// `x / 2 * (1 + erf(x / sqrt(2)))`
    gelu() = Unary::Gelu;
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`
    gelu_tanh() = Unary::GeluTanh;
    /// `x * tanh(ln(1 + e^x))`
    mish() = Unary::Mish;
    /// `x * min(max(x + 3, 0), 6) / 6`
    hardswish() = Unary::HardSwish;
    /// `min(max(x + 3, 0), 6) / 6`
    hardsigmoid() = Unary::HardSigmoid;
    /// `ln(1 + e^x)`, taken to be `x` above 20
    softplus() = Unary::Softplus { beta: 1.0, threshold: 20.0 };
}

impl Tensor {
    /// Applies any [`Unary`] function, under a name for errors and graphs.
    pub(crate) fn unary(&self, name: &'static str, op: Unary) -> Result<Self> {
        apply(Elementwise { name, op }, [self])
    }
}

struct Elementwise {
    name: &'static str,
    op: Unary,
}

impl Function<1> for Elementwise {
    /// The argument or the value, if the derivative wants one.
    type Saved = Option<Tensor>;

    fn describe(&self) -> Description {
        let description = Description::new(self.name);
        match self.op {
            Unary::Powf { exponent } => description.with("exponent", exponent),
            Unary::Affine { scale, shift } => description.with("scale", scale).with("shift", shift),
            Unary::Clamp { min, max } => description.with("min", min).with("max", max),
            Unary::LeakyRelu { slope } => description.with("slope", slope),
            Unary::Elu { alpha } => description.with("alpha", alpha),
            _ => description,
        }
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, Self::Saved)> {
        let layout = Layout::dense_like(self.name, x.shape(), x.layout())?;
        let y = match_float!(self.name, x.dtype(), T => {
            let mut out = Buffer::<T>::recycled(layout.numel())?;
            if !is_shapes_only() {
                unary(current_level()?, self.op, in_order_of(x, &layout)?.memory()?, &mut out)?;
            }
            Tensor::from_parts(out, layout)
        });
        let saved = match self.op.saved() {
            Saved::Nothing => None,
            Saved::Input => Some(x.clone()),
            Saved::Output => Some(y.clone()),
        };
        Ok((y, saved))
    }

    fn backward(
        &self,
        saved: &Self::Saved,
        grad: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let like = saved.as_ref().unwrap_or(grad).layout();
        let layout = Layout::dense_like(self.name, grad.shape(), like)?;
        let grad = in_order_of(grad, &layout)?;
        let saved = saved
            .as_ref()
            .map(|saved| in_order_of(saved, &layout))
            .transpose()?;
        match_float!(self.name, grad.dtype(), T => {
            let saved = saved.as_ref().map_or(Ok(&[][..]), Tensor::memory::<T>)?;
            let mut out = Buffer::<T>::recycled(layout.numel())?;
            unary_backward(current_level()?, self.op, saved, grad.memory()?, &mut out)?;
            Ok([Some(Tensor::from_parts(out, layout))])
        })
    }
}
