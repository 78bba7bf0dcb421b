//! The residual blocks that attention modules are made of.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::preact_bottleneck::PreActBottleneckConfig;
use crate::util::invalid;
use crate::{
    Activation, Conv2dConfig, ConvNormAct, ConvNormActConfig, Layer, Module, VarBuilder, Visitor,
};

/// What the residual blocks of an [`AttentionModule`](super::AttentionModule) are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionUnit {
    /// [`PreActBottleneck`](super::PreActBottleneck).
    PreAct,
    /// A bottleneck of half the channels whose 3x3 convolution has groups, each convolution before its norm, a ReLU
    /// behind the sum: `conv1`, `bn1`, ..., and `conv4`, `bn4` for a projection. AttentionNeXt has 32 groups.
    ///
    /// Paper: Xie et al., *Aggregated Residual Transformations*, CVPR 2017, arXiv:1611.05431.
    ResNeXt {
        /// Groups of the 3x3 convolution.
        groups: usize,
    },
}

impl AttentionUnit {
    /// Builds a block.
    ///
    /// # Errors
    /// A number is 0, or the output's channels are no multiple of what the unit needs.
    pub fn build(
        self,
        in_channels: usize,
        out_channels: usize,
        stride: usize,
        vb: &VarBuilder,
    ) -> Result<Box<dyn Module>> {
        match self {
            Self::PreAct => {
                let block = PreActBottleneckConfig::new(in_channels, out_channels).stride(stride);
                Ok(Box::new(block.build(vb)?))
            }
            Self::ResNeXt { groups } => {
                let channels = [in_channels, out_channels];
                Ok(Box::new(ResNeXtUnit::build(channels, stride, groups, vb)?))
            }
        }
    }
}

#[derive(Debug)]
struct ResNeXtUnit {
    path: Arc<str>,
    branch: [ConvNormAct; 3],
    projection: Option<ConvNormAct>,
}

impl ResNeXtUnit {
    fn build(
        [from, to]: [usize; 2],
        stride: usize,
        groups: usize,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let width = to / 2;
        if !to.is_multiple_of(2) {
            let rule = "it must be a multiple of 2";
            return Err(invalid("ResNeXtUnit", "out_channels", to, rule).at(vb.path()));
        }
        let layer = |conv: Conv2dConfig, act, i: usize| {
            let config = ConvNormActConfig::new(conv.same_padding()).act(act);
            let names = [format!("conv{i}"), format!("bn{i}")];
            let [conv, norm] = names;
            config.names(conv, norm).build(vb)
        };
        let conv = Conv2dConfig::new;
        let (relu, linear) = (Activation::Relu, Activation::Identity);
        let middle = conv(width, width, 3).stride(stride).groups(groups);
        let projects = from != to || stride != 1;
        let projection = || layer(conv(from, to, 1).stride(stride), linear, 4);
        Ok(Self {
            path: Arc::clone(vb.path()),
            branch: [
                layer(conv(from, width, 1), relu, 1)?,
                layer(middle, relu, 2)?,
                layer(conv(width, to, 1), linear, 3)?,
            ],
            projection: projects.then(projection).transpose()?,
        })
    }
}

impl Layer for ResNeXtUnit {
    fn visit(&self, v: &mut dyn Visitor) {
        for layer in self.branch.iter().chain(&self.projection) {
            v.child("", layer);
        }
    }
}

impl Module for ResNeXtUnit {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [first, middle, last] = &self.branch;
            let y = middle.forward(&first.forward(x)?)?;
            match &self.projection {
                Some(projection) => {
                    last.forward_onto(&projection.forward(x)?, Activation::Relu, &y)
                }
                None => last.forward_onto(x, Activation::Relu, &y),
            }
        })
    }
}
