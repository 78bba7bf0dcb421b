//! Deformable pooling of regions: RoIAlign whose bins are moved by offsets that a small network reads from the region.
//!
//! `y = pool(x, r, d) * m`, `d = offset_fc(v)`, `m = sigmoid(mask_fc(v))`, `v = pool(x, r, 0)`: a bin moves by `gamma` times the
//! region's size times its offset. The first version has no mask `m`.
//!
//! Papers: Dai et al., *Deformable Convolutional Networks*, ICCV 2017, arXiv:1703.06211, section 2.2; Zhu et al., *Deformable
//! ConvNets v2*, CVPR 2019, arXiv:1811.11168 (mask).
//! Departures: where a sample is moved to the edge of the map, its offset has no gradient, which is the true derivative.
//! Parameters, with `V = C*P*P` values and `F` features: three layers `V*F + F*F + 2*F + F*2*P*P + 2*P*P`; a single one
//! `V*2*P*P + 2*P*P`; a mask `V*F + F + F*P*P + P*P`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Result, RoiOptions, Tensor};

use crate::probe::{self, ProbeKind};
use crate::util::{at_least_one, invalid};
use crate::{Activation, Init, Layer, LinearConfig, Module, Sequential, VarBuilder, Visitor};

const LAYER: &str = "DeformRoiPool";

/// Where offsets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetHead {
    /// They are an input.
    Given,
    /// One linear layer: the authors' Faster R-CNN, at a hundredth of the learning rate.
    Single,
    /// Three linear layers with this many features between them: mmcv.
    ThreeLayer(usize),
}

/// How to build a [`DeformRoiPool`].
#[derive(Clone, Debug)]
pub struct DeformRoiPoolConfig {
    /// Channels of the map.
    pub channels: usize,
    /// Rows and columns of bins (`P`).
    pub output_size: usize,
    /// What the coordinates of regions are multiplied with.
    pub spatial_scale: f64,
    /// Samples of a bin along each axis; 0 for as many as it has pixels.
    pub sampling_ratio: usize,
    /// The share of the region's size that an offset of 1 moves a bin by.
    pub gamma: f64,
    /// Where offsets come from.
    pub offset_head: OffsetHead,
    /// Features of the mask's network; `None` for no mask.
    pub mask_features: Option<usize>,
}

impl DeformRoiPoolConfig {
    /// The first version: 7x7 bins, three layers with 1024 features, offsets of a tenth of the region.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            output_size: 7,
            spatial_scale: 1.0,
            sampling_ratio: 0,
            gamma: 0.1,
            offset_head: OffsetHead::ThreeLayer(1024),
            mask_features: None,
        }
    }

    /// The second version: as [`DeformRoiPoolConfig::new`], with a mask from 1024 features.
    #[must_use]
    pub fn modulated(channels: usize) -> Self {
        Self {
            mask_features: Some(1024),
            ..Self::new(channels)
        }
    }

    /// Sets the rows and columns of bins.
    #[must_use]
    pub fn output_size(mut self, output_size: usize) -> Self {
        self.output_size = output_size;
        self
    }

    /// Sets what the coordinates of regions are multiplied with.
    #[must_use]
    pub fn spatial_scale(mut self, spatial_scale: f64) -> Self {
        self.spatial_scale = spatial_scale;
        self
    }

    /// Sets the samples of a bin along each axis; 0 for as many as it has pixels.
    #[must_use]
    pub fn sampling_ratio(mut self, sampling_ratio: usize) -> Self {
        self.sampling_ratio = sampling_ratio;
        self
    }

    /// Sets the share of the region's size that an offset of 1 moves a bin by.
    #[must_use]
    pub fn gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }

    /// Sets where offsets come from.
    #[must_use]
    pub fn offset_head(mut self, head: OffsetHead) -> Self {
        self.offset_head = head;
        self
    }

    /// Sets the features of the mask's network; `None` for no mask.
    #[must_use]
    pub fn mask_features(mut self, features: Option<usize>) -> Self {
        self.mask_features = features;
        self
    }

    fn options(&self) -> RoiOptions {
        RoiOptions::new(self.output_size)
            .spatial_scale(self.spatial_scale)
            .sampling_ratio(self.sampling_ratio)
    }

    fn check(&self) -> Result<()> {
        at_least_one(LAYER, "channels", self.channels)?;
        at_least_one(LAYER, "output_size", self.output_size)?;
        if let OffsetHead::ThreeLayer(features) = self.offset_head {
            at_least_one(LAYER, "offset features", features)?;
        }
        if let Some(features) = self.mask_features {
            at_least_one(LAYER, "mask features", features)?;
        }
        self.options().check(LAYER)?;
        if !self.gamma.is_finite() {
            return Err(invalid(LAYER, "gamma", self.gamma, "it must be finite"));
        }
        Ok(())
    }

    /// Builds the module under mmcv's names: `offset_fc.{0,2,4}`, or `offset_fc.0` alone, and `mask_fc.{0,2}`. The last layer of
    /// each starts as zero: no bin is moved, and a mask is 1/2.
    ///
    /// # Errors
    /// A size is 0, a number is not finite, or the scale is not positive.
    pub fn build(&self, vb: &VarBuilder) -> Result<DeformRoiPool> {
        self.check().map_err(|e| e.at(vb.path()))?;
        let cells = self.output_size * self.output_size;
        let values = self.channels * cells;
        let head = |widths: &[usize], name| head(values, widths, &(vb / name)).map(Some);
        let offset_fc = match self.offset_head {
            OffsetHead::Given => None,
            OffsetHead::Single => head(&[2 * cells], "offset_fc")?,
            OffsetHead::ThreeLayer(width) => head(&[width, width, 2 * cells], "offset_fc")?,
        };
        let mask_fc = match self.mask_features {
            None => None,
            Some(width) => head(&[width, cells], "mask_fc")?,
        };
        Ok(DeformRoiPool {
            path: Arc::clone(vb.path()),
            offset_fc,
            mask_fc,
            config: self.clone(),
        })
    }
}

