//! Pyramid pooling of PSPNet: means over grids of several sizes, projected, resized and put beside the map.
//!
//! ```text
//! p_b = relu(bn(W_b means over b x b cells of x))        to D channels
//! y   = [x, up(p_1), up(p_2), up(p_3), up(p_6)]          bilinear to the size of x
//! ```
//!
//! Paper: Zhao, Shi, Qi, Wang, Jia, *Pyramid Scene Parsing Network*, CVPR 2017, arXiv:1612.01105.
//! Departures: none; the 3x3 convolution that follows in PSPNet is the network's.
//! Parameters of `n` grids: `n(C*D + 2D)`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Interpolation, Result, Tensor};

use crate::util::{at_least_one, invalid};
use crate::{Conv2dConfig, ConvNormAct, ConvNormActConfig, Layer, Module, VarBuilder, Visitor};

/// How to build a [`PyramidPooling`].
#[derive(Clone, Debug)]
pub struct PyramidPoolingConfig {
    /// Channels of the input.
    pub channels: usize,
    /// Channels of each grid's projection; `None` divides the input's among the grids.
    pub reduced_channels: Option<usize>,
    /// Cells on a side of each grid.
    pub bins: Vec<usize>,
    /// Whether the resize aligns the corners' centres.
    pub align_corners: bool,
}

impl PyramidPoolingConfig {
    /// The paper's grids of 1, 2, 3 and 6 cells on a side, each projected to a quarter of the channels.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            reduced_channels: None,
            bins: vec![1, 2, 3, 6],
            align_corners: true,
        }
    }

    /// Sets the channels of each grid's projection.
    #[must_use]
    pub fn reduced_channels(mut self, channels: usize) -> Self {
        self.reduced_channels = Some(channels);
        self
    }

    /// Sets the cells on a side of each grid.
    #[must_use]
    pub fn bins(mut self, bins: impl Into<Vec<usize>>) -> Self {
        self.bins = bins.into();
        self
    }

    /// Sets whether the resize aligns the corners' centres.
    #[must_use]
    pub fn align_corners(mut self, align: bool) -> Self {
        self.align_corners = align;
        self
    }

    /// Builds the layers `features.i.{1,2}`.
    ///
    /// # Errors
    /// There is no grid, a grid has no cell, or a projection no channel.
    pub fn build(&self, vb: &VarBuilder) -> Result<PyramidPooling> {
        let check = || {
            const LAYER: &str = "PyramidPooling";
            at_least_one(LAYER, "channels", self.channels)?;
            if self.bins.is_empty() || self.bins.contains(&0) {
                let rule = "there must be at least one grid, and each must have a cell";
                return Err(invalid(LAYER, "bins", &self.bins, rule));
            }
            let reduced = self
                .reduced_channels
                .unwrap_or(self.channels / self.bins.len());
            at_least_one(LAYER, "reduced_channels", reduced)?;
            Ok(reduced)
        };
        let reduced = check().map_err(|e| e.at(vb.path()))?;
        let project = |i: usize| {
            let conv = Conv2dConfig::new(self.channels, reduced, 1);
            ConvNormActConfig::new(conv)
                .names("1", "2")
                .build(&(vb / "features" / i))
        };
        Ok(PyramidPooling {
            path: Arc::clone(vb.path()),
            bins: self.bins.clone(),
            features: (0..self.bins.len()).map(project).collect::<Result<_>>()?,
            resize: Interpolation::Bilinear {
                align_corners: self.align_corners,
            },
        })
    }
}

/// The input and, beside it, means over grids of several sizes.
#[derive(Debug)]
pub struct PyramidPooling {
    path: Arc<str>,
    bins: Vec<usize>,
    features: Vec<ConvNormAct>,
    resize: Interpolation,
}

impl Layer for PyramidPooling {
    fn visit(&self, v: &mut dyn Visitor) {
        for (i, project) in self.features.iter().enumerate() {
            v.child(&format!("features.{i}"), project);
        }
    }
}

impl Module for PyramidPooling {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C + grids * reduced, H, W]`
    ///
    /// # Errors
    /// The input does not fit; in training a batch of 1 with a grid of one cell.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [_, _, h, w] = x.dims_array("PyramidPooling")?;
            let mut maps = vec![x.clone()];
            for (&bins, project) in self.bins.iter().zip(&self.features) {
                let cells = project.forward(&x.adaptive_avg_pool2d(bins)?)?;
                maps.push(cells.interpolate([h, w], self.resize)?);
            }
            Tensor::cat(&maps.iter().collect::<Vec<_>>(), 1)
        })
    }
}
