//! A node of BiFPN: maps of several sizes at one size, their weighted mean, and a light convolution.
//!
//! ```text
//! x_i' = x_i with the node's channels and size      conv1x1 and batch norm where the channels differ;
//!                                                   up by nearest neighbours, down by 3x3 maxima of stride 2
//! f    = sum over i of w_i x_i' / (eps + sum over i of w_i)                           w = relu(weights)
//! y    = swish(bn(pointwise1x1(depthwise3x3(f))))
//! y    = bn(pointwise1x1(depthwise3x3(swish(f))))                                     activation first
//! ```
//!
//! Paper: Tan, Pang, Le, *EfficientDet: Scalable and Efficient Object Detection*, CVPR 2020, arXiv:1911.09070.
//! Departures: none; the paper's code has the activation first and a bias in front of the batch norm.
//! Parameters of `m` maps with `D` channels: `m + 9*D + D*D + 2D`, and `C_i*D + 3D` where `C_i` is not `D`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Interpolation, PoolOptions, Result, Tensor};

use super::{WeightedFusion, WeightedFusionConfig, check_channels, sizes};
use crate::util::{at_least_one, invalid};
use crate::{
    Activation, BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Layer, Module, VarBuilder,
    Visitor, conv_norm_act,
};

const LAYER: &str = "BifpnNode";

/// How to build a [`BifpnNode`].
#[derive(Clone, Debug)]
pub struct BifpnNodeConfig {
    /// Channels of each map.
    pub in_channels: Vec<usize>,
    /// Channels of the output.
    pub out_channels: usize,
    /// The map whose size the output has.
    pub target: usize,
    /// Added to the sum of the weights.
    pub eps: f64,
    /// Whether the activation comes before the convolution rather than after the batch norm.
    pub act_first: bool,
    /// Whether the pointwise convolution has a bias, which the batch norm makes redundant.
    pub bias: bool,
}

impl BifpnNodeConfig {
    /// At the size of the first map, the activation last, no bias.
    #[must_use]
    pub fn new(in_channels: impl Into<Vec<usize>>, out_channels: usize) -> Self {
        Self {
            in_channels: in_channels.into(),
            out_channels,
            target: 0,
            eps: 1e-4,
            act_first: false,
            bias: false,
        }
    }

    /// Sets the map whose size the output has.
    #[must_use]
    pub fn target(mut self, map: usize) -> Self {
        self.target = map;
        self
    }

    /// Sets what is added to the sum of the weights.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Puts the activation before the convolution, as the released networks have it, or after the batch norm.
    #[must_use]
    pub fn act_first(mut self, first: bool) -> Self {
        self.act_first = first;
        self
    }

    /// Adds or leaves out the bias of the pointwise convolution, which the released networks have.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Builds the layers `resample.i.{conv,bn}` where channels differ, `combine`, `conv_dw`, `conv_pw` and `bn`.
    ///
    /// # Errors
    /// There is no map, a number of channels is 0, there is no map `target`, or `eps` is not positive.
    pub fn build(&self, vb: &VarBuilder) -> Result<BifpnNode> {
        let (out, count) = (self.out_channels, self.in_channels.len());
        let check = || {
            check_channels(LAYER, &self.in_channels, 1)?;
            at_least_one(LAYER, "out_channels", out)?;
            if self.target >= count {
                let rule = format!("it must be one of the {count} maps");
                return Err(invalid(LAYER, "target", self.target, rule));
            }
            Ok(())
        };
        check().map_err(|e| e.at(vb.path()))?;
        let norm = |vb: &VarBuilder| {
            BatchNormConfig::new(out)
                .eps(1e-3)
                .momentum(0.01)
                .build_2d(&(vb / "bn"))
        };
        let project = |(i, &c): (usize, &usize)| {
            let vb = vb / "resample" / i;
            let project = (c != out).then(|| {
                let conv = Conv2dConfig::new(c, out, 1).build(&(&vb / "conv"))?;
                Ok((conv, norm(&vb)?))
            });
            project.transpose()
        };
        let depthwise = Conv2dConfig::new(out, out, 3)
            .same_padding()
            .groups(out)
            .bias(false);
        let pointwise = Conv2dConfig::new(out, out, 1).bias(self.bias);
        Ok(BifpnNode {
            path: Arc::clone(vb.path()),
            target: self.target,
            act_first: self.act_first,
            projections: self
                .in_channels
                .iter()
                .enumerate()
                .map(project)
                .collect::<Result<_>>()?,
            combine: WeightedFusionConfig::new(count)
                .eps(self.eps)
                .build(&(vb / "combine"))?,
            depthwise: depthwise.build(&(vb / "conv_dw"))?,
            pointwise: pointwise.build(&(vb / "conv_pw"))?,
            norm: norm(vb)?,
        })
    }
}

