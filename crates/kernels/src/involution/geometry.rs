//! The windows of an involution.

use crate::conv2d::Conv2dGeometry;
use crate::geometry::{GeometryError, element_count};
use std::ops::Range;

const OP: &str = "involution";

/// A convolution's windows over an image, and the number of groups of channels that share a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvolutionGeometry {
    windows: Conv2dGeometry,
    groups: usize,
}

/// A tap that takes part in a sum: where its weight for the first group lies, and the first channel of its pixel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub(super) weight: usize,
    pub(super) pixel: usize,
}

impl InvolutionGeometry {
    /// `windows` is a depthwise convolution: as many groups, inputs and outputs as channels.
    ///
    /// # Errors
    /// If it is another convolution, `groups` does not divide the channels, or the kernels exceed the address space.
    pub fn new(windows: Conv2dGeometry, groups: usize) -> Result<Self, GeometryError> {
        let channels = windows.in_channels();
        let each = [windows.out_channels(), windows.groups()];
        if each != [channels; 2] {
            let rule = format!("there must be as many as the {channels} channels");
            return Err(GeometryError::new(OP, "windows", format!("{each:?}"), rule));
        }
        if groups == 0 || !channels.is_multiple_of(groups) {
            let rule = format!("it must divide the {channels} channels");
            return Err(GeometryError::new(OP, "groups", groups.to_string(), rule));
        }
        let geometry = Self { windows, groups };
        element_count(OP, "weight", &geometry.weight_shape())?;
        Ok(geometry)
    }

    /// The windows.
    pub fn windows(&self) -> &Conv2dGeometry {
        &self.windows
    }

    /// Number of groups of channels that share a kernel.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Logical shape of the kernels: `[N, groups * taps, OH, OW]`.
    pub fn weight_shape(&self) -> [usize; 4] {
        let [n, _, oh, ow] = self.windows.y_shape();
        [n, self.weights(), oh, ow]
    }

    /// Elements of the kernels.
    pub fn weight_len(&self) -> usize {
        self.weight_shape().iter().product()
    }

    /// Weights of one output pixel.
    pub(super) fn weights(&self) -> usize {
        self.groups * self.windows.taps()
    }

    /// Channels that share a kernel.
    pub(super) fn group_channels(&self) -> usize {
        self.windows.in_channels() / self.groups
    }

    /// The terms of an output pixel, whose number counts over all images: its taps inside of the image.
    pub(super) fn terms_of_output(&self, pixel: usize, terms: &mut Vec<Term>) {
        let (g, [_, kw]) = (&self.windows, self.windows.kernel());
        let ([oh, ow], [h, w]) = (g.out_size(), g.in_size());
        let (image, oy, ox) = (pixel / (oh * ow), pixel / ow % oh, pixel % ow);
        terms.clear();
        let columns = self.taps_inside(1, ox);
        for ky in self.taps_inside(0, oy) {
            let y = oy * g.stride()[0] + ky * g.dilation()[0] - g.padding()[0];
            terms.extend(columns.clone().map(|kx| {
                let x = ox * g.stride()[1] + kx * g.dilation()[1] - g.padding()[2];
                Term {
                    weight: pixel * self.weights() + ky * kw + kx,
                    pixel: ((image * h + y) * w + x) * g.in_channels(),
                }
            }));
        }
    }

    /// The taps along an axis at which an output reads the image.
    fn taps_inside(&self, axis: usize, out: usize) -> Range<usize> {
        let g = &self.windows;
        let (at, dilation) = (out * g.stride()[axis], g.dilation()[axis]);
        let before = g.padding()[2 * axis];
        let start = before.saturating_sub(at).div_ceil(dilation);
        let end = (g.in_size()[axis] + before)
            .saturating_sub(at)
            .div_ceil(dilation);
        let end = end.min(g.kernel()[axis]);
        start.min(end)..end
    }

    /// The terms of the gradient of an input pixel: the output pixels that read it, each with the tap that does.
    pub(super) fn terms_of_input(&self, pixel: usize, terms: &mut Vec<Term>) {
        let (g, [kh, kw]) = (&self.windows, self.windows.kernel());
        let ([oh, ow], [h, w]) = (g.out_size(), g.in_size());
        let (image, y, x) = (pixel / (h * w), pixel / w % h, pixel % w);
        let out = |axis: usize, at: usize, tap: usize| {
            let at = (at + g.padding()[2 * axis]).checked_sub(tap * g.dilation()[axis])?;
            let stride = g.stride()[axis];
            (at % stride == 0 && at / stride < g.out_size()[axis]).then_some(at / stride)
        };
        terms.clear();
        for (ky, oy) in (0..kh).filter_map(|tap| Some((tap, out(0, y, tap)?))) {
            for (kx, ox) in (0..kw).filter_map(|tap| Some((tap, out(1, x, tap)?))) {
                let reader = (image * oh + oy) * ow + ox;
                terms.push(Term {
                    weight: reader * self.weights() + ky * kw + kx,
                    pixel: reader * g.in_channels(),
                });
            }
        }
    }
}
