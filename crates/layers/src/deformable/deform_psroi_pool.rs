//! Deformable position-sensitive pooling of regions: bins that read channels of their own and are moved by translations.
//!
//! `y[r, c, i, j] = mean of x[(c G + i G / P) G + j G / P]` over `s x s` samples from the start of bin `i, j` of region `r` on,
//! moved by `trans_std` times the region's size times the translation of the bin's part; samples outside do not count.
//!
//! Paper: Dai et al., *Deformable Convolutional Networks*, ICCV 2017, arXiv:1703.06211, section 2.2.
//! Departures: none from the authors' operator.
//! Parameters: none; a convolution or a linear layer before it produces the translations.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Result, RoiOptions, Tensor};

use crate::util::{at_least_one, invalid};
use crate::{Layer, VarBuilder, Visitor};

const LAYER: &str = "DeformPsRoiPool";

/// How to build a [`DeformPsRoiPool`].
#[derive(Clone, Debug)]
pub struct DeformPsRoiPoolConfig {
    /// Channels of the output.
    pub output_dim: usize,
    /// Rows and columns of position groups (`G`).
    pub group_size: usize,
    /// Rows and columns of bins (`P`).
    pub output_size: usize,
    /// Rows and columns of parts of a region that move alike.
    pub part_size: usize,
    /// Samples of a bin along each axis (`s`).
    pub sample_per_part: usize,
    /// What the coordinates of regions are multiplied with.
    pub spatial_scale: f64,
    /// The share of the region's size that a translation of 1 moves a bin by.
    pub trans_std: f64,
    /// Whether no bin is moved, and there is no input of translations.
    pub no_trans: bool,
}

impl DeformPsRoiPoolConfig {
    /// As many groups and parts as bins, 4 samples, scale 1, translations by a tenth of the region.
    #[must_use]
    pub fn new(output_dim: usize, output_size: usize) -> Self {
        Self {
            output_dim,
            group_size: output_size,
            output_size,
            part_size: output_size,
            sample_per_part: 4,
            spatial_scale: 1.0,
            trans_std: 0.1,
            no_trans: false,
        }
    }

    /// Sets the rows and columns of position groups.
    #[must_use]
    pub fn group_size(mut self, group_size: usize) -> Self {
        self.group_size = group_size;
        self
    }

    /// Sets the rows and columns of parts that move alike.
    #[must_use]
    pub fn part_size(mut self, part_size: usize) -> Self {
        self.part_size = part_size;
        self
    }

    /// Sets the samples of a bin along each axis.
    #[must_use]
    pub fn sample_per_part(mut self, samples: usize) -> Self {
        self.sample_per_part = samples;
        self
    }

    /// Sets what the coordinates of regions are multiplied with.
    #[must_use]
    pub fn spatial_scale(mut self, spatial_scale: f64) -> Self {
        self.spatial_scale = spatial_scale;
        self
    }

    /// Sets the share of the region's size that a translation of 1 moves a bin by.
    #[must_use]
    pub fn trans_std(mut self, trans_std: f64) -> Self {
        self.trans_std = trans_std;
        self
    }

    /// Leaves all bins where they are.
    #[must_use]
    pub fn no_trans(mut self, no_trans: bool) -> Self {
        self.no_trans = no_trans;
        self
    }

    fn options(&self) -> RoiOptions {
        RoiOptions::new(self.output_size).spatial_scale(self.spatial_scale)
    }

    fn check(&self) -> Result<()> {
        at_least_one(LAYER, "output_dim", self.output_dim)?;
        at_least_one(LAYER, "sample_per_part", self.sample_per_part)?;
        for (field, value) in [
            ("group_size", self.group_size),
            ("part_size", self.part_size),
        ] {
            if !(1..=self.output_size).contains(&value) {
                let rule = format!("it must be from 1 to the {} bins", self.output_size);
                return Err(invalid(LAYER, field, value, rule));
            }
        }
        self.options().check(LAYER)?;
        if !self.trans_std.is_finite() {
            let rule = "it must be finite";
            return Err(invalid(LAYER, "trans_std", self.trans_std, rule));
        }
        Ok(())
    }

    /// Builds the layer at the path of `vb`.
    ///
    /// # Errors
    /// A size is 0, there are more groups or parts than bins, or a number is not finite.
    pub fn build(&self, vb: &VarBuilder) -> Result<DeformPsRoiPool> {
        self.check().map_err(|e| e.at(vb.path()))?;
        Ok(DeformPsRoiPool {
            path: Arc::clone(vb.path()),
            config: self.clone(),
        })
    }
}

/// The pooling.
#[derive(Clone, Debug)]
pub struct DeformPsRoiPool {
    path: Arc<str>,
    config: DeformPsRoiPoolConfig,
}

impl DeformPsRoiPool {
    /// The bins of the regions `rois` of `x`, moved by `trans`.
    ///
    /// # Shapes
    /// `[N, output_dim G G, H, W]`, regions `[R, 5]` and translations `[R, 2 K, parts, parts]`, by x before by y for each of
    /// `K` classes of channels, to `[R, output_dim, P, P]`.
    ///
    /// # Errors
    /// The shapes are not these, translations are there with `no_trans` or not without it, or a region is of no image.
    pub fn forward(&self, x: &Tensor, rois: &Tensor, trans: Option<&Tensor>) -> Result<Tensor> {
        let c = &self.config;
        scope(&self.path, || {
            let [_, channels, _, _] = x.dims_array(LAYER)?;
            if channels != c.output_dim * c.group_size * c.group_size {
                let detail = format!(
                    "{} channels of {} x {} groups need an input of their product, got shape {:?}",
                    c.output_dim,
                    c.group_size,
                    c.group_size,
                    x.shape()
                );
                return Err(Error::shape(LAYER, detail));
            }
            let parts = [c.part_size; 2];
            match trans {
                Some(_) if c.no_trans => {
                    return Err(Error::msg(format!(
                        "{LAYER}: no_trans leaves no use for translations"
                    )));
                }
                None if !c.no_trans => {
                    return Err(Error::msg(format!("{LAYER}: translations are missing")));
                }
                Some(trans) if trans.shape().get(2..) != Some(&parts[..]) => {
                    let detail = format!(
                        "translations have the shape [R, 2 K, {0}, {0}], not {1:?}",
                        c.part_size,
                        trans.shape()
                    );
                    return Err(Error::shape(LAYER, detail));
                }
                _ => {}
            }
            let (group, samples) = (c.group_size, c.sample_per_part);
            x.deform_ps_roi_pool(
                &rois.detach(),
                trans,
                c.trans_std,
                group,
                samples,
                c.options(),
            )
        })
    }
}

impl Layer for DeformPsRoiPool {
    fn visit(&self, _: &mut dyn Visitor) {}
}
