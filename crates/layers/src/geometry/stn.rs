//! Spatial transformer: the input, sampled where a map says that a network reads off the input.
//!
//! `y[i, j] = x at theta (u, v, 1)`, `theta = fc_loc(localization(x))`, where `(u, v)` runs over the output from -1 to 1; of a
//! projective map divided by the third coordinate.
//!
//! Paper: Jaderberg et al., *Spatial Transformer Networks*, NIPS 2015, arXiv:1506.02025.
//! Departures: none; the localisation network is that of PyTorch's tutorial, or any other.
//! Parameters: those of the localisation network, whose last layer has as many outputs as the [`Transform`] has numbers.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Result, SampleMode, SamplePadding, Tensor};

use super::localization::{Localization, head};
use crate::probe::{self, ProbeKind};
use crate::util::pair_at_least_one;
use crate::{Layer, Module, Pair, VarBuilder, Visitor};

const LAYER: &str = "SpatialTransformer";

/// Which maps a [`SpatialTransformer`] chooses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// All affine maps: `[[a, b, c], [d, e, f]]` from six numbers in this order.
    Affine,
    /// A part of the image, scaled and shifted: `[[sx, 0, tx], [0, sy, ty]]` from `sx, sy, tx, ty`.
    Attention,
    /// A part of the image in its own proportions, the paper's attention: `[[s, 0, tx], [0, s, ty]]` from `s, tx, ty`.
    Crop,
    /// All maps that keep lines straight: `[[a, b, c], [d, e, f], [g, h, 1]]` from eight numbers in this order. Places whose third
    /// coordinate is zero lie outside of the image, by its sign.
    Projective,
}

impl Transform {
    /// The numbers of the identity.
    fn identity(self) -> &'static [f64] {
        match self {
            Self::Affine => &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            Self::Attention => &[1.0, 1.0, 0.0, 0.0],
            Self::Crop => &[1.0, 0.0, 0.0],
            Self::Projective => &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        }
    }

    /// `[N, numbers]` to maps `[N, 2, 3]`, projective ones `[N, 3, 3]`.
    fn maps(self, numbers: &Tensor) -> Result<Tensor> {
        let &[n, count] = numbers.shape() else {
            let detail = format!("expected [N, numbers], got shape {:?}", numbers.shape());
            return Err(Error::shape(LAYER, detail));
        };
        if count != self.identity().len() {
            let detail = format!(
                "{self:?} has {} numbers, not {count}",
                self.identity().len()
            );
            return Err(Error::shape(LAYER, detail));
        }
        let of = |i| numbers.narrow(1, i, 1);
        let scaled = |[sx, sy, tx, ty]: [usize; 4]| {
            let zero = Tensor::zeros([n, 1], numbers.dtype())?;
            let row = [&of(sx)?, &zero, &of(tx)?, &zero, &of(sy)?, &of(ty)?];
            Tensor::cat(&row, 1)?.reshape([n, 2, 3])
        };
        match self {
            Self::Affine => numbers.reshape([n, 2, 3]),
            Self::Attention => scaled([0, 1, 2, 3]),
            Self::Crop => scaled([0, 0, 1, 2]),
            Self::Projective => {
                let one = Tensor::ones([n, 1], numbers.dtype())?;
                Tensor::cat(&[numbers, &one], 1)?.reshape([n, 3, 3])
            }
        }
    }

    /// The places of an output's pixels under maps.
    fn grid(self, theta: &Tensor, size: [usize; 2], align_corners: bool) -> Result<Tensor> {
        if self != Self::Projective {
            return theta.affine_grid(size, align_corners);
        }
        let places = theta.narrow(1, 0, 2)?.affine_grid(size, align_corners)?;
        let third = theta.narrow(1, 2, 1)?;
        let third = Tensor::cat(&[&third, &third], 1)?;
        places.div(&third.affine_grid(size, align_corners)?)
    }
}

/// How to build a [`SpatialTransformer`].
#[derive(Clone, Debug)]
pub struct SpatialTransformerConfig {
    /// The localisation network.
    pub localization: Localization,
    /// Which maps there are.
    pub transform: Transform,
    /// Rows and columns of the output; `None` for those of the input.
    pub out_size: Option<[usize; 2]>,
    /// How pixels are interpolated.
    pub mode: SampleMode,
    /// What lies outside of the image.
    pub padding: SamplePadding,
    /// Whether -1 and 1 are the centres of the corner pixels, not the edges of the image. Weights from PyTorch before 1.3
    /// want it.
    pub align_corners: bool,
}

