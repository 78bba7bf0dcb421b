//! Activations: element by element, without parameters.

use striate_tensor::{Result, Tensor};

use crate::util::invalid;
use crate::{Fusible, Layer, Module, Visitor};

/// An activation function, which is also a [`Module`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `x`
    Identity,
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `x` where positive, elsewhere this slope times `x` (PyTorch's default is 0.01).
    LeakyRelu(f64),
    /// `x * sigmoid(x)`
    Silu,
    /// `x * Phi(x)`, `Phi` the normal distribution function.
    Gelu,
    /// `x * tanh(softplus(x))`
    Mish,
    /// `x * min(max(x + 3, 0), 6) / 6`
    Hardswish,
    /// `min(max(x + 3, 0), 6) / 6`
    Hardsigmoid,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `tanh(x)`
    Tanh,
    /// `ln(1 + exp(x))`
    Softplus,
}

const NAMES: [(&str, Activation); 13] = [
    ("identity", Activation::Identity),
    ("relu", Activation::Relu),
    ("relu6", Activation::Relu6),
    ("leaky_relu", Activation::LeakyRelu(0.01)),
    ("silu", Activation::Silu),
    ("gelu", Activation::Gelu),
    ("mish", Activation::Mish),
    ("hardswish", Activation::Hardswish),
    ("hardsigmoid", Activation::Hardsigmoid),
    ("hard_sigmoid", Activation::Hardsigmoid),
    ("sigmoid", Activation::Sigmoid),
    ("tanh", Activation::Tanh),
    ("softplus", Activation::Softplus),
];

impl Activation {
    /// The activation of that name, as timm and PyTorch spell it.
    ///
    /// # Errors
    /// There is none; the text lists those there are.
    pub fn parse(name: &str) -> Result<Self> {
        NAMES
            .iter()
            .find(|(n, _)| *n == name)
            .map(|&(_, a)| a)
            .ok_or_else(|| {
                let known: Vec<_> = NAMES.iter().map(|(n, _)| *n).collect();
                invalid(
                    "Activation",
                    "name",
                    name,
                    format!("it must be one of {}", known.join(", ")),
                )
            })
    }
}

/// The function of the kernels.
impl From<Activation> for striate_tensor::Activation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Identity => Self::None,
            Activation::Relu => Self::Relu,
            Activation::Relu6 => Self::Relu6,
            Activation::LeakyRelu(slope) => Self::LeakyRelu { slope },
            Activation::Silu => Self::Silu,
            Activation::Gelu => Self::Gelu,
            Activation::Mish => Self::Mish,
            Activation::Hardswish => Self::HardSwish,
            Activation::Hardsigmoid => Self::HardSigmoid,
            Activation::Sigmoid => Self::Sigmoid,
            Activation::Tanh => Self::Tanh,
            Activation::Softplus => Self::Softplus,
        }
    }
}

impl Layer for Activation {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for Activation {
    fn fusible(&self) -> Fusible<'_> {
        Fusible::Activation(*self)
    }

    /// # Shapes
    /// Any; the output has the input's.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match *self {
            Self::Identity => Ok(x.clone()),
            Self::Relu => x.relu(),
            Self::Relu6 => x.relu6(),
            Self::LeakyRelu(slope) => x.leaky_relu(slope),
            Self::Silu => x.silu(),
            Self::Gelu => x.gelu(),
            Self::Mish => x.mish(),
            Self::Hardswish => x.hardswish(),
            Self::Hardsigmoid => x.hardsigmoid(),
            Self::Sigmoid => x.sigmoid(),
            Self::Tanh => x.tanh(),
            Self::Softplus => x.softplus(),
        }
    }
}
