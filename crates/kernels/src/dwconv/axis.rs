//! Which elements of a line an element gathers from, along one axis.

use crate::conv2d::Conv2dGeometry;
use std::ops::Range;

/// One axis of a convolution, or of the gradient of its input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    out_len: usize,
    source_len: usize,
    taps: usize,
    stride: usize,
    dilation: usize,
    pad: usize,
    /// Whether the roles of input and output are swapped.
    backward: bool,
}

/// Elements `first + i * step` that gather from `start + i * source_step`, one start a tap.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) first: usize,
    pub(super) step: usize,
    pub(super) count: usize,
    pub(super) source_step: usize,
    /// (tap, start); a start may lie outside the source.
    pub(super) starts: Vec<(usize, isize)>,
    /// The `i` whose sources all lie inside.
    pub(super) inside: Range<usize>,
}

impl Axis {
    /// Rows and columns of the output, which gather from the input.
    pub(super) fn forward(g: &Conv2dGeometry) -> [Self; 2] {
        let [top, _, left, _] = g.padding();
        [(0, top), (1, left)].map(|(axis, pad)| Self {
            out_len: g.out_size()[axis],
            source_len: g.in_size()[axis],
            taps: g.kernel()[axis],
            stride: g.stride()[axis],
            dilation: g.dilation()[axis],
            pad,
            backward: false,
        })
    }

    /// Rows and columns of the input's gradient, which gather from the output's.
    pub(super) fn backward(g: &Conv2dGeometry) -> [Self; 2] {
        Self::forward(g).map(|axis| Self {
            out_len: axis.source_len,
            source_len: axis.out_len,
            backward: true,
            ..axis
        })
    }

    pub(super) fn out_len(&self) -> usize {
        self.out_len
    }

    pub(super) fn source_len(&self) -> usize {
        self.source_len
    }

    pub(super) fn taps(&self) -> usize {
        self.taps
    }

    /// The source of element `o` at a tap, which may lie outside; none if the stride skips it.
    fn source(&self, o: usize, tap: usize) -> Option<isize> {
        let (o, reach) = (o as isize, (tap * self.dilation) as isize);
        let (stride, pad) = (self.stride as isize, self.pad as isize);
        if !self.backward {
            return Some(o * stride + reach - pad);
        }
        let at = o + pad - reach;
        (at.rem_euclid(stride) == 0).then(|| at.div_euclid(stride))
    }

    /// The taps of element `o` with their sources, those outside left out.
    pub(super) fn sources(&self, o: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.taps).filter_map(move |tap| {
            let source = usize::try_from(self.source(o, tap)?).ok()?;
            (source < self.source_len).then_some((tap, source))
        })
    }

    /// All elements, in runs that gather with equal steps.
    pub(super) fn runs(&self) -> Vec<Run> {
        let step = if self.backward { self.stride } else { 1 };
        let source_step = if self.backward { 1 } else { self.stride };
        let first = 0..step.min(self.out_len);
        let run = |first: usize| {
            let count = (self.out_len - first).div_ceil(step);
            let start = |tap| Some((tap, self.source(first, tap)?));
            let starts: Vec<(usize, isize)> = (0..self.taps).filter_map(start).collect();
            let mut inside = 0..count;
            for &(_, start) in &starts {
                let before = start.min(0).unsigned_abs().div_ceil(source_step);
                let room = (self.source_len as isize - start).max(0).unsigned_abs();
                inside.start = inside.start.max(before);
                inside.end = inside.end.min(room.div_ceil(source_step));
            }
            inside.start = inside.start.min(count);
            inside.end = inside.end.max(inside.start);
            Run {
                first,
                step,
                count,
                source_step,
                starts,
                inside,
            }
        };
        first.map(run).collect()
    }
}