/// A node of BiFPN.
#[derive(Debug)]
pub struct BifpnNode {
    path: Arc<str>,
    target: usize,
    act_first: bool,
    projections: Vec<Option<(Conv2d, BatchNorm2d)>>,
    combine: WeightedFusion,
    depthwise: Conv2d,
    pointwise: Conv2d,
    norm: BatchNorm2d,
}

impl Layer for BifpnNode {
    fn visit(&self, v: &mut dyn Visitor) {
        for (i, projection) in self.projections.iter().enumerate() {
            if let Some((conv, norm)) = projection {
                v.child(&format!("resample.{i}.conv"), conv);
                v.child(&format!("resample.{i}.bn"), norm);
            }
        }
        v.child("combine", &self.combine);
        v.child("conv_dw", &self.depthwise);
        v.child("conv_pw", &self.pointwise);
        v.child("bn", &self.norm);
    }
}

impl BifpnNode {
    /// Fuses the maps at the size of the configured one.
    ///
    /// # Shapes
    /// `[N, C_i, H_i, W_i]` to `[N, out, H_target, W_target]`
    ///
    /// # Errors
    /// There are not as many maps as configured, or halving a larger one, rounded up, does not lead to the size.
    pub fn forward(&self, maps: &[Tensor]) -> Result<Tensor> {
        scope(&self.path, || {
            let size = sizes(LAYER, maps, self.projections.len())?[self.target];
            let mut resized = Vec::new();
            for (projection, map) in self.projections.iter().zip(maps) {
                let map = match projection {
                    Some((conv, norm)) => {
                        conv_norm_act(conv, norm, Activation::Identity, map, None)?
                    }
                    None => map.clone(),
                };
                resized.push(resize(&map, size)?);
            }
            let swish = Activation::Silu;
            let (first, last) = match self.act_first {
                true => (swish, Activation::Identity),
                false => (Activation::Identity, swish),
            };
            let fused = first.forward(&self.combine.forward(&resized)?)?;
            let fused = self.depthwise.forward(&fused)?;
            conv_norm_act(&self.pointwise, &self.norm, last, &fused, None)
        })
    }
}

/// The map at another size: nearest neighbours up, maxima over 3x3 with stride 2 down.
fn resize(map: &Tensor, size: [usize; 2]) -> Result<Tensor> {
    let [_, _, mut h, mut w] = map.dims4()?;
    let from = [h, w];
    let mut map = map.clone();
    while h > size[0].max(1) && w > size[1].max(1) {
        map = map.max_pool2d(PoolOptions::new(3).stride(2).padding(1))?;
        (h, w) = (h.div_ceil(2), w.div_ceil(2));
    }
    if [h, w] == size {
        return Ok(map);
    }
    if from[0] <= size[0] && from[1] <= size[1] {
        return map.interpolate(size, Interpolation::Nearest);
    }
    let detail = format!("halving {from:?} does not lead to {size:?}");
    Err(Error::shape(LAYER, detail))
}

/// How other implementations name the same weights. All are for one node's state dict.
pub mod bifpn_key_maps {
    use crate::KeyMap;

    /// rwightman's `efficientdet-pytorch`: `combine.edge_weights` and `after_combine.conv`. Its maps' projections,
    /// `combine.resample.OFFSET.conv`, are numbered by the maps of the network: rename them to their place here.
    #[must_use]
    pub fn effdet() -> KeyMap {
        KeyMap::new()
            .rename("combine.edge_weights", "combine.weights")
            .rename("after_combine.conv.conv_dw", "conv_dw")
            .rename("after_combine.conv.conv_pw", "conv_pw")
            .rename("after_combine.conv.bn", "bn")
    }

    /// zylo117's `Yet-Another-EfficientDet-Pytorch`: a node's convolution (`conv6_up`), whose weights stand beside
    /// it (`p6_w1`) and are to be named `combine.weights`.
    #[must_use]
    pub fn zylo117() -> KeyMap {
        KeyMap::new()
            .rename("depthwise_conv.conv", "conv_dw")
            .rename("pointwise_conv.conv", "conv_pw")
    }
}
