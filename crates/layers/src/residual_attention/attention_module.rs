//! Residual attention: a mask from an hourglass beside the trunk of a stage.
//!
//! `y = last((1 + M(z)) * T(z))`, `z = first(x)`: `T` is the trunk, `M` the mask that the hourglass makes of the same
//! map, by down-samplings, residual blocks at every size, bilinear up-samplings with skip connections, and two 1x1
//! convolutions.
//!
//! Paper: Wang et al., *Residual Attention Network for Image Classification*, CVPR 2017, arXiv:1704.06904.
//! Departures: none from the released prototxt by default; the mask normalised over channels has `1e-12` under its
//! norm, that over positions `1e-5` beside its variance. Sizes are those of the maps, not fixed ones.
//! Parameters: `(2*p + t + m)*(17/16*C*C + 3*C) + 2*C*C + 4*C` with `m = 2*r*(D - 1) + 2*r + D - 1` mask blocks.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Interpolation, PoolOptions, Result, Tensor};

use super::unit::AttentionUnit;
use crate::probe::{self, ProbeKind};
use crate::util::at_least_one;
use crate::{
    Activation, BatchNormConfig, Conv2dConfig, Layer, Module, Sequential, VarBuilder, Visitor,
};

/// How the mask becomes factors; the paper compares them (its table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionMask {
    /// `sigmoid(m)`, the paper's choice.
    Mixed,
    /// `m / |m|` with the norm over the channels of a position: from -1 to 1.
    Channel,
    /// `sigmoid((m - mean) / std)` over the positions of a channel.
    Spatial,
}

impl AttentionMask {
    fn apply(self, m: &Tensor) -> Result<Tensor> {
        match self {
            Self::Mixed => m.sigmoid(),
            Self::Channel => {
                // Held above the square of 1e-12, where the root has no gradient that is finite.
                let squares = m.square()?.sum(&[1], true)?;
                m.div(&squares.clamp(1e-24, f64::INFINITY)?.sqrt()?)
            }
            Self::Spatial => {
                let [_, channels, _, _] = m.dims4()?;
                m.group_norm(channels, None, None, 1e-5)?.sigmoid()
            }
        }
    }
}

/// What the mask does to the trunk; the paper compares them (its table 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionLearning {
    /// `(1 + M) * T`: a mask of zeros leaves the trunk as it is.
    Residual,
    /// `M * T`
    Naive,
}

/// What is added to a map that the hourglass has brought back to a larger size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionSkips {
    /// The block on the skip connection: the released prototxt, and `AttentionModule_pre` of tengshaofeng.
    Official,
    /// Also the map of that size on the way down and, in front of the head, the trunk: tengshaofeng's later
    /// modules and GluonCV. As many parameters, another function.
    Extra,
}

/// How a map is halved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionPool {
    /// Maximum of 3x3 with stride 2 and padding 1: the PyTorch implementations.
    TorchPad1,
    /// Maximum of 3x3 with stride 2, no padding, and windows over the end: the released prototxt.
    CaffeCeil,
}

impl AttentionPool {
    fn apply(self, x: &Tensor) -> Result<Tensor> {
        let window = PoolOptions::new(3).stride(2);
        x.max_pool2d(match self {
            Self::TorchPad1 => window.padding(1),
            Self::CaffeCeil => window.ceil_mode(true),
        })
    }
}

/// How to build an [`AttentionModule`].
#[derive(Clone, Debug)]
pub struct AttentionModuleConfig {
    /// Number of channels, a multiple of 4.
    pub channels: usize,
    /// Down-samplings of the hourglass: 3, 2, 1 in the three stages for 224x224; with 0 it keeps the size.
    pub depth: usize,
    /// Blocks before and after (`p`).
    pub outer: usize,
    /// Blocks of the trunk (`t`).
    pub trunk: usize,
    /// Blocks of each level of the hourglass (`r`); the lowest has twice as many.
    pub level: usize,
    /// Additions on the way up.
    pub skips: AttentionSkips,
    /// How maps are halved.
    pub pool: AttentionPool,
    /// How the mask becomes factors.
    pub mask: AttentionMask,
    /// What the mask does to the trunk.
    pub learning: AttentionLearning,
    /// What the blocks are.
    pub unit: AttentionUnit,
}

