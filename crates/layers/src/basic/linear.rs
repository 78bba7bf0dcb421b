//! Fully connected layer.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Result, Tensor};

use crate::util::at_least_one;
use crate::{Init, Layer, Module, Parameter, VarBuilder, Visitor};

/// How to build a [`Linear`].
#[derive(Clone, Debug)]
pub struct LinearConfig {
    /// Features of the input.
    pub in_features: usize,
    /// Features of the output.
    pub out_features: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// Where the weights start.
    pub init: Init,
    /// Where the bias starts; as PyTorch's if not set.
    pub bias_init: Option<Init>,
}

impl LinearConfig {
    /// A layer with a bias and PyTorch's initialisation.
    #[must_use]
    pub fn new(in_features: usize, out_features: usize) -> Self {
        Self {
            in_features,
            out_features,
            bias: true,
            init: Init::KaimingUniform,
            bias_init: None,
        }
    }

    /// Adds or leaves out the bias.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Sets where the weights start.
    #[must_use]
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Sets where the bias starts.
    #[must_use]
    pub fn bias_init(mut self, init: Init) -> Self {
        self.bias_init = Some(init);
        self
    }

    /// Builds the layer: `weight [out, in]` and, with a bias, `bias [out]`.
    ///
    /// # Errors
    /// A size is 0, or `vb` lacks a tensor.
    pub fn build(&self, vb: &VarBuilder) -> Result<Linear> {
        self.build_with(vb, |shape| {
            let init = self.bias_init.unwrap_or_else(|| Init::bias_of(shape));
            let bias = || vb.parameter("bias", &shape[..1], init);
            self.bias.then(bias).transpose()
        })
    }

    /// Builds the layer with a bias that starts as `bias`, `[out]`.
    ///
    /// # Errors
    /// As [`LinearConfig::build`], or `bias` has another shape.
    pub fn build_from_bias(&self, bias: &Tensor, vb: &VarBuilder) -> Result<Linear> {
        self.build_with(vb, |shape| {
            if bias.shape() != &shape[..1] {
                let detail = format!("a bias {:?} for a weight {shape:?}", bias.shape());
                return Err(Error::shape("Linear", detail).at(vb.path()));
            }
            vb.parameter_from("bias", bias).map(Some)
        })
    }

    fn build_with(
        &self,
        vb: &VarBuilder,
        bias: impl FnOnce(&[usize; 2]) -> Result<Option<Parameter>>,
    ) -> Result<Linear> {
        at_least_one("Linear", "in_features", self.in_features)
            .and_then(|()| at_least_one("Linear", "out_features", self.out_features))
            .map_err(|e| e.at(vb.path()))?;
        let shape = [self.out_features, self.in_features];
        let bias = bias(&shape)?;
        Ok(Linear {
            path: Arc::clone(vb.path()),
            weight: vb.parameter("weight", &shape, self.init)?,
            bias,
        })
    }
}

/// `y = x W^T + b`.
#[derive(Debug)]
pub struct Linear {
    path: Arc<str>,
    weight: Parameter,
    bias: Option<Parameter>,
}

impl Linear {
    /// The weights, `[out, in]`.
    #[must_use]
    pub fn weight(&self) -> &Parameter {
        &self.weight
    }

    /// The bias, `[out]`.
    #[must_use]
    pub fn bias(&self) -> Option<&Parameter> {
        self.bias.as_ref()
    }
}

impl Layer for Linear {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        if let Some(bias) = &self.bias {
            v.parameter("bias", bias);
        }
    }
}

impl Module for Linear {
    /// # Shapes
    /// `[..., in] -> [..., out]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Parameter::tensor);
        scope(&self.path, || {
            x.linear(&self.weight.tensor(), bias.as_ref())
        })
    }
}
