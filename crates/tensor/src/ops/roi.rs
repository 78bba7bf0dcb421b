//! Pooling of regions of interest.

use striate_kernels::real::Real;
use striate_kernels::roi::{self, Inputs, RoiGeometry, RoiOffsets, RoiSampling};
use striate_simd::Buffer;

use super::spatial::{Pair, channels_last_image};
use super::{check_float, check_same_dtype};
use crate::autograd::{
    Description, Function, VariadicFunction, apply, apply_variadic, gradients, is_grad_enabled,
};
use crate::dtype::match_float;
use crate::{Element, Error, MemoryFormat, Result, Tensor, current_level};

/// How regions become bins. The defaults are torchvision's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoiOptions {
    output_size: [usize; 2],
    spatial_scale: f64,
    sampling_ratio: usize,
    aligned: bool,
}

impl RoiOptions {
    /// Rows and columns of bins, of regions in pixels of the image.
    pub fn new(output_size: impl Into<Pair>) -> Self {
        Self {
            output_size: output_size.into().0,
            spatial_scale: 1.0,
            sampling_ratio: 0,
            aligned: false,
        }
    }

    /// What the coordinates of regions are multiplied with.
    #[must_use]
    pub fn spatial_scale(mut self, spatial_scale: f64) -> Self {
        self.spatial_scale = spatial_scale;
        self
    }

    /// Samples of a bin along each axis; 0, the default, stands for as many as it has pixels.
    #[must_use]
    pub fn sampling_ratio(mut self, sampling_ratio: usize) -> Self {
        self.sampling_ratio = sampling_ratio;
        self
    }

    /// Whether regions are moved by half a pixel, to the centres of pixels; false by default.
    #[must_use]
    pub fn aligned(mut self, aligned: bool) -> Self {
        self.aligned = aligned;
        self
    }

    /// Checks the options by themselves, for a layer `op` that is made of them.
    ///
    /// # Errors
    /// There are no bins, the scale is no positive number, or there are more than 1024 samples.
    pub fn check(self, op: &'static str) -> Result<()> {
        let sampling = self.align(self.aligned);
        let (bins, scale) = (self.output_size, self.spatial_scale);
        RoiGeometry::new(op, [0, 0, 1, 1], 0, bins, scale, sampling)?;
        Ok(())
    }

    fn geometry(
        self,
        op: &'static str,
        x: &Tensor,
        rois: usize,
        sampling: RoiSampling,
    ) -> Result<RoiGeometry> {
        let (bins, scale) = (self.output_size, self.spatial_scale);
        Ok(RoiGeometry::new(
            op,
            x.dims_array(op)?,
            rois,
            bins,
            scale,
            sampling,
        )?)
    }

    fn align(self, aligned: bool) -> RoiSampling {
        RoiSampling::Align {
            ratio: self.sampling_ratio,
            aligned,
        }
    }
}

impl Tensor {
    /// The averages of bilinear samples of the bins of regions (He et al., "Mask R-CNN", 2017).
    ///
    /// # Shapes
    /// `[N, C, H, W]` and regions `[R, 5]` of `(image, x1, y1, x2, y2)` to `[R, C, P_h, P_w]`.
    ///
    /// # Errors
    /// The shapes are not these, an option has no meaning, a region is of no image or tracks gradients, the types differ or
    /// are not float, or memory is out.
    pub fn roi_align(&self, rois: &Self, options: RoiOptions) -> Result<Self> {
        let sampling = options.align(options.aligned);
        pool("roi_align", self, rois, options, sampling, [1; 2], None)
    }

    /// The largest pixels of the bins of regions, whose corners are rounded to pixels (Girshick, "Fast R-CNN", 2015). Of equal
    /// ones, the first in row-major order gets the gradient. Samples and alignment of the options do not matter.
    ///
    /// # Shapes
    /// As [`roi_align`](Self::roi_align).
    ///
    /// # Errors
    /// As [`roi_align`](Self::roi_align).
    pub fn roi_pool(&self, rois: &Self, options: RoiOptions) -> Result<Self> {
        const OP: &str = "roi_pool";
        let count = check_rois(OP, self, rois)?;
        let geometry = options.geometry(OP, self, count, RoiSampling::Pixels)?;
        apply(
            RoiMax { geometry },
            [&self.channels_last()?, &rois.contiguous()?],
        )
    }

    /// [`roi_align`](Self::roi_align), aligned, with channels of its own for each bin: bin `i, j` of channel `c` reads channel
    /// `(c P_h + i) P_w + j` (Dai et al., "R-FCN", 2016).
    ///
    /// # Shapes
    /// `[N, C P_h P_w, H, W]` and regions `[R, 5]` to `[R, C, P_h, P_w]`.
    ///
    /// # Errors
    /// As [`roi_align`](Self::roi_align).
    pub fn ps_roi_align(&self, rois: &Self, options: RoiOptions) -> Result<Self> {
        let (bins, sampling) = (options.output_size, options.align(true));
        pool("ps_roi_align", self, rois, options, sampling, bins, None)
    }

