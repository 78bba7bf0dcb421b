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
    /// `x` where positive, elsewhere this number times `e^x - 1` (PyTorch's default is 1).
    Elu(f64),
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
    /// `min(max(0.2 x + 0.5, 0), 1)`: what Keras called the hard sigmoid before version 3.
    KerasHardsigmoid,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `tanh(x)`
    Tanh,
    /// `ln(1 + exp(x))`
    Softplus,
}

const NAMES: [(&str, Activation); 15] = [
    ("identity", Activation::Identity),
    ("relu", Activation::Relu),
    ("relu6", Activation::Relu6),
    ("leaky_relu", Activation::LeakyRelu(0.01)),
    ("elu", Activation::Elu(1.0)),
    ("silu", Activation::Silu),
    ("gelu", Activation::Gelu),
    ("mish", Activation::Mish),
    ("hardswish", Activation::Hardswish),
    ("hardsigmoid", Activation::Hardsigmoid),
    ("hard_sigmoid", Activation::Hardsigmoid),
    ("keras_hardsigmoid", Activation::KerasHardsigmoid),
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

    /// The function that a convolution applies as it stores, if it has it.
    pub(super) fn kernel(self) -> Option<striate_tensor::Activation> {
        use striate_tensor::Activation as Kernel;
        Some(match self {
            Self::Identity => Kernel::None,
            Self::Relu => Kernel::Relu,
            Self::Relu6 => Kernel::Relu6,
            Self::LeakyRelu(slope) => Kernel::LeakyRelu { slope },
            Self::Silu => Kernel::Silu,
            Self::Gelu => Kernel::Gelu,
            Self::Mish => Kernel::Mish,
            Self::Hardswish => Kernel::HardSwish,
            Self::Hardsigmoid => Kernel::HardSigmoid,
            Self::Sigmoid => Kernel::Sigmoid,
            Self::Tanh => Kernel::Tanh,
            Self::Softplus => Kernel::Softplus,
            Self::Elu(_) | Self::KerasHardsigmoid => return None,
        })
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
            Self::Elu(alpha) => x.elu(alpha),
            Self::Silu => x.silu(),
            Self::Gelu => x.gelu(),
            Self::Mish => x.mish(),
            Self::Hardswish => x.hardswish(),
            Self::Hardsigmoid => x.hardsigmoid(),
            Self::KerasHardsigmoid => x.affine(0.2, 0.5)?.clamp(0.0, 1.0),
            Self::Sigmoid => x.sigmoid(),
            Self::Tanh => x.tanh(),
            Self::Softplus => x.softplus(),
        }
    }
}
