//! Spatial group-wise enhance: in every group of channels, pixels that resemble the group's mean are
//! kept and others are damped.
//!
//! ```text
//! t = x . mean_hw(x)                                       over the channels of a group, for every pixel
//! y = x * sigmoid(weight * (t - mean_hw(t)) / (std_hw(t) + 1e-5) + bias)
//! ```
//!
//! Paper: Li, Hu, Yang, *Spatial Group-wise Enhance: Improving Semantic Feature Learning in
//! Convolutional Networks*, 2019, arXiv:1905.09646. Departures: none; the deviation is the unbiased
//! one, as in the released code. Parameters: `2*G`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::probe::{self, ProbeKind};
use crate::util::{at_least_one, invalid};
use crate::{Init, Layer, Module, Parameter, VarBuilder, Visitor};

const LAYER: &str = "SpatialGroupEnhance";
/// Added to the deviation.
const EPS: f64 = 1e-5;

/// How to build a [`SpatialGroupEnhance`].
#[derive(Clone, Debug)]
pub struct SpatialGroupEnhanceConfig {
    /// Number of groups.
    pub groups: usize,
}

impl SpatialGroupEnhanceConfig {
    /// That many groups; the paper has 64 for ImageNet.
    #[must_use]
    pub fn new(groups: usize) -> Self {
        Self { groups }
    }

    /// Builds the module: `weight`, which starts as 0, and `bias`, which starts as 1, both
    /// `[1, G, 1, 1]`.
    ///
    /// # Errors
    /// There are no groups.
    pub fn build(&self, vb: &VarBuilder) -> Result<SpatialGroupEnhance> {
        at_least_one(LAYER, "groups", self.groups).map_err(|e| e.at(vb.path()))?;
        let shape = [1, self.groups, 1, 1];
        Ok(SpatialGroupEnhance {
            path: Arc::clone(vb.path()),
            weight: vb.parameter("weight", &shape, Init::ZEROS)?,
            bias: vb.parameter("bias", &shape, Init::ONES)?,
        })
    }
}

/// The module, for any number of channels that is a multiple of the groups. Emits its gates as
/// [`ProbeKind::FullGate`].
#[derive(Debug)]
pub struct SpatialGroupEnhance {
    path: Arc<str>,
    weight: Parameter,
    bias: Parameter,
}

impl Layer for SpatialGroupEnhance {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        v.parameter("bias", &self.bias);
    }
}

impl Module for SpatialGroupEnhance {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`, of more than one pixel.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, c, h, w] = x.dims_array(LAYER)?;
            let groups = self.weight.numel();
            if c % groups != 0 {
                let rule = format!("it must divide the channels of the input {:?}", x.shape());
                return Err(invalid(LAYER, "groups", groups, rule));
            }
            if h * w < 2 {
                let rule = "a deviation needs two pixels";
                return Err(invalid(LAYER, "map", [h, w], rule));
            }
            let grouped = |t: &Tensor| t.reshape([n, groups, c / groups, h, w]);
            let alike = grouped(&x.mul(&x.mean(&[2, 3], true)?)?)?.sum(&[2], false)?;
            let mean = alike.mean(&[2, 3], true)?;
            let std = alike.var(&[2, 3], 1, true)?.sqrt()?.add_scalar(EPS)?;
            let scale = self.weight.tensor().div(&std)?;
            let logits = alike.sub(&mean)?.mul(&scale)?.add(&self.bias.tensor())?;
            let gate = logits.sigmoid()?.unsqueeze(2)?;
            if probe::is_recording() {
                let full = gate.expand([n, groups, c / groups, h, w])?;
                probe::emit(
                    &self.path,
                    ProbeKind::FullGate,
                    &full.reshape([n, c, h, w])?,
                );
            }
            grouped(x)?.mul(&gate)?.reshape([n, c, h, w])
        })
    }
}
