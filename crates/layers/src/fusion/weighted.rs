//! Fast normalised fusion: a mean of maps whose weights are learned and stay positive.
//!
//! `y = sum over i of w_i x_i / (eps + sum over i of w_i)`, `w = relu(weights)`
//!
//! Paper: Tan, Pang, Le, *EfficientDet: Scalable and Efficient Object Detection*, CVPR 2020, arXiv:1911.09070.
//! Departures: none. Parameters: one a map.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Result, Tensor};

use super::sizes;
use crate::probe::{self, ProbeKind};
use crate::util::{at_least_one, invalid};
use crate::{Init, Layer, Parameter, VarBuilder, Visitor};

const LAYER: &str = "WeightedFusion";

/// How to build a [`WeightedFusion`].
#[derive(Clone, Debug)]
pub struct WeightedFusionConfig {
    /// Number of maps.
    pub count: usize,
    /// Added to the sum of the weights.
    pub eps: f64,
}

impl WeightedFusionConfig {
    /// Of `count` maps, with the paper's `eps` of 1e-4.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { count, eps: 1e-4 }
    }

    /// Sets what is added to the sum of the weights.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Builds the module with the parameter `weights`, which starts as ones.
    ///
    /// # Errors
    /// There is no map, or `eps` is not positive.
    pub fn build(&self, vb: &VarBuilder) -> Result<WeightedFusion> {
        let check = || {
            at_least_one(LAYER, "count", self.count)?;
            if !(self.eps > 0.0 && self.eps.is_finite()) {
                return Err(invalid(
                    LAYER,
                    "eps",
                    self.eps,
                    "it must be positive and finite",
                ));
            }
            Ok(())
        };
        check().map_err(|e| e.at(vb.path()))?;
        Ok(WeightedFusion {
            path: Arc::clone(vb.path()),
            weights: vb.parameter("weights", &[self.count], Init::ONES)?,
            eps: self.eps,
        })
    }
}

/// A mean of maps with learned weights, which it emits as
/// [`BranchWeights`](ProbeKind::BranchWeights), the same for all samples and channels.
#[derive(Debug)]
pub struct WeightedFusion {
    path: Arc<str>,
    weights: Parameter,
    eps: f64,
}

impl Layer for WeightedFusion {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weights", &self.weights);
    }
}

impl WeightedFusion {
    /// The mean of the maps.
    ///
    /// # Shapes
    /// All `[N, C, H, W]`.
    ///
    /// # Errors
    /// There are not as many maps as configured, or they differ in shape.
    pub fn forward(&self, maps: &[Tensor]) -> Result<Tensor> {
        scope(&self.path, || {
            sizes(LAYER, maps, self.weights.numel())?;
            if maps.iter().any(|map| map.shape() != maps[0].shape()) {
                let shapes: Vec<_> = maps.iter().map(Tensor::shape).collect();
                return Err(Error::shape(LAYER, format!("the shapes {shapes:?} differ")));
            }
            let weights = self.weights.tensor().relu()?;
            let weights = weights.div(&weights.sum_all()?.add_scalar(self.eps)?)?;
            if probe::is_recording() {
                let [n, c, _, _] = maps[0].dims4()?;
                let m = maps.len();
                let shown = weights.detach().reshape([1, m, 1])?.expand([n, m, c])?;
                probe::emit(&self.path, ProbeKind::BranchWeights, &shown);
            }
            let mut fused = maps[0].mul(&weights.narrow(0, 0, 1)?)?;
            for (i, map) in maps.iter().enumerate().skip(1) {
                fused = fused.add(&map.mul(&weights.narrow(0, i, 1)?)?)?;
            }
            Ok(fused)
        })
    }
}
