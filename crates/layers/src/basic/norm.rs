//! Normalisation within a sample.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Result, Shape, Tensor};

use crate::util::{at_least_one, invalid};
use crate::{Init, Layer, Module, Parameter, VarBuilder, Visitor};

/// How to build a [`GroupNorm`].
#[derive(Clone, Debug)]
pub struct GroupNormConfig {
    /// Number of groups.
    pub groups: usize,
    /// Number of channels.
    pub channels: usize,
    /// Added to the variance.
    pub eps: f64,
}

impl GroupNormConfig {
    /// `eps` 1e-5.
    #[must_use]
    pub fn new(groups: usize, channels: usize) -> Self {
        Self {
            groups,
            channels,
            eps: 1e-5,
        }
    }

    /// Sets what is added to the variance.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Builds the layer: `weight [C]` and `bias [C]`.
    ///
    /// # Errors
    /// The channels are no positive multiple of the groups, or `vb` lacks a tensor.
    pub fn build(&self, vb: &VarBuilder) -> Result<GroupNorm> {
        const LAYER: &str = "GroupNorm";
        let check = || {
            at_least_one(LAYER, "groups", self.groups)?;
            at_least_one(LAYER, "channels", self.channels)?;
            if !self.channels.is_multiple_of(self.groups) {
                let rule = format!("it must be a multiple of the {} groups", self.groups);
                return Err(invalid(LAYER, "channels", self.channels, rule));
            }
            Ok(())
        };
        check().map_err(|e| e.at(vb.path()))?;
        let shape = [self.channels];
        Ok(GroupNorm {
            path: Arc::clone(vb.path()),
            weight: vb.parameter("weight", &shape, Init::ONES)?,
            bias: vb.parameter("bias", &shape, Init::ZEROS)?,
            groups: self.groups,
            eps: self.eps,
        })
    }
}

/// Normalises groups of channels of each sample.
///
/// Paper: Wu, He, *Group Normalization*, ECCV 2018, arXiv:1803.08494.
#[derive(Debug)]
pub struct GroupNorm {
    path: Arc<str>,
    weight: Parameter,
    bias: Parameter,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// The learned scale, `[C]`.
    #[must_use]
    pub fn weight(&self) -> &Parameter {
        &self.weight
    }

    /// The learned shift, `[C]`.
    #[must_use]
    pub fn bias(&self) -> &Parameter {
        &self.bias
    }
}

impl Layer for GroupNorm {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        v.parameter("bias", &self.bias);
    }
}

impl Module for GroupNorm {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (self.weight.tensor(), self.bias.tensor());
        scope(&self.path, || {
            let channels = weight.numel();
            if x.shape().get(1) != Some(&channels) {
                let detail = format!("built for {channels} channels, got shape {:?}", x.shape());
                return Err(Error::shape("GroupNorm", detail));
            }
            x.group_norm(self.groups, Some(&weight), Some(&bias), self.eps)
        })
    }
}

/// How to build a [`LayerNorm`].
#[derive(Clone, Debug)]
pub struct LayerNormConfig {
    /// The last dimensions of the input, which are normalised together.
    pub shape: Vec<usize>,
    /// Added to the variance.
    pub eps: f64,
}

impl LayerNormConfig {
    /// `eps` 1e-5.
    #[must_use]
    pub fn new(shape: impl Into<Shape>) -> Self {
        Self {
            shape: shape.into().into_vec(),
            eps: 1e-5,
        }
    }

    /// Sets what is added to the variance.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Builds the layer: `weight` and `bias` of the normalised shape.
    ///
    /// # Errors
    /// A dimension is 0 or there is none, or `vb` lacks a tensor.
    pub fn build(&self, vb: &VarBuilder) -> Result<LayerNorm> {
        if self.shape.is_empty() || self.shape.contains(&0) {
            let rule = "it must be at least one dimension, none of size 0";
            return Err(invalid("LayerNorm", "shape", &self.shape, rule).at(vb.path()));
        }
        Ok(LayerNorm {
            path: Arc::clone(vb.path()),
            weight: vb.parameter("weight", &self.shape, Init::ONES)?,
            bias: vb.parameter("bias", &self.shape, Init::ZEROS)?,
            eps: self.eps,
        })
    }
}

/// Normalises the last dimensions of each sample.
///
/// Paper: Ba, Kiros, Hinton, *Layer Normalization*, 2016, arXiv:1607.06450.
#[derive(Debug)]
pub struct LayerNorm {
    path: Arc<str>,
    weight: Parameter,
    bias: Parameter,
    eps: f64,
}

impl Layer for LayerNorm {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        v.parameter("bias", &self.bias);
    }
}

impl Module for LayerNorm {
    /// # Shapes
    /// `[..., shape] -> [..., shape]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (self.weight.tensor(), self.bias.tensor());
        scope(&self.path, || {
            x.layer_norm(weight.shape(), Some(&weight), Some(&bias), self.eps)
        })
    }
}
