//! Adaptively spatial feature fusion: at every place, a softmax chooses how much each level of a pyramid counts.
//!
//! ```text
//! x_i'      = x_i at the size and with the channels of level l
//! a         = softmax over i of W [relu(bn(conv1x1(x_0'))), ..., relu(bn(conv1x1(x_n-1')))] + b
//! y         = act(bn(conv3x3(sum over i of a_i * x_i')))          a_i one number a place
//! ```
//! Level 0 is the coarsest, each next has twice its height and width. A finer map comes down by a 3x3 with stride 2,
//! after a 3x3 maximum with stride 2 for each step more; a coarser one gets its channels by a 1x1, where they differ,
//! and its size by nearest neighbours.
//!
//! Paper: Liu, Huang, Wang, *Learning Spatial Fusion for Single-Shot Object Detection*, arXiv:1911.09516.
//! Departures: none; any number of levels.
//! Parameters: those of the convolutions and, but for the 1x1 of the logits, 2 a channel of each.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Interpolation, PoolOptions, Result, Tensor};

use super::{check_channels, sizes};
use crate::probe::{self, ProbeKind};
use crate::util::{at_least_one, invalid};
use crate::{
    Activation, Conv2d, Conv2dConfig, ConvNormAct, ConvNormActConfig, Layer, Module, VarBuilder,
    Visitor,
};

/// How to build an [`Asff`].
#[derive(Clone, Debug)]
pub struct AsffConfig {
    /// Channels of each level, the coarsest first.
    pub channels: Vec<usize>,
    /// The level whose size the output has.
    pub level: usize,
    /// Width of the maps that the weights are computed from.
    pub weight_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// The activation after every batch norm.
    pub act: Activation,
}

impl AsffConfig {
    /// One of the three fusions of YOLOv3 with ASFF: 512, 256, 256 channels, and 1024, 512 or 256 out.
    #[must_use]
    pub fn new(level: usize) -> Self {
        Self {
            channels: vec![512, 256, 256],
            level,
            weight_channels: 16,
            out_channels: 1024 >> level.min(2),
            act: Activation::LeakyRelu(0.1),
        }
    }

    /// The same on MobileNet: 512, 256, 128 channels and ReLU6.
    #[must_use]
    pub fn mobile(level: usize) -> Self {
        Self::new(level)
            .channels([512, 256, 128])
            .act(Activation::Relu6)
    }

    /// Sets the channels of each level, the coarsest first.
    #[must_use]
    pub fn channels(mut self, channels: impl Into<Vec<usize>>) -> Self {
        self.channels = channels.into();
        self
    }

    /// Sets the width of the maps that the weights are computed from; 8 beside receptive field blocks.
    #[must_use]
    pub fn weight_channels(mut self, channels: usize) -> Self {
        self.weight_channels = channels;
        self
    }

    /// Sets the channels of the output.
    #[must_use]
    pub fn out_channels(mut self, channels: usize) -> Self {
        self.out_channels = channels;
        self
    }

    /// Sets the activation after every batch norm.
    #[must_use]
    pub fn act(mut self, act: Activation) -> Self {
        self.act = act;
        self
    }

    /// Builds the layers `{stride,compress,weight}_level_i.{conv,batch_norm}`, `weight_levels` and
    /// `expand.{conv,batch_norm}`.
    ///
    /// # Errors
    /// There is no level of that number, or fewer than two levels; a number of channels is 0.
    pub fn build(&self, vb: &VarBuilder) -> Result<Asff> {
        let inter = self.check().map_err(|e| e.at(vb.path()))?;
        let brick = |i, o, k, stride, name: &str| {
            let conv = Conv2dConfig::new(i, o, k).stride(stride).same_padding();
            let brick = ConvNormActConfig::new(conv)
                .act(self.act)
                .names("conv", "batch_norm");
            brick.build(&(vb / name))
        };
        let level = |(i, &c): (usize, &usize)| {
            let resize = if i > self.level {
                Resize::Down(brick(c, inter, 3, 2, &format!("stride_level_{i}"))?)
            } else if c != inter {
                Resize::Up(Some(brick(c, inter, 1, 1, &format!("compress_level_{i}"))?))
            } else {
                Resize::Up(None)
            };
            let weight = format!("weight_level_{i}");
            Ok(Level {
                resize,
                weight: brick(inter, self.weight_channels, 1, 1, &weight)?,
            })
        };
        let levels = self.channels.iter().enumerate().map(level);
        let n = self.channels.len();
        let logits = Conv2dConfig::new(self.weight_channels.saturating_mul(n), n, 1);
        Ok(Asff {
            path: Arc::clone(vb.path()),
            level: self.level,
            levels: levels.collect::<Result<_>>()?,
            logits: logits.build(&(vb / "weight_levels"))?,
            expand: brick(inter, self.out_channels, 3, 1, "expand")?,
        })
    }

