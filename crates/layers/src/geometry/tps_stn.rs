//! Spatial transformer with thin plate splines: the input, warped so that points that a network chooses come to a lattice.
//!
//! `y[i, j] = x at grid(p)[i, j]`, `p = fc_loc(localization(x))`, or `tanh` of that: the splines' source points.
//!
//! Paper: Jaderberg et al., *Spatial Transformer Networks*, NIPS 2015, arXiv:1506.02025, section 3.2; Shi et al., *Robust Scene
//! Text Recognition with Automatic Rectification*, CVPR 2016, arXiv:1603.03915.
//! Parameters: those of the localisation network, whose last layer has two outputs a point.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, SampleMode, SamplePadding, Tensor};

use super::localization::Localization;
use super::stn::Sampler;
use super::tps_grid::{TpsGrid, TpsGridConfig};
use crate::util::invalid;
use crate::{Layer, Module, Pair, VarBuilder, Visitor};

const LAYER: &str = "TpsTransformer";

/// How to build a [`TpsTransformer`].
#[derive(Clone, Debug)]
pub struct TpsTransformerConfig {
    /// The localisation network.
    pub localization: Localization,
    /// The lattice of target points and the size of the output.
    pub grid: TpsGridConfig,
    /// Whether the hyperbolic tangent keeps points inside of the image.
    pub bounded: bool,
    /// How pixels are interpolated.
    pub mode: SampleMode,
    /// What lies outside of the image.
    pub padding: SamplePadding,
    /// Whether -1 and 1 are the centres of the corner pixels, as the lattice has them, not the edges of the image.
    pub align_corners: bool,
}

impl TpsTransformerConfig {
    /// For images of that many channels, rows and columns: PyTorch's localisation network, an output as large as the input, 3x3
    /// points up to 0.9, unbounded, bilinear, zeros outside, corners aligned.
    #[must_use]
    pub fn new(in_channels: usize, in_size: impl Into<Pair>) -> Self {
        let in_size = in_size.into();
        Self {
            localization: Localization::new(in_channels, in_size.0),
            grid: TpsGridConfig::new(in_size),
            bounded: false,
            mode: SampleMode::Bilinear,
            padding: SamplePadding::Zeros,
            align_corners: true,
        }
    }

    /// Sets channels and kernels of the localisation's convolutions, and the features between its linear layers.
    #[must_use]
    pub fn localization(
        mut self,
        channels: [usize; 2],
        kernels: [usize; 2],
        hidden: usize,
    ) -> Self {
        self.localization.channels = channels;
        self.localization.kernels = kernels;
        self.localization.hidden = hidden;
        self
    }

    /// Sets rows and columns of the output.
    #[must_use]
    pub fn out_size(mut self, size: impl Into<Pair>) -> Self {
        self.grid.out_size = size.into().0;
        self
    }

    /// Sets the rows and columns of target points, and how far they reach.
    #[must_use]
    pub fn points(mut self, points: impl Into<Pair>, span: [f64; 2]) -> Self {
        self.grid = self.grid.points(points).span(span);
        self
    }

    /// Sets whether the hyperbolic tangent keeps points inside of the image.
    #[must_use]
    pub fn bounded(mut self, bounded: bool) -> Self {
        self.bounded = bounded;
        self
    }

    /// Sets how pixels are interpolated.
    #[must_use]
    pub fn mode(mut self, mode: SampleMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets what lies outside of the image.
    #[must_use]
    pub fn padding(mut self, padding: SamplePadding) -> Self {
        self.padding = padding;
        self
    }

    /// Sets what -1 and 1 stand for.
    #[must_use]
    pub fn align_corners(mut self, align: bool) -> Self {
        self.align_corners = align;
        self
    }

    fn check(&self) -> Result<()> {
        self.grid.check(LAYER)?;
        if self.bounded && self.grid.span.iter().any(|s| *s >= 1.0) {
            let rule = "bounded points lie inside of -1 to 1";
            return Err(invalid(LAYER, "span", self.grid.span, rule));
        }
        Ok(())
    }

    /// Builds the module: `localization.{0,3}` and `fc_loc.{0,2}` as [`SpatialTransformer`](super::SpatialTransformer) has them,
    /// and the buffers of [`TpsGrid`] under `tps`. The source points start as the target points: the identity.
    ///
    /// # Errors
    /// A size is 0, the convolutions leave nothing of the input, or the points have no spline or no bounded start.
    pub fn build(&self, vb: &VarBuilder) -> Result<TpsTransformer> {
        self.check().map_err(|e| e.at(vb.path()))?;
        let mut start = self.grid.targets().concat();
        if self.bounded {
            start.iter_mut().for_each(|v| *v = v.atanh());
        }
        let count = start.len();
        let start = Tensor::from_vec(start, count)?;
        let [localization, fc_loc] = self.localization.build(LAYER, &start, vb)?;
        Ok(TpsTransformer {
            path: Arc::clone(vb.path()),
            localization,
            fc_loc,
            tps: self.grid.build(&(vb / "tps"))?,
            bounded: self.bounded,
            sampler: Sampler {
                mode: self.mode,
                padding: self.padding,
                align_corners: self.align_corners,
            },
        })
    }
}

/// The transformer. Emits its grid as [`ProbeKind::Grid`](crate::probe::ProbeKind::Grid).
#[derive(Debug)]
pub struct TpsTransformer {
    path: Arc<str>,
    localization: Box<dyn Module>,
    fc_loc: Box<dyn Module>,
    tps: TpsGrid,
    bounded: bool,
    sampler: Sampler,
}

impl TpsTransformer {
    /// The source points for the images of `x`, `[N, K, 2]` as `(x, y)` from -1 to 1.
    ///
    /// # Errors
    /// `x` is no `[N, C, H, W]` that fits the localisation network.
    pub fn points(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, ..] = x.dims_array::<4>(LAYER)?;
            let seen = self.localization.forward(x)?.flatten(1, 3)?;
            let points = self.fc_loc.forward(&seen)?;
            let points = match self.bounded {
                true => points.tanh()?,
                false => points,
            };
            let count = points.shape().last().map_or(0, |numbers| numbers / 2);
            points.reshape([n, count, 2])
        })
    }
}

impl Layer for TpsTransformer {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("localization", &self.localization);
        v.child("fc_loc", &self.fc_loc);
        v.child("tps", &self.tps);
    }
}

impl Module for TpsTransformer {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H', W']`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let points = self.points(x)?;
        scope(&self.path, || {
            let grid = self.tps.forward(&points)?;
            self.sampler.sample(&self.path, x, &grid)
        })
    }
}

/// How other implementations name the same weights.
pub mod tps_key_maps {
    use crate::KeyMap;

    /// From WarBean's transformer for MNIST, whose bounded form has this module's `bounded`.
    #[must_use]
    pub fn warbean() -> KeyMap {
        KeyMap::new()
            .drop("control_points")
            .rename("loc_net.cnn.conv1", "localization.0")
            .rename("loc_net.cnn.conv2", "localization.3")
            .rename("loc_net.cnn.fc1", "fc_loc.0")
            .rename("loc_net.cnn.fc2", "fc_loc.2")
    }
}
