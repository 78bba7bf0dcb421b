//! CoordConv: a convolution that also sees where it is.
//!
//! ```text
//! y = conv([x, X, Y]) or conv([x, X, Y, R])
//! X[h,w] = 2w/(W-1) - 1     Y[h,w] = 2h/(H-1) - 1     R = sqrt((X - c)^2 + (Y - c)^2)
//! ```
//! An axis of size 1 has the coordinate 0. Zero padding also pads the coordinates with 0, the middle of
//! the map, as in the paper's code.
//!
//! Paper: Liu et al., *An Intriguing Failing of Convolutional Neural Networks and the CoordConv
//! Solution*, NeurIPS 2018, arXiv:1807.03247.
//! Departures: each axis is divided by its own size, and coordinates are those of the map at hand; the
//! paper's code mixes the axes up and ports fix the size, which is right for square maps alone.
//! Parameters: `O*(C+2)*k*k + O`, with the radius `O*(C+3)*k*k + O`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{DType, Error, Result, Tensor};

use crate::util::{at_least_one, invalid};
use crate::{Conv2d, Conv2dConfig, Layer, Module, VarBuilder, Visitor};

const LAYER: &str = "CoordConv";

/// How to build a [`CoordConv`].
#[derive(Clone, Debug)]
pub struct CoordConvConfig {
    /// The convolution; its input channels are those of the map, without the coordinates.
    pub conv: Conv2dConfig,
    /// Whether the distance from the centre is a coordinate too.
    pub radius: bool,
    /// The centre of the radius on both axes: 0 is the middle of the map; 0.5 loads weights of the
    /// most used port.
    pub radius_centre: f64,
}

impl CoordConvConfig {
    /// Two coordinates for that convolution.
    #[must_use]
    pub fn new(conv: Conv2dConfig) -> Self {
        Self {
            conv,
            radius: false,
            radius_centre: 0.0,
        }
    }

    /// Adds or leaves out the radius.
    #[must_use]
    pub fn radius(mut self, radius: bool) -> Self {
        self.radius = radius;
        self
    }

    /// Sets the centre of the radius.
    #[must_use]
    pub fn radius_centre(mut self, centre: f64) -> Self {
        self.radius_centre = centre;
        self
    }

    /// Builds the module: `conv`, with the channels of the coordinates last.
    ///
    /// # Errors
    /// Those of the convolution; the groups do not divide the channels with the coordinates; the
    /// centre is not finite.
    pub fn build(&self, vb: &VarBuilder) -> Result<CoordConv> {
        let channels = self.conv.in_channels;
        let check = || {
            at_least_one(LAYER, "in_channels", channels)?;
            at_least_one(LAYER, "groups", self.conv.groups)?;
            if !self.radius_centre.is_finite() {
                let rule = "it must be finite";
                return Err(invalid(LAYER, "radius_centre", self.radius_centre, rule));
            }
            let coordinates = 2 + usize::from(self.radius);
            let all = channels.saturating_add(coordinates);
            if !all.is_multiple_of(self.conv.groups) {
                let rule = format!(
                    "it must divide the {all} channels that {channels} are with {coordinates} coordinates"
                );
                return Err(invalid(LAYER, "groups", self.conv.groups, rule));
            }
            Ok(all)
        };
        let mut conv = self.conv.clone();
        conv.in_channels = check().map_err(|e| e.at(vb.path()))?;
        Ok(CoordConv {
            path: Arc::clone(vb.path()),
            conv: conv.build(&(vb / "conv"))?,
            channels,
            config: self.clone(),
        })
    }
}

/// A convolution of the map and its coordinates.
#[derive(Debug)]
pub struct CoordConv {
    path: Arc<str>,
    conv: Conv2d,
    channels: usize,
    config: CoordConvConfig,
}

impl CoordConv {
    /// The coordinates of a map of that size, `[1, 2 or 3, H, W]`: X, Y and perhaps the radius.
    ///
    /// # Errors
    /// Memory is out.
    pub fn coordinates(&self, [h, w]: [usize; 2], dtype: DType) -> Result<Tensor> {
        let at = |i: usize, n: usize| match n {
            1 => 0.0,
            _ => 2.0 * i as f64 / (n - 1) as f64 - 1.0,
        };
        let map = |f: &dyn Fn(usize, usize) -> f64| {
            let rows = (0..h).map(|y| (0..w).map(move |x| (y, x)));
            rows.flatten().map(|(y, x)| f(y, x)).collect::<Vec<f64>>()
        };
        let mut planes = map(&|_, x| at(x, w));
        planes.extend(map(&|y, _| at(y, h)));
        let centre = self.config.radius_centre;
        if self.config.radius {
            planes.extend(map(&|y, x| (at(x, w) - centre).hypot(at(y, h) - centre)));
        }
        let count = 2 + usize::from(self.config.radius);
        Tensor::from_vec(planes, [1, count, h, w])?.to_dtype(dtype)
    }
}

impl Layer for CoordConv {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("conv", &self.conv);
    }
}

impl Module for CoordConv {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, H', W']` as the convolution has it.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, c, h, w] = x.dims_array(LAYER)?;
            if c != self.channels {
                let detail = format!("built for {} channels, got {:?}", self.channels, x.shape());
                return Err(Error::shape(LAYER, detail));
            }
            let coordinates = self.coordinates([h, w], x.dtype())?;
            let shape = [n, coordinates.shape()[1], h, w];
            self.conv
                .forward(&Tensor::cat(&[x, &coordinates.expand(shape)?], 1)?)
        })
    }
}