    /// The channels of the level that the output is on.
    fn check(&self) -> Result<usize> {
        check_channels(LAYER, &self.channels, 2)?;
        at_least_one(LAYER, "weight_channels", self.weight_channels)?;
        at_least_one(LAYER, "out_channels", self.out_channels)?;
        self.channels.get(self.level).copied().ok_or_else(|| {
            let rule = format!("it must be one of the {} levels", self.channels.len());
            invalid(LAYER, "level", self.level, rule)
        })
    }
}

const LAYER: &str = "Asff";

/// Adaptively spatial feature fusion onto one level. Emits the weights of each level as a
/// [`SpatialMap`](ProbeKind::SpatialMap).
#[derive(Debug)]
pub struct Asff {
    path: Arc<str>,
    level: usize,
    levels: Vec<Level>,
    logits: Conv2d,
    expand: ConvNormAct,
}

/// What one level of the pyramid goes through.
#[derive(Debug)]
struct Level {
    resize: Resize,
    weight: ConvNormAct,
}

/// How a map gets the output's size and channels.
#[derive(Debug)]
enum Resize {
    Down(ConvNormAct),
    Up(Option<ConvNormAct>),
}

impl Layer for Asff {
    fn visit(&self, v: &mut dyn Visitor) {
        for (i, level) in self.levels.iter().enumerate() {
            match &level.resize {
                Resize::Down(conv) => v.child(&format!("stride_level_{i}"), conv),
                Resize::Up(Some(conv)) => v.child(&format!("compress_level_{i}"), conv),
                Resize::Up(None) => {}
            }
            v.child(&format!("weight_level_{i}"), &level.weight);
        }
        v.child("weight_levels", &self.logits);
        v.child("expand", &self.expand);
    }
}

impl Asff {
    /// Fuses the maps, the coarsest first.
    ///
    /// # Shapes
    /// `[N, channels_i, H 2^i, W 2^i]` to `[N, out, H 2^level, W 2^level]`
    ///
    /// # Errors
    /// There are not as many maps as levels, or one has not exactly twice the size of the one before.
    pub fn forward(&self, maps: &[Tensor]) -> Result<Tensor> {
        scope(&self.path, || {
            let size = self.output_size(maps)?;
            let mut resized = Vec::new();
            let mut seen = Vec::new();
            for (i, (level, map)) in self.levels.iter().zip(maps).enumerate() {
                let map = level
                    .resize
                    .forward(map, i.saturating_sub(self.level), size)?;
                seen.push(level.weight.forward(&map)?);
                resized.push(map);
            }
            let logits = self
                .logits
                .forward(&Tensor::cat(&seen.iter().collect::<Vec<_>>(), 1)?)?;
            let weights = logits.softmax(1)?;
            let mut fused: Option<Tensor> = None;
            for (i, map) in resized.iter().enumerate() {
                let weight = weights.narrow(1, i, 1)?;
                probe::emit(&self.path, ProbeKind::SpatialMap, &weight);
                let part = map.mul(&weight)?;
                fused = Some(match fused {
                    Some(sum) => sum.add(&part)?,
                    None => part,
                });
            }
            self.expand
                .forward(&fused.ok_or_else(|| Error::msg("Asff: no level"))?)
        })
    }

    /// The output's size, if all maps fit it.
    fn output_size(&self, maps: &[Tensor]) -> Result<[usize; 2]> {
        let sizes = sizes(LAYER, maps, self.levels.len())?;
        if sizes
            .windows(2)
            .all(|s| (0..2).all(|d| s[0][d].checked_mul(2) == Some(s[1][d])))
        {
            return Ok(sizes[self.level]);
        }
        let shapes: Vec<_> = maps.iter().map(Tensor::shape).collect();
        let detail = format!(
            "each map must have twice the height and width of the one before, got shapes {shapes:?}"
        );
        Err(Error::shape(LAYER, detail))
    }
}

impl Resize {
    /// The map, which is `steps` levels finer than `size`, at that size.
    fn forward(&self, map: &Tensor, steps: usize, size: [usize; 2]) -> Result<Tensor> {
        match self {
            Self::Down(conv) => {
                let half = PoolOptions::new(3).stride(2).padding(1);
                let pooled = (1..steps).try_fold(map.clone(), |map, _| map.max_pool2d(half))?;
                conv.forward(&pooled)
            }
            Self::Up(conv) => {
                let map = conv
                    .as_ref()
                    .map_or_else(|| Ok(map.clone()), |conv| conv.forward(map))?;
                if map.shape()[2..] == size {
                    return Ok(map);
                }
                map.interpolate(size, Interpolation::Nearest)
            }
        }
    }
}

/// How other implementations name the same weights.
pub mod asff_key_maps {
    use crate::KeyMap;

    /// Ports to YOLOX, whose bricks call their batch norm `bn`. For the module's own state dict.
    #[must_use]
    pub fn yolox() -> KeyMap {
        KeyMap::new().rename("bn", "batch_norm")
    }
}