impl AttentionModuleConfig {
    /// `p = 1`, `t = 2`, `r = 1`, the skips of the released prototxt with the pooling of PyTorch, mixed attention,
    /// residual learning.
    #[must_use]
    pub fn new(channels: usize, depth: usize) -> Self {
        Self {
            channels,
            depth,
            outer: 1,
            trunk: 2,
            level: 1,
            skips: AttentionSkips::Official,
            pool: AttentionPool::TorchPad1,
            mask: AttentionMask::Mixed,
            learning: AttentionLearning::Residual,
            unit: AttentionUnit::PreAct,
        }
    }

    /// Sets the numbers of blocks: `p` before and after, `t` of the trunk, `r` of each level.
    #[must_use]
    pub fn blocks(mut self, p: usize, t: usize, r: usize) -> Self {
        (self.outer, self.trunk, self.level) = (p, t, r);
        self
    }

    /// Sets what is added on the way up.
    #[must_use]
    pub fn skips(mut self, skips: AttentionSkips) -> Self {
        self.skips = skips;
        self
    }

    /// Sets how maps are halved.
    #[must_use]
    pub fn pool(mut self, pool: AttentionPool) -> Self {
        self.pool = pool;
        self
    }

    /// Sets how the mask becomes factors.
    #[must_use]
    pub fn mask(mut self, mask: AttentionMask) -> Self {
        self.mask = mask;
        self
    }

    /// Sets what the mask does to the trunk.
    #[must_use]
    pub fn learning(mut self, learning: AttentionLearning) -> Self {
        self.learning = learning;
        self
    }

    /// Sets what the blocks are.
    #[must_use]
    pub fn unit(mut self, unit: AttentionUnit) -> Self {
        self.unit = unit;
        self
    }

    /// Builds the module under tengshaofeng's names. One block stands bare (`first_residual_blocks.bn1`), several are
    /// numbered; with depth 0 the lowest level is `middle_2r_blocks` and the head `conv1_1_blocks`.
    ///
    /// # Errors
    /// The channels are no positive multiple of 4, or the trunk or a level has no block.
    pub fn build(&self, vb: &VarBuilder) -> Result<AttentionModule> {
        const LAYER: &str = "AttentionModule";
        at_least_one(LAYER, "trunk", self.trunk)
            .and_then(|()| at_least_one(LAYER, "level", self.level))
            .map_err(|e| e.at(vb.path()))?;
        let depth = self.depth;
        let numbered = |n: usize| format!("softmax{n}_blocks");
        let (lowest, head) = match depth {
            0 => ("middle_2r_blocks".to_owned(), "conv1_1_blocks".to_owned()),
            _ => (numbered(depth), numbered(2 * depth)),
        };
        let blocks = |n, name: String| self.blocks_at(n, name, vb);
        let mut down = Vec::new();
        for level in 1..depth {
            down.push(blocks(self.level, numbered(level))?);
        }
        down.push(self.row(2 * self.level, lowest, vb)?);
        let skip = |level| blocks(1, format!("skip{level}_connection_residual_block"));
        let up = |level| blocks(self.level, numbered(2 * depth - level));
        Ok(AttentionModule {
            path: Arc::clone(vb.path()),
            first: blocks(self.outer, "first_residual_blocks".to_owned())?,
            trunk: self.row(self.trunk, "trunk_branches".to_owned(), vb)?,
            down,
            skip: (1..depth).map(skip).collect::<Result<_>>()?,
            up: (1..depth).map(up).collect::<Result<_>>()?,
            head: self.head(head, vb)?,
            last: blocks(self.outer, "last_blocks".to_owned())?,
            config: self.clone(),
        })
    }

    /// `n` blocks, numbered.
    fn row(&self, n: usize, name: String, vb: &VarBuilder) -> Result<Part> {
        let mut row = Sequential::new();
        for i in 0..n {
            row = row.push(self.block(&(vb / &name / i))?);
        }
        Ok(Part::new(name, row))
    }

    /// `n` blocks, a single one bare.
    fn blocks_at(&self, n: usize, name: String, vb: &VarBuilder) -> Result<Part> {
        if n != 1 {
            return self.row(n, name, vb);
        }
        let block = self.block(&(vb / &name))?;
        Ok(Part::new(name, block))
    }

    fn block(&self, vb: &VarBuilder) -> Result<Box<dyn Module>> {
        self.unit.build(self.channels, self.channels, 1, vb)
    }