    /// The averages of the pixels of the bins of regions, with channels of its own for each bin as in
    /// [`ps_roi_align`](Self::ps_roi_align) (Dai et al., "R-FCN", 2016). Samples and alignment of the options do not matter.
    ///
    /// # Shapes
    /// `[N, C P_h P_w, H, W]` and regions `[R, 5]` to `[R, C, P_h, P_w]`.
    ///
    /// # Errors
    /// As [`roi_align`](Self::roi_align).
    pub fn ps_roi_pool(&self, rois: &Self, options: RoiOptions) -> Result<Self> {
        let (bins, sampling) = (options.output_size, RoiSampling::Pixels);
        pool("ps_roi_pool", self, rois, options, sampling, bins, None)
    }

    /// [`roi_align`](Self::roi_align), aligned, whose bins are moved by `gamma` times the region's size times an offset (Dai et al.,
    /// "Deformable Convolutional Networks", 2017).
    ///
    /// # Shapes
    /// `[N, C, H, W]`, regions `[R, 5]` and offsets `[R, 2, P_h, P_w]`, by x before by y, to `[R, C, P_h, P_w]`.
    ///
    /// # Errors
    /// As [`roi_align`](Self::roi_align), or `gamma` is not finite.
    pub fn deform_roi_pool(
        &self,
        rois: &Self,
        offset: &Self,
        gamma: f64,
        options: RoiOptions,
    ) -> Result<Self> {
        let sampling = options.align(true);
        let offsets = RoiOffsets {
            classes: 1,
            parts: options.output_size,
            gamma,
        };
        let moved = Some((offset, offsets));
        pool(
            "deform_roi_pool",
            self,
            rois,
            options,
            sampling,
            [1; 2],
            moved,
        )
    }

    /// Position-sensitive pooling whose bins are moved, as R-FCN with deformable convolutions has it (Dai et al., "Deformable Convolutional
    /// Networks", 2017): the averages of `samples` samples along each axis from the start of a bin on, of those inside the image.
    /// Bin `i, j` of channel `c` reads channel `(c G + i G / P_h) G + j G / P_w`. Samples and alignment of the options do not
    /// matter.
    ///
    /// # Shapes
    /// `[N, C G G, H, W]`, regions `[R, 5]` and, if bins move, offsets `[R, 2 K, parts, parts]`, by x before by y for each of `K`
    /// classes of channels, to `[R, C, P_h, P_w]`.
    ///
    /// # Errors
    /// As [`roi_align`](Self::roi_align), or `gamma` is not finite.
    pub fn deform_ps_roi_pool(
        &self,
        rois: &Self,
        offset: Option<&Self>,
        gamma: f64,
        group_size: usize,
        samples: usize,
        options: RoiOptions,
    ) -> Result<Self> {
        let op = "deform_ps_roi_pool";
        let moved = match offset {
            None => None,
            Some(offset) => match offset.dims_array(op)? {
                [_, planes, h, w] if planes % 2 == 0 => {
                    let (classes, parts) = (planes / 2, [h, w]);
                    let offsets = RoiOffsets {
                        classes,
                        parts,
                        gamma,
                    };
                    Some((offset, offsets))
                }
                shape => {
                    let detail = format!("offsets have an x and a y for each class, got {shape:?}");
                    return Err(Error::shape(op, detail));
                }
            },
        };
        let (sampling, groups) = (RoiSampling::Steps(samples), [group_size; 2]);
        pool(op, self, rois, options, sampling, groups, moved)
    }
}

/// Checks the regions of `x` and returns their number.
fn check_rois(op: &'static str, x: &Tensor, rois: &Tensor) -> Result<usize> {
    check_float(op, x)?;
    check_same_dtype(op, x, rois)?;
    let &[count, 5] = rois.shape() else {
        let detail = format!(
            "regions have the shape [R, 5], not {:?}: image, x1, y1, x2, y2",
            rois.shape()
        );
        return Err(Error::shape(op, detail));
    };
    if rois.tracks_grad() && is_grad_enabled() {
        return Err(Error::msg(format!(
            "{op}: regions get no gradient: detach them"
        )));
    }
    Ok(count)
}

/// Checks the operands and pools with `groups` position groups and bins that are perhaps moved.
fn pool(
    op: &'static str,
    x: &Tensor,
    rois: &Tensor,
    options: RoiOptions,
    sampling: RoiSampling,
    groups: [usize; 2],
    moved: Option<(&Tensor, RoiOffsets)>,
) -> Result<Tensor> {
    let offset = moved.map(|(offset, _)| offset);
    let count = check_rois(op, x, rois)?;
    if let Some(offset) = offset {
        check_same_dtype(op, x, offset)?;
    }
    let geometry = options.geometry(op, x, count, sampling)?;
    let mut geometry = geometry.with_groups(op, groups)?;
    if let Some((offset, offsets)) = moved {
        geometry = geometry.with_offsets(op, offsets)?;
        let expected = [
            count,
            2 * offsets.classes,
            offsets.parts[0],
            offsets.parts[1],
        ];
        if offset.shape() != expected {
            let detail = format!(
                "offsets must have the shape {expected:?}, got {:?}",
                offset.shape()
            );
            return Err(Error::shape(op, detail));
        }
    }
    let x = by_groups(x, groups)?.channels_last()?;
    let offset = offset.map(Tensor::contiguous).transpose()?;
    let rois = rois.contiguous()?;
    let inputs = [Some(&x), Some(&rois), offset.as_ref()];
    let inputs: Vec<&Tensor> = inputs.into_iter().flatten().collect();
    apply_variadic(RoiPool { op, geometry }, &inputs)
}

