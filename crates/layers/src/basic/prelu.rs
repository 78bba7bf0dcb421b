//! The rectifier with a learned slope.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::util::at_least_one;
use crate::{Init, Layer, Module, Parameter, VarBuilder, Visitor};

/// How to build a [`PRelu`].
#[derive(Clone, Debug)]
pub struct PReluConfig {
    /// Number of slopes: 1 for all channels, or as many as there are channels.
    pub parameters: usize,
    /// Where the slopes start.
    pub start: f64,
}

impl PReluConfig {
    /// Slopes that start at 0.25.
    #[must_use]
    pub fn new(parameters: usize) -> Self {
        Self {
            parameters,
            start: 0.25,
        }
    }

    /// Sets where the slopes start.
    #[must_use]
    pub fn start(mut self, start: f64) -> Self {
        self.start = start;
        self
    }

    /// Builds the layer: `weight`, the slopes.
    ///
    /// # Errors
    /// There are no slopes, or `vb` lacks the tensor.
    pub fn build(&self, vb: &VarBuilder) -> Result<PRelu> {
        at_least_one("PRelu", "parameters", self.parameters).map_err(|e| e.at(vb.path()))?;
        Ok(PRelu {
            path: Arc::clone(vb.path()),
            weight: vb.parameter("weight", &[self.parameters], Init::Constant(self.start))?,
        })
    }
}

/// `x` where positive, elsewhere `weight * x`, with a slope for each channel or one for all.
///
/// Paper: He, Zhang, Ren, Sun, *Delving Deep into Rectifiers*, ICCV 2015, arXiv:1502.01852.
#[derive(Debug)]
pub struct PRelu {
    path: Arc<str>,
    weight: Parameter,
}

impl Layer for PRelu {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
    }
}

impl Module for PRelu {
    /// # Shapes
    /// `[N, C, ...]`; the output has the input's.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let mut shape = vec![1; x.rank()];
            let slopes = self.weight.numel();
            if let Some(channels) = shape.get_mut(1) {
                *channels = slopes;
            }
            let slope = self.weight.tensor().reshape(shape)?;
            let below = x.clamp(f64::NEG_INFINITY, 0.0)?.mul(&slope)?;
            // An input of one channel would broadcast.
            let below = below.reshape(x.shape())?;
            x.relu()?.add(&below)
        })
    }
}