impl SpatialTransformerConfig {
    /// PyTorch's tutorial for images of that many channels, rows and columns: affine maps, bilinear, zeros outside, corners
    /// not aligned.
    #[must_use]
    pub fn new(in_channels: usize, in_size: impl Into<Pair>) -> Self {
        Self {
            localization: Localization::new(in_channels, in_size.into().0),
            transform: Transform::Affine,
            out_size: None,
            mode: SampleMode::Bilinear,
            padding: SamplePadding::Zeros,
            align_corners: false,
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

    /// Sets which maps there are.
    #[must_use]
    pub fn transform(mut self, transform: Transform) -> Self {
        self.transform = transform;
        self
    }

    /// Sets rows and columns of the output; `None` for those of the input.
    #[must_use]
    pub fn out_size(mut self, size: Option<[usize; 2]>) -> Self {
        self.out_size = size;
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

    /// Builds the module under the names of PyTorch's tutorial: convolutions `localization.{0,3}` and linear layers
    /// `fc_loc.{0,2}`. It starts as the identity.
    ///
    /// # Errors
    /// A size is 0, or the convolutions leave nothing of the input.
    pub fn build(&self, vb: &VarBuilder) -> Result<SpatialTransformer> {
        let start = self.start()?;
        let nets = self.localization.build(LAYER, &start, vb)?;
        self.around(nets, vb)
    }

    /// Builds the module around another `localization`, which makes `features` numbers of every image once its output is
    /// flattened. The linear layers `fc_loc.{0,2}` come behind it.
    ///
    /// # Errors
    /// A size is 0.
    pub fn build_with(
        &self,
        localization: impl Module + 'static,
        features: usize,
        vb: &VarBuilder,
    ) -> Result<SpatialTransformer> {
        let hidden = self.localization.hidden;
        let fc_loc = head(features, hidden, &self.start()?, &(vb / "fc_loc"))?;
        self.around([Box::new(localization), Box::new(fc_loc)], vb)
    }

    fn start(&self) -> Result<Tensor> {
        let identity = self.transform.identity();
        Tensor::from_slice(identity, identity.len())
    }

    fn around(&self, nets: [Box<dyn Module>; 2], vb: &VarBuilder) -> Result<SpatialTransformer> {
        pair_at_least_one(LAYER, "out_size", self.out_size.unwrap_or([1, 1]))
            .map_err(|e| e.at(vb.path()))?;
        let [localization, fc_loc] = nets;
        Ok(SpatialTransformer {
            path: Arc::clone(vb.path()),
            localization,
            fc_loc,
            transform: self.transform,
            out_size: self.out_size,
            sampler: Sampler {
                mode: self.mode,
                padding: self.padding,
                align_corners: self.align_corners,
            },
        })
    }
}

/// The last step of every transformer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampler {
    pub(super) mode: SampleMode,
    pub(super) padding: SamplePadding,
    pub(super) align_corners: bool,
}

impl Sampler {
    pub(super) fn sample(self, path: &Arc<str>, x: &Tensor, grid: &Tensor) -> Result<Tensor> {
        probe::emit(path, ProbeKind::Grid, grid);
        x.grid_sample(grid, self.mode, self.padding, self.align_corners)
    }
}

/// The transformer. Emits its grid as [`ProbeKind::Grid`].
#[derive(Debug)]
pub struct SpatialTransformer {
    path: Arc<str>,
    localization: Box<dyn Module>,
    fc_loc: Box<dyn Module>,
    transform: Transform,
    out_size: Option<[usize; 2]>,
    sampler: Sampler,
}

impl SpatialTransformer {
    /// The maps for the images of `x`, `[N, 2, 3]`, or `[N, 3, 3]` if they are projective.
    ///
    /// # Errors
    /// `x` is no `[N, C, H, W]` that fits the localisation network.
    pub fn theta(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            x.dims_array::<4>(LAYER)?;
            let seen = self.localization.forward(x)?;
            let last = seen.rank().saturating_sub(1).max(1);
            self.transform
                .maps(&self.fc_loc.forward(&seen.flatten(1, last)?)?)
        })
    }
}

impl Layer for SpatialTransformer {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("localization", &self.localization);
        v.child("fc_loc", &self.fc_loc);
    }
}

impl Module for SpatialTransformer {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H', W']`, the output's size or that of the input.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let theta = self.theta(x)?;
        scope(&self.path, || {
            let [_, _, h, w] = x.dims4()?;
            let size = self.out_size.unwrap_or([h, w]);
            let grid = (self.transform).grid(&theta, size, self.sampler.align_corners)?;
            self.sampler.sample(&self.path, x, &grid)
        })
    }
}