/// `[N, C G, H, W]` with the channels of a position group side by side, as the kernels read them.
fn by_groups(x: &Tensor, groups: [usize; 2]) -> Result<Tensor> {
    let [n, channels, h, w] = x.dims4()?;
    let count = groups[0] * groups[1];
    if count == 1 {
        return Ok(x.clone());
    }
    let planes = x.reshape([n, channels / count, count, h, w])?;
    planes.transpose(1, 2)?.reshape([n, channels, h, w])
}

#[derive(Debug)]
struct RoiPool {
    op: &'static str,
    geometry: RoiGeometry,
}

/// The regions and offsets as the kernels read them.
fn places<T: Element>(inputs: &[Tensor]) -> Result<Inputs<'_, T>> {
    let [_, rois, offset @ ..] = inputs else {
        return Err(Error::msg("an input and regions are needed"));
    };
    let offsets = offset.first().map(Tensor::memory).transpose()?;
    Ok(Inputs {
        rois: rois.memory()?,
        offsets: offsets.unwrap_or_default(),
    })
}

impl VariadicFunction for RoiPool {
    type Saved = Vec<Tensor>;

    fn describe(&self) -> Description {
        let [_, _, h, w] = self.geometry.output();
        Description::new(self.op)
            .with("output_size", [h, w])
            .with("spatial_scale", self.geometry.scale())
            .with("sampling", self.geometry.sampling())
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<(Tensor, Vec<Tensor>)> {
        let (g, level, x) = (&self.geometry, current_level()?, &inputs[0]);
        let y = match_float!(self.op, x.dtype(), T => {
            channels_last_image::<T>(g.output(), |y| {
                Ok(roi::forward(level, g, &places(inputs)?, x.memory()?, y)?)
            })?
        });
        Ok((y, inputs.to_vec()))
    }

    fn backward(
        &self,
        saved: &Vec<Tensor>,
        dy: &Tensor,
        needs: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let (op, dy) = (self.op, dy.channels_last()?);
        gradients(
            needs,
            |input| match_float!(op, dy.dtype(), T => self.gradient::<T>(saved, &dy, input)),
        )
    }
}

impl RoiPool {
    /// The gradient of the image (0) or the offsets (2).
    fn gradient<T: Element + Real>(
        &self,
        inputs: &[Tensor],
        dy: &Tensor,
        input: usize,
    ) -> Result<Tensor> {
        let (g, level, places) = (&self.geometry, current_level()?, places::<T>(inputs)?);
        if input == 0 {
            return channels_last_image(g.input(), |dx| {
                Ok(roi::backward_input(level, g, &places, dy.memory()?, dx)?)
            });
        }
        let (x, offset) = (inputs[0].memory()?, &inputs[2]);
        let mut doffset = Buffer::recycled(offset.numel())?;
        roi::backward_offsets(level, g, &places, x, dy.memory()?, &mut doffset)?;
        Tensor::from_buffer(doffset, offset.shape(), MemoryFormat::RowMajor)
    }
}

#[derive(Debug)]
struct RoiMax {
    geometry: RoiGeometry,
}

impl Function<2> for RoiMax {
    /// The image and the regions.
    type Saved = [Tensor; 2];

    fn describe(&self) -> Description {
        let [_, _, h, w] = self.geometry.output();
        Description::new("roi_pool")
            .with("output_size", [h, w])
            .with("spatial_scale", self.geometry.scale())
    }

    fn forward(&self, [x, rois]: [&Tensor; 2]) -> Result<(Tensor, [Tensor; 2])> {
        let (g, level) = (&self.geometry, current_level()?);
        let y = match_float!("roi_pool", x.dtype(), T => {
            channels_last_image::<T>(g.output(), |y| {
                Ok(roi::largest(level, g, rois.memory()?, x.memory()?, y)?)
            })?
        });
        Ok((y, [x.clone(), rois.clone()]))
    }

    fn backward(
        &self,
        [x, rois]: &[Tensor; 2],
        dy: &Tensor,
        _: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let (g, level, dy) = (&self.geometry, current_level()?, dy.channels_last()?);
        let dx = match_float!("roi_pool", dy.dtype(), T => {
            channels_last_image::<T>(g.input(), |dx| {
                let (rois, x, dy) = (rois.memory()?, x.memory()?, dy.memory()?);
                Ok(roi::largest_backward(level, g, rois, x, dy, dx)?)
            })?
        });
        Ok([Some(dx), None])
    }
}