    fn head(&self, name: String, vb: &VarBuilder) -> Result<Part> {
        let (vb, channels) = (vb / &name, self.channels);
        let conv = |at: usize| {
            let conv = Conv2dConfig::new(channels, channels, 1).bias(false);
            conv.build(&(&vb / at))
        };
        let norm = |at: usize| BatchNormConfig::new(channels).build_2d(&(&vb / at));
        let mut head = Sequential::new();
        // Units that end with an activation need none here.
        if self.unit == AttentionUnit::PreAct {
            head = head.push(norm(0)?).push(Activation::Relu);
        }
        let at = head.len();
        let head = head.push(conv(at)?).push(norm(at + 1)?);
        let head = head.push(Activation::Relu).push(conv(at + 3)?);
        Ok(Part::new(name, head))
    }
}

/// Blocks under a name.
#[derive(Debug)]
struct Part {
    name: String,
    module: Box<dyn Module>,
}

impl Part {
    fn new(name: String, module: impl Module + 'static) -> Self {
        Self {
            name,
            module: Box::new(module),
        }
    }

    fn run(&self, x: &Tensor) -> Result<Tensor> {
        self.module.forward(x)
    }
}

/// The attention module. Emits its mask as [`ProbeKind::FullGate`].
#[derive(Debug)]
pub struct AttentionModule {
    path: Arc<str>,
    first: Part,
    trunk: Part,
    /// From the level below the trunk to the lowest.
    down: Vec<Part>,
    /// Of every level below the trunk but the lowest, as `up`.
    skip: Vec<Part>,
    up: Vec<Part>,
    head: Part,
    last: Part,
    config: AttentionModuleConfig,
}

impl AttentionModule {
    /// The factors that the hourglass makes of `x` for the trunk's value.
    fn mask(&self, x: &Tensor, trunk: &Tensor) -> Result<Tensor> {
        let config = &self.config;
        // The maps that are as large as those on the way up: `maps[level]`.
        let (mut maps, mut y) = (vec![trunk.clone()], x.clone());
        for down in &self.down {
            if config.depth > 0 {
                y = config.pool.apply(&y)?;
            }
            y = down.run(&y)?;
            maps.push(y.clone());
        }
        for level in (0..config.depth).rev() {
            let [_, _, h, w] = maps[level].dims4()?;
            let corners = Interpolation::Bilinear {
                align_corners: true,
            };
            y = y.interpolate([h, w], corners)?;
            if config.skips == AttentionSkips::Extra {
                y = y.add(&maps[level])?;
            }
            if level > 0 {
                let skip = self.skip[level - 1].run(&maps[level])?;
                y = self.up[level - 1].run(&y.add(&skip)?)?;
            }
        }
        config.mask.apply(&self.head.run(&y)?)
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        let before = [&self.first, &self.trunk].into_iter();
        let levels = self.down.iter().chain(&self.skip).chain(&self.up);
        before.chain(levels).chain([&self.head, &self.last])
    }
}

impl Layer for AttentionModule {
    fn visit(&self, v: &mut dyn Visitor) {
        for part in self.parts() {
            v.child(&part.name, &part.module);
        }
    }
}

impl Module for AttentionModule {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let x = self.first.run(x)?;
            let trunk = self.trunk.run(&x)?;
            let mask = self.mask(&x, &trunk)?;
            probe::emit(&self.path, ProbeKind::FullGate, &mask);
            let factors = match self.config.learning {
                AttentionLearning::Residual => mask.add_scalar(1.0)?,
                AttentionLearning::Naive => mask,
            };
            self.last.run(&trunk.mul(&factors)?)
        })
    }
}

/// How other implementations name the same weights.
pub mod attention_module_key_maps {
    use crate::KeyMap;

    /// From tengshaofeng's, whose blocks have a projection `conv4` also where it is not used.
    #[must_use]
    pub fn unused_projections() -> KeyMap {
        KeyMap::new().drop("conv4")
    }

    /// From the names of tengshaofeng's modules for 32x32, with a hourglass of that depth, which call levels by their
    /// direction. With depth 0 they are this module's.
    #[must_use]
    pub fn cifar(depth: usize) -> KeyMap {
        let mut map = unused_projections();
        if depth == 0 {
            return map;
        }
        for level in 1..depth {
            map = map
                .rename(
                    &format!("down_residual_blocks{level}"),
                    &format!("softmax{level}_blocks"),
                )
                .rename(
                    &format!("up_residual_blocks{level}"),
                    &format!("softmax{}_blocks", depth + level),
                );
        }
        map.rename("middle_2r_blocks", &format!("softmax{depth}_blocks"))
            .rename("conv1_1_blocks", &format!("softmax{}_blocks", 2 * depth))
    }
}
