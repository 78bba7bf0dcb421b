//! Where the taps of an output pixel lie.

use super::{DeformBorder, DeformConv2dGeometry, Inputs};
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
    border: DeformBorder,
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
            border: g.border(),
        }
    }

    /// Where the first tap of output pixel `pixel` (counted through all images) lies without an offset.
    #[inline(always)]
    pub(super) fn corner(&self, pixel: usize) -> [f64; 2] {
        let [h, w] = self.output;
        let pixel = [pixel / w % h, pixel % w];
        array(
            #[inline(always)]
            |axis| (pixel[axis] * self.stride[axis]) as f64 - self.before[axis] as f64,
        )
    }

    /// How far from the first tap each tap lies without an offset.
    pub(super) fn reach(&self) -> impl Iterator<Item = [f64; 2]> + use<> {
        let ([kh, kw], [down, right]) = (self.kernel, self.dilation);
        (0..kh * kw).map(move |tap| [(tap / kw * down) as f64, (tap % kw * right) as f64])
    }

    /// The offset of tap `tap` (counted through all groups of offsets) of output pixel `pixel`, and the factor of what it reads.
    #[inline(always)]
    pub(super) fn moved<R: Real>(
        &self,
        inputs: &Inputs<'_, R>,
        pixel: usize,
        tap: usize,
    ) -> ([f64; 2], f64) {
        let at = pixel * self.per_pixel + tap;
        let offset = &inputs.offset[2 * at..2 * at + 2];
        let mask = match inputs.mask {
            Some(mask) => mask[at].to_f64(),
            None => 1.0,
        };
        ([offset[0].to_f64(), offset[1].to_f64()], mask)
    }

    /// The pixels around a place, by rows and by columns.
    pub(super) fn taps(&self, place: [f64; 2]) -> [Taps; 2] {
        array(|axis: usize| {
            let (place, size) = (place[axis], self.input[axis] as f64);
            match self.border {
                DeformBorder::Legacy if !(0.0..size).contains(&place) => Taps::default(),
                DeformBorder::Legacy if place > size - 1.0 => Taps::linear(size - 1.0, size, 0.0),
                _ => Taps::linear(place, size, 1.0),
            }
        })
    }

    /// The input pixels, by rows and by columns, that tap `tap` (counted through all groups of offsets) of output pixel `pixel`
    /// (counted through all images) reads, and the factor of what it reads.
    pub(super) fn around<R: Real>(
        &self,
        inputs: &Inputs<'_, R>,
        pixel: usize,
        tap: usize,
    ) -> ([Taps; 2], f64) {
        let (offset, mask) = self.moved(inputs, pixel, tap);
        let tap = tap % (self.kernel[0] * self.kernel[1]);
        let (corner, reach) = (
            self.corner(pixel),
            self.reach().nth(tap).unwrap_or_default(),
        );
        let place = array(|axis: usize| corner[axis] + reach[axis] + offset[axis]);
        (self.taps(place), mask)
    }
}
