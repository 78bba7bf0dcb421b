//! Which pixels a resampling reads for each pixel that it writes, with which weights.

use crate::axis::Axis;
use crate::geometry::ResizeGeometry;

/// A weighted sum of rows of weighted sums of columns.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// For each row that is written, those that are read.
    pub(super) rows: Axis<f64>,
    /// For each column that is written, those that are read.
    pub(super) columns: Axis<f64>,
    /// `[n, c, h, w]` of what is written.
    pub(super) written: [usize; 4],
    /// `[h, w]` of what is read.
    pub(super) read: [usize; 2],
}

impl Plan {
    /// From inputs to outputs.
    pub(super) fn of_resize(g: &ResizeGeometry) -> Self {
        let ([_, _, h, w], output) = (g.input(), g.output());
        let axis = |axis| Axis::collect((0..output[2 + axis]).map(move |o| g.taps(axis, o)));
        Self {
            rows: axis(0),
            columns: axis(1),
            written: output,
            read: [h, w],
        }
    }

    /// The other way: from outputs to inputs.
    pub(super) fn reversed(&self) -> Self {
        let ([n, c, oh, ow], [h, w]) = (self.written, self.read);
        Self {
            rows: self.rows.reversed(h),
            columns: self.columns.reversed(w),
            written: [n, c, h, w],
            read: [oh, ow],
        }
    }

    /// The same with the channels as images of their own.
    pub(super) fn of_planes(mut self) -> Self {
        let [n, c, h, w] = self.written;
        self.written = [n * c, 1, h, w];
        self
    }
}
