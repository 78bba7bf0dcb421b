//! The shape of one pooling of regions of interest, checked once.

use crate::geometry::{GeometryError, element_count};

/// More samples of a bin along an axis than anybody needs: a bound for what a call can cost.
const MAX_SAMPLES: usize = 1024;

/// Where the samples of a bin lie. A region from `x1` to `x2` is scaled to the image first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RoiSampling {
    /// Bilinear samples at the centres of equal cells of the bin, averaged (He et al., "Mask R-CNN", 2017). Those more than a pixel
    /// outside the image are zero, those nearer are moved to its edge.
    Align {
        /// Samples of a bin along each axis; with 0, as many as it has pixels, rounded up.
        ratio: usize,
        /// Whether regions are half a pixel further up and left, as their pixels' centres are; otherwise they also have at least
        /// the size of a pixel.
        aligned: bool,
    },
    /// The average of the pixels that the bin touches (Dai et al., "R-FCN", 2016), where the region's corners are rounded to pixels
    /// and, as torchvision has it, neither the pixels of its far edges nor the last of the image belong to it.
    Pixels,
    /// Bilinear samples at the starts of equal cells, averaged over those inside the image (Dai et al., "Deformable Convolutional
    /// Networks", 2017).
    Steps(usize),
}

/// By how much bins are moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoiOffsets {
    /// Classes of output channels that are moved alike.
    pub classes: usize,
    /// Rows and columns of parts of a region that are moved alike.
    pub parts: [usize; 2],
    /// The share of the region's size that an offset of one moves a bin by.
    pub gamma: f64,
}

/// Pooling of regions: `R` boxes of `[N, C * G_h * G_w, H, W]` to `[R, C, P_h, P_w]`.
///
/// With more than one position group each bin reads channels of its own: bin `i` of an axis those of group `i G / P`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoiGeometry {
    input: [usize; 4],
    rois: usize,
    bins: [usize; 2],
    groups: [usize; 2],
    scale: f64,
    sampling: RoiSampling,
    offsets: Option<RoiOffsets>,
}

impl RoiGeometry {
    /// Checks pooling of `rois` regions of an input `[N, C', H, W]`, whose coordinates are multiplied with `scale`, to `bins` rows
    /// and columns of values.
    ///
    /// # Errors
    /// If there are no bins, no groups or more than bins, channels are no multiple of the groups, there are no pixels, the scale is
    /// no positive number, samples are none or more than 1024, classes do not divide the channels, there are no parts or more
    /// than bins, `gamma` is not finite, or a size does not fit the address space.
    pub fn new(
        op: &'static str,
        input: [usize; 4],
        rois: usize,
        bins: [usize; 2],
        scale: f64,
        sampling: RoiSampling,
    ) -> Result<Self, GeometryError> {
        let pair = |field, pair: [usize; 2], rule: &str| {
            Err(GeometryError::new(op, field, format!("{pair:?}"), rule))
        };
        if bins.contains(&0) {
            return pair("output size", bins, "it must be positive");
        }
        if input[2] * input[3] == 0 && rois > 0 {
            return pair("input size", [input[2], input[3]], "it must be positive");
        }
        if !(scale > 0.0 && scale.is_finite()) {
            let rule = "it must be a positive number";
            return Err(GeometryError::new(
                op,
                "spatial scale",
                scale.to_string(),
                rule,
            ));
        }
        let (samples, least) = match sampling {
            RoiSampling::Align { ratio, .. } => (ratio, 0),
            RoiSampling::Pixels => (0, 0),
            RoiSampling::Steps(samples) => (samples, 1),
        };
        if !(least..=MAX_SAMPLES).contains(&samples) {
            let rule = format!("it must be from {least} to {MAX_SAMPLES}");
            return Err(GeometryError::new(
                op,
                "sampling ratio",
                samples.to_string(),
                rule,
            ));
        }
        element_count(op, "input", &input)?;
        element_count(op, "output", &[rois, input[1].max(5), bins[0], bins[1]])?;
        Ok(Self {
            input,
            rois,
            bins,
            groups: [1; 2],
            scale,
            sampling,
            offsets: None,
        })
    }

