//! SimAM: a gate for every element from how far it stands out of its map, without parameters.
//!
//! ```text
//! d = (x - mean_hw(x))^2,   v = sum_hw(d) / (H*W - 1)
//! y = x * sigmoid(d / (4 (v + lambda)) + 1/2)
//! ```
//!
//! Paper: Yang, Zhang, Li, Xie, *SimAM: A Simple, Parameter-Free Attention Module for Convolutional
//! Neural Networks*, ICML 2021, <https://proceedings.mlr.press/v139/yang21o.html>. Departures:
//! `d / (v + lambda)` is computed as the square of a norm of every map, whose `eps` is
//! `lambda (n-1)/n` for `n = H*W` pixels. Parameters: none.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::probe::{self, ProbeKind};
use crate::util::invalid;
use crate::{Layer, Module, VarBuilder, Visitor};

const LAYER: &str = "SimAm";

/// How to build a [`SimAm`].
#[derive(Clone, Debug)]
pub struct SimAmConfig {
    /// Added to the variance: the paper's `lambda`.
    pub e_lambda: f64,
}

impl Default for SimAmConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl SimAmConfig {
    /// `lambda` 1e-4.
    #[must_use]
    pub fn new() -> Self {
        Self { e_lambda: 1e-4 }
    }

    /// Sets what is added to the variance.
    #[must_use]
    pub fn e_lambda(mut self, e_lambda: f64) -> Self {
        self.e_lambda = e_lambda;
        self
    }

    /// Builds the module, which has no tensors.
    ///
    /// # Errors
    /// `lambda` is not positive and finite.
    pub fn build(&self, vb: &VarBuilder) -> Result<SimAm> {
        if !(self.e_lambda > 0.0 && self.e_lambda.is_finite()) {
            let rule = "it must be positive and finite";
            return Err(invalid(LAYER, "e_lambda", self.e_lambda, rule).at(vb.path()));
        }
        Ok(SimAm {
            path: Arc::clone(vb.path()),
            e_lambda: self.e_lambda,
        })
    }
}

/// The module. Emits its gate as [`ProbeKind::FullGate`].
#[derive(Debug)]
pub struct SimAm {
    path: Arc<str>,
    e_lambda: f64,
}

impl Layer for SimAm {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for SimAm {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`, of more than one pixel.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [_, c, h, w] = x.dims_array(LAYER)?;
            if h * w < 2 {
                let rule = "a variance needs two pixels";
                return Err(invalid(LAYER, "map", [h, w], rule));
            }
            let n = (h * w) as f64;
            let norm = x.group_norm(c, None, None, self.e_lambda * (n - 1.0) / n)?;
            let energy = norm.square()?.affine((n - 1.0) / (4.0 * n), 0.5)?;
            let gate = energy.sigmoid()?;
            probe::emit(&self.path, ProbeKind::FullGate, &gate);
            x.mul(&gate)
        })
    }
}
