//! Where the taps of an output pixel lie.

use super::{DeformConv2dGeometry, Inputs};
use crate::array::array;
use crate::real::Real;
use crate::sample::taps::Taps;

/// The sizes that places are computed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// `[h, w]` of the input.
    pub(super) input: [usize; 2],
    /// `[h, w]` of the output.
    pub(super) output: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    before: [usize; 2],
    dilation: [usize; 2],
    /// Taps of all groups of offsets.
    per_pixel: usize,
}

impl Places {
    pub(super) fn new(g: &DeformConv2dGeometry) -> Self {
        let conv = g.conv();
        let [top, _, left, _] = conv.padding();
        Self {
            input: conv.in_size(),
            output: conv.out_size(),
            kernel: conv.kernel(),
            stride: conv.stride(),
            before: [top, left],
            dilation: conv.dilation(),
            per_pixel: g.offset_groups() * conv.taps(),
        }
    }

    /// The input pixels, by rows and by columns, that tap `tap` (counted through all groups of offsets) of output pixel `pixel`
    /// (counted through all images) reads, and the factor of what it reads.
    pub(super) fn around<R: Real>(
        &self,
        inputs: &Inputs<'_, R>,
        pixel: usize,
        tap: usize,
    ) -> ([Taps; 2], f64) {
        let at = pixel * self.per_pixel + tap;
        let mask = inputs.mask.map_or(1.0, |mask| mask[at].to_f64());
        let offset = [inputs.offset[2 * at], inputs.offset[2 * at + 1]];
        let (tap, [h, w]) = (tap % (self.kernel[0] * self.kernel[1]), self.output);
        let taps = [tap / self.kernel[1], tap % self.kernel[1]];
        let pixel = [pixel / w % h, pixel % w];
        let around = array(|axis: usize| {
            let start = pixel[axis] * self.stride[axis] + taps[axis] * self.dilation[axis];
            let place = start as f64 - self.before[axis] as f64 + offset[axis].to_f64();
            Taps::linear(place, self.input[axis] as f64, 1.0)
        });
        (around, mask)
    }
}
