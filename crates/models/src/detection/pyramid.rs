//! A residual network with a feature pyramid, whose levels may be fused once more.

use std::sync::Arc;

use striate_layers::{
    Asff, AsffConfig, ExtraLevels, Fpn, FpnConfig, Layer, VarBuilder, Visitor, util,
};
use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::{Network, ResNetConfig};

const NETWORK: &str = "PyramidNet";

/// How to build a [`PyramidNet`].
#[derive(Clone, Debug)]
pub struct PyramidNetConfig {
    /// The residual network.
    pub backbone: ResNetConfig,
    /// How many of its last stages the pyramid has, 1 to 4.
    pub levels: usize,
    /// Channels of every level.
    pub channels: usize,
    /// Levels beyond the coarsest.
    pub extra: ExtraLevels,
    /// Whether every level is fused adaptively from all; there are then no levels beyond the coarsest.
    pub asff: bool,
}

impl PyramidNetConfig {
    /// All four stages to 256 channels, as torchvision's `resnet_fpn_backbone` but without further levels.
    #[must_use]
    pub fn new(backbone: ResNetConfig) -> Self {
        Self {
            backbone,
            levels: 4,
            channels: 256,
            extra: ExtraLevels::None,
            asff: false,
        }
    }

    /// The last three stages, fused adaptively.
    ///
    /// Paper: Liu, Huang, Wang, *Learning Spatial Fusion for Single-Shot Object Detection*, arXiv:1911.09516.
    #[must_use]
    pub fn asff(backbone: ResNetConfig) -> Self {
        Self {
            levels: 3,
            asff: true,
            ..Self::new(backbone)
        }
    }

    /// Sets how many of the last stages the pyramid has.
    #[must_use]
    pub fn levels(mut self, levels: usize) -> Self {
        self.levels = levels;
        self
    }

    /// Sets the channels of every level.
    #[must_use]
    pub fn channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// Sets the levels beyond the coarsest.
    #[must_use]
    pub fn extra(mut self, extra: ExtraLevels) -> Self {
        self.extra = extra;
        self
    }

    /// Builds the network: `body` and `fpn` as torchvision, `level_0_fusion`, ... as the authors of the fusion, the
    /// coarsest level first.
    ///
    /// # Errors
    /// There are no such levels, fusion is to have further levels or one level alone, or the backbone's configuration
    /// is invalid.
    pub fn build(&self, vb: &VarBuilder) -> Result<PyramidNet> {
        if !(1..=4).contains(&self.levels) {
            let rule = "there are 1 to 4 stages to take";
            return Err(util::invalid(NETWORK, "levels", self.levels, rule));
        }
        if self.asff && self.extra != ExtraLevels::None {
            let rule = "levels to be fused halve exactly: there are none beyond the coarsest";
            return Err(util::invalid(NETWORK, "extra", self.extra, rule));
        }
        let stages = 5 - self.levels..=4;
        let channels: Vec<usize> = stages.map(|s| self.backbone.channels(s)).collect();
        let fpn = FpnConfig::new(channels)
            .out_channels(self.channels)
            .extra(self.extra);
        let fusion = |level| {
            AsffConfig::new(level)
                .channels(vec![self.channels; self.levels])
                .out_channels(self.channels)
                .build(&(vb / format!("level_{level}_fusion")))
        };
        let fused = if self.asff { self.levels } else { 0 };
        Ok(PyramidNet {
            path: Arc::clone(vb.path()),
            body: self.backbone.trunk(&(vb / "body"))?.finish(),
            fpn: fpn.build(&(vb / "fpn"))?,
            levels: self.levels,
            fusions: (0..fused).map(fusion).collect::<Result<_>>()?,
        })
    }
}

/// A network that gives a pyramid of maps.
///
/// Paper: Lin et al., *Feature Pyramid Networks for Object Detection*, CVPR 2017, arXiv:1612.03144.
#[derive(Debug)]
pub struct PyramidNet {
    path: Arc<str>,
    body: Network,
    fpn: Fpn,
    levels: usize,
    fusions: Vec<Asff>,
}

impl PyramidNet {
    /// The pyramid, the finest map first.
    ///
    /// # Shapes
    /// `[N, in, H, W]` to `[N, channels, H / 4, W / 4]` or from a coarser stage on, each level half as large as the
    /// one before.
    ///
    /// # Errors
    /// The image does not fit the network; for fusion its sides must be multiples of 32.
    pub fn forward(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        scope(&self.path, || {
            let maps = self.body.features(x)?;
            let first = maps.len().saturating_sub(self.levels);
            let mut pyramid = self.fpn.forward(&maps[first..])?;
            if self.fusions.is_empty() {
                return Ok(pyramid);
            }
            pyramid.reverse();
            let fused = self.fusions.iter().rev();
            fused.map(|fusion| fusion.forward(&pyramid)).collect()
        })
    }
}

impl Layer for PyramidNet {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("body", &self.body);
        v.child("fpn", &self.fpn);
        for (level, fusion) in self.fusions.iter().enumerate() {
            v.child(&format!("level_{level}_fusion"), fusion);
        }
    }
}