/// Linear layers of those widths with ReLUs between them, the last of which starts as zero.
fn head(features: usize, widths: &[usize], vb: &VarBuilder) -> Result<Sequential> {
    let (mut head, mut features) = (Sequential::new(), features);
    for (i, &width) in widths.iter().enumerate() {
        let (layer, vb) = (LinearConfig::new(features, width), vb / (2 * i));
        if i + 1 < widths.len() {
            head = head.push(layer.build(&vb)?).push(Activation::Relu);
        } else {
            let layer = layer.init(Init::ZEROS).bias_init(Init::ZEROS);
            head = head.push(layer.build(&vb)?);
        }
        features = width;
    }
    Ok(head)
}

/// The pooling. Emits its mask as [`ProbeKind::SpatialMap`], an image a region.
#[derive(Debug)]
pub struct DeformRoiPool {
    path: Arc<str>,
    offset_fc: Option<Sequential>,
    mask_fc: Option<Sequential>,
    config: DeformRoiPoolConfig,
}

impl DeformRoiPool {
    /// The bins of the regions `rois` of `x`; `offset` moves them if there is no network for that.
    ///
    /// # Shapes
    /// `[N, C, H, W]`, regions `[R, 5]` of `(image, x1, y1, x2, y2)` and offsets `[R, 2, P, P]`, by x before by y, to
    /// `[R, C, P, P]`. Regions get no gradient.
    ///
    /// # Errors
    /// The shapes are not these, offsets are there beside a network or not without it, or a region is of no image.
    pub fn forward(&self, x: &Tensor, rois: &Tensor, offset: Option<&Tensor>) -> Result<Tensor> {
        scope(&self.path, || {
            let rois = &rois.detach();
            let [_, channels, _, _] = x.dims_array(LAYER)?;
            if channels != self.config.channels {
                let detail = format!(
                    "expected {} channels, got shape {:?}",
                    self.config.channels,
                    x.shape()
                );
                return Err(Error::shape(LAYER, detail));
            }
            let values = match (&self.offset_fc, &self.mask_fc) {
                (None, None) => None,
                _ => Some(
                    x.roi_align(rois, self.config.options().aligned(true))?
                        .flatten(1, 3)?,
                ),
            };
            let run = |head: &Option<Sequential>| match (head, &values) {
                (Some(head), Some(values)) => head.forward(values).map(Some),
                _ => Ok(None),
            };
            let p = self.config.output_size;
            let count = rois.shape().first().copied().unwrap_or(0);
            let offset = match (run(&self.offset_fc)?, offset) {
                (Some(own), None) => own.reshape([count, 2, p, p])?,
                (None, Some(given)) => given.clone(),
                (Some(_), Some(_)) => {
                    return Err(Error::msg(format!("{LAYER}: it makes offsets itself")));
                }
                (None, None) => return Err(Error::msg(format!("{LAYER}: offsets are missing"))),
            };
            let y = x.deform_roi_pool(rois, &offset, self.config.gamma, self.config.options())?;
            match run(&self.mask_fc)? {
                None => Ok(y),
                Some(logits) => {
                    let mask = logits.sigmoid()?.reshape([count, 1, p, p])?;
                    probe::emit(&self.path, ProbeKind::SpatialMap, &mask);
                    y.mul(&mask)
                }
            }
        })
    }
}

impl Layer for DeformRoiPool {
    fn visit(&self, v: &mut dyn Visitor) {
        if let Some(head) = &self.offset_fc {
            v.child("offset_fc", head);
        }
        if let Some(head) = &self.mask_fc {
            v.child("mask_fc", head);
        }
    }
}
