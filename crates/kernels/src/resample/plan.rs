//! Which pixels a resampling reads for each pixel that it writes, with which weights.

use crate::axis::Axis;
use crate::geometry::{BlurGeometry, ResizeGeometry};

/// A weighted sum of rows of weighted sums of columns.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// For each row that is written, those that are read.
    pub(crate) rows: Axis<f64>,
    /// For each column that is written, those that are read.
    pub(crate) columns: Axis<f64>,
    /// `[n, c, h, w]` of what is written.
    pub(crate) written: [usize; 4],
    /// `[h, w]` of what is read.
    pub(crate) read: [usize; 2],
}

impl Plan {
    /// From the inputs to the outputs of a resizing.
    pub(crate) fn of_resize(g: &ResizeGeometry) -> Self {
        Self::new(g.input(), g.output(), |axis, o| g.taps(axis, o))
    }

    /// From the inputs to the outputs of a filter.
    pub(crate) fn of_blur(g: &BlurGeometry) -> Self {
        Self::new(g.input(), g.output(), |axis, o| g.inputs(axis, o))
    }

    /// `inputs` are those that output `o` of an axis is made of, ascending.
    fn new<I: IntoIterator<Item = (usize, f64)>>(
        [_, _, h, w]: [usize; 4],
        output: [usize; 4],
        inputs: impl Fn(usize, usize) -> I,
    ) -> Self {
        let lists = |axis| (0..output[2 + axis]).map(move |o| (axis, o));
        let axis = |axis| Axis::collect(lists(axis).map(|(axis, o)| inputs(axis, o).into_iter()));
        Self {
            rows: axis(0),
            columns: axis(1),
            written: output,
            read: [h, w],
        }
    }

    /// The other way: from outputs to inputs.
    pub(crate) fn reversed(&self) -> Self {
        let ([n, c, oh, ow], [h, w]) = (self.written, self.read);
        Self {
            rows: self.rows.reversed(h),
            columns: self.columns.reversed(w),
            written: [n, c, h, w],
            read: [oh, ow],
        }
    }

    /// The same with the channels as images of their own.
    pub(crate) fn of_planes(mut self) -> Self {
        let [n, c, h, w] = self.written;
        self.written = [n * c, 1, h, w];
        self
    }
}
