//! Which pixels a pooling reads for each pixel that it writes.

use super::Divisor;
use crate::axis::Axis;
use crate::geometry::{AdaptivePoolGeometry, PoolGeometry};
use crate::parallel::Cut;

/// How the pixels of the side that is written meet those of the side that is read.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// For each row that is written, those that are read.
    pub(crate) rows: Axis<usize>,
    /// For each column that is written, those that are read.
    pub(super) columns: Axis<usize>,
    /// `[n, c, h, w]` of what is written.
    pub(super) written: [usize; 4],
    /// `[h, w]` of what is read.
    pub(super) read: [usize; 2],
    /// Taps of a column that a tap of a row counts: the number of a tap is `row tap * pitch + column tap`.
    pub(super) pitch: usize,
}

impl Plan {
    /// From inputs to outputs.
    pub(crate) fn of_windows(g: &PoolGeometry) -> Self {
        let [_, _, h, w] = g.input();
        Self {
            rows: under_windows(g, 0),
            columns: under_windows(g, 1),
            written: g.output(),
            read: [h, w],
            pitch: g.window().kernel[1],
        }
    }

    /// From inputs to outputs.
    pub(super) fn of_cells(g: &AdaptivePoolGeometry) -> Self {
        let [_, _, h, w] = g.input();
        Self {
            rows: in_cells(g, 0),
            columns: in_cells(g, 1),
            written: g.output(),
            read: [h, w],
            pitch: w,
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
            pitch: self.pitch,
        }
    }

    /// The lines that a task writes.
    pub(super) fn cut(&self) -> Cut {
        let [n, c, h, w] = self.written;
        if h == 0 || w == 0 {
            return Cut::new(0, 0);
        }
        let taps = self.rows.of(0).len() * self.columns.of(0).len();
        Cut::new(n * h, (w * c).saturating_mul(taps.max(2) / 2))
    }

    /// The number of elements of a line that is written.
    pub(super) fn line_len(&self) -> usize {
        self.written[1] * self.written[3]
    }

    /// The image that a written line reads, and the rows of it.
    pub(crate) fn source<'a, T>(&self, x: &'a [T], line: usize) -> (&'a [T], &[(usize, usize)]) {
        let image = self.read[0] * self.read[1] * self.written[1];
        let n = line / self.written[2];
        (
            &x[n * image..(n + 1) * image],
            self.rows.of(line % self.written[2]),
        )
    }

    /// The channels `at..at + len` of pixel `[row, column]` of an image that is read.
    #[inline(always)]
    pub(super) fn pixel<'a, T>(
        &self,
        image: &'a [T],
        [row, column]: [usize; 2],
        at: usize,
        len: usize,
    ) -> &'a [T] {
        let start = (row * self.read[1] + column) * self.written[1] + at;
        &image[start..start + len]
    }
}

/// What the sum over the window of each output is multiplied with.
pub(super) fn window_factors(g: &PoolGeometry, divisor: Divisor) -> Vec<f32> {
    let [_, _, h, w] = g.output();
    (0..h * w)
        .map(|i| divisor.factor(g, i / w, i % w) as f32)
        .collect()
}

/// What the sum over the cell of each output is multiplied with.
pub(super) fn cell_factors(g: &AdaptivePoolGeometry) -> Vec<f32> {
    let [_, _, h, w] = g.output();
    let count = |i: usize| g.covered(0, i / w).len() * g.covered(1, i % w).len();
    (0..h * w).map(|i| (1.0 / count(i) as f64) as f32).collect()
}

/// For each output the inputs under its window, with their taps.
fn under_windows(g: &PoolGeometry, axis: usize) -> Axis<usize> {
    let inputs = |o| {
        g.taps_inside(axis, o)
            .map(move |t| (g.position(axis, o, t), t))
    };
    Axis::collect((0..g.output()[2 + axis]).map(inputs))
}

/// For each output the inputs that it covers; the input is its own tap.
fn in_cells(g: &AdaptivePoolGeometry, axis: usize) -> Axis<usize> {
    let inputs = |o| g.covered(axis, o).map(|i| (i, i));
    Axis::collect((0..g.output()[2 + axis]).map(inputs))
}