    /// The same with position groups.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn with_groups(
        mut self,
        op: &'static str,
        groups: [usize; 2],
    ) -> Result<Self, GeometryError> {
        let fits = (0..2).all(|axis| (1..=self.bins[axis]).contains(&groups[axis]));
        if !fits || !self.input[1].is_multiple_of(groups[0] * groups[1]) {
            let rule = format!(
                "it must be positive, at most the output size {:?}, and divide the {} channels",
                self.bins, self.input[1]
            );
            return Err(GeometryError::new(
                op,
                "groups",
                format!("{groups:?}"),
                rule,
            ));
        }
        self.groups = groups;
        Ok(self)
    }

    /// The same with bins that are moved.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn with_offsets(
        mut self,
        op: &'static str,
        offsets: RoiOffsets,
    ) -> Result<Self, GeometryError> {
        let channels = self.channels();
        if offsets.classes == 0 || !channels.is_multiple_of(offsets.classes) {
            let rule = format!("it must divide the {channels} output channels");
            let got = offsets.classes.to_string();
            return Err(GeometryError::new(op, "classes of offsets", got, rule));
        }
        let fits = (0..2).all(|axis| (1..=self.bins[axis]).contains(&offsets.parts[axis]));
        if !fits {
            let rule = format!("it must be positive and at most {:?}", self.bins);
            let got = format!("{:?}", offsets.parts);
            return Err(GeometryError::new(op, "parts", got, rule));
        }
        if !offsets.gamma.is_finite() {
            let got = offsets.gamma.to_string();
            return Err(GeometryError::new(op, "gamma", got, "it must be finite"));
        }
        self.offsets = Some(offsets);
        let [r, per_roi] = self.offset_shape();
        element_count(op, "offset", &[r, per_roi])?;
        Ok(self)
    }

    /// The input's shape `[N, C', H, W]`.
    pub fn input(&self) -> [usize; 4] {
        self.input
    }

    /// The number of regions.
    pub fn rois(&self) -> usize {
        self.rois
    }

    /// The output's shape `[R, C, P_h, P_w]`.
    pub fn output(&self) -> [usize; 4] {
        [self.rois, self.channels(), self.bins[0], self.bins[1]]
    }

    /// Channels of the output.
    pub fn channels(&self) -> usize {
        self.input[1] / (self.groups[0] * self.groups[1])
    }

    /// Rows and columns of position groups.
    pub fn groups(&self) -> [usize; 2] {
        self.groups
    }

    /// The position group that bin `[row, column]` reads.
    pub fn group_of(&self, bin: [usize; 2]) -> usize {
        let axis = |axis: usize| bin[axis] * self.groups[axis] / self.bins[axis];
        axis(0) * self.groups[1] + axis(1)
    }

    /// What coordinates are multiplied with.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Where samples lie.
    pub fn sampling(&self) -> RoiSampling {
        self.sampling
    }

    /// By how much bins are moved.
    pub fn offsets(&self) -> Option<RoiOffsets> {
        self.offsets
    }

    /// The number of regions, and of offsets of each: `[classes, (x, y), rows of parts, columns of parts]`. None if bins are not moved.
    pub fn offset_shape(&self) -> [usize; 2] {
        let per_roi = self
            .offsets
            .map_or(0, |o| 2 * o.classes * o.parts[0] * o.parts[1]);
        [self.rois, per_roi]
    }

    /// Where the offset of a bin for a class stands among those of its region: by x; the one by y follows `parts` later.
    pub(super) fn offset_at(&self, class: usize, bin: [usize; 2]) -> Option<[usize; 2]> {
        let RoiOffsets { parts, .. } = self.offsets?;
        let part = [0, 1].map(|axis| bin[axis] * parts[axis] / self.bins[axis]);
        let count = parts[0] * parts[1];
        let x = 2 * class * count + part[0] * parts[1] + part[1];
        Some([x, x + count])
    }
}
