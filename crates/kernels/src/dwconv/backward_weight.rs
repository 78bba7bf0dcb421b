//! The gradient of depthwise weights.
//!
//! ```text
//! dw[c, ky, kx] = sum over n, oy, ox of x[n, oy*s + ky*d - pad, ox*s + kx*d - pad, c] * dy[n, oy, ox, c]
//! ```
//!
//! The taps of a row of the filter keep their sums in registers along a line of the output, so that
//! a vector of the gradient is read once for all of them. Chunks of lines add up copies of their
//! own, cut by shape alone, which are then added in pairs.

use super::axis::{Axis, Run};
use crate::conv2d::Conv2dGeometry;
use crate::conv2d::copies::add_in_pairs;
use crate::error::KernelError;
use crate::geometry::element_count;
use crate::layout::transpose;
use crate::parallel::{self, Cut};
use striate_simd::{Buffer, Level, Simd, dispatch};

/// Copies of the gradient at most.
const COPIES: usize = 16;

/// Computes `dweight`, `[channels, 1, kernel_h, kernel_w]`, from `x` and `dy`, both channels-last.
pub(crate) fn run(
    level: Level,
    g: &Conv2dGeometry,
    x: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    let [rows, columns] = Axis::forward(g);
    let lines = g.batch() * rows.out_len();
    if lines * columns.out_len() == 0 {
        dweight.fill(0.0);
        return Ok(());
    }
    let worth = Cut::new(lines, columns.out_len() * dweight.len()).per_task();
    let cut = Cut::every(lines, worth.max(lines.div_ceil(COPIES)));
    let len = element_count("conv2d", "copies of dweight", &[cut.tasks(), dweight.len()])?;
    let mut copies = Buffer::recycled(len)?;
    let runs = columns.runs();
    parallel::for_each_chunk(&mut copies, dweight.len(), |task, sums| {
        sums.fill(0.0);
        let pass = Pass {
            rows: &rows,
            columns: &columns,
            channels: g.in_channels(),
            x,
            dy,
        };
        for line in cut.range(task) {
            for run in &runs {
                dispatch!(level, s => pass.line(s, line, run, sums));
            }
        }
    });
    add_in_pairs(&mut copies, dweight.len());
    transpose(&copies[..dweight.len()], dweight, g.taps(), g.in_channels());
    Ok(())
}

struct Pass<'a> {
    rows: &'a Axis,
    columns: &'a Axis,
    channels: usize,
    x: &'a [f32],
    dy: &'a [f32],
}

impl Pass<'_> {
    /// Adds what a line of the output contributes to `sums`, `[taps][channels]`.
    #[inline(always)]
    fn line<S: Simd>(&self, s: S, number: usize, run: &Run, sums: &mut [f32]) {
        let (image, row) = (number / self.rows.out_len(), number % self.rows.out_len());
        let dy_len = self.columns.out_len() * self.channels;
        let x_len = self.columns.source_len() * self.channels;
        let dy = &self.dy[number * dy_len..][..dy_len];
        for (tap, source) in self.rows.sources(row) {
            let x = &self.x[(image * self.rows.source_len() + source) * x_len..][..x_len];
            let sums = &mut sums[tap * self.columns.taps() * self.channels..];
            let mut rest = &run.starts[..];
            while !rest.is_empty() {
                rest = match rest.len() {
                    7.. => self.first_taps::<S, 7>(s, [x, dy], run, rest, sums),
                    5.. => self.first_taps::<S, 5>(s, [x, dy], run, rest, sums),
                    3.. => self.first_taps::<S, 3>(s, [x, dy], run, rest, sums),
                    _ => self.first_taps::<S, 1>(s, [x, dy], run, rest, sums),
                };
            }
        }
    }

    /// The first `N` of some taps of one row of the filter; returns the others.
    #[inline(always)]
    fn first_taps<'t, S: Simd, const N: usize>(
        &self,
        s: S,
        lines: [&[f32]; 2],
        run: &Run,
        taps: &'t [(usize, isize)],
        sums: &mut [f32],
    ) -> &'t [(usize, isize)] {
        let Some((taps, rest)) = taps.split_first_chunk::<N>() else {
            return &[];
        };
        for c in (0..self.channels).step_by(S::LANES) {
            self.taps(s, lines, run, taps, c, sums);
        }
        rest
    }

    /// The taps `taps` of one row of the filter, whose sums stay in registers, and one vector of
    /// channels.
    #[inline(always)]
    fn taps<S: Simd, const N: usize>(
        &self,
        s: S,
        [x, dy]: [&[f32]; 2],
        run: &Run,
        taps: &[(usize, isize); N],
        c: usize,
        sums: &mut [f32],
    ) {
        let width = S::LANES.min(self.channels - c);
        let mut acc = [s.splat(0.0); N];
        for i in 0..run.count {
            let grad = self.vector(s, dy, i, c);
            let at = (i * run.source_step) as isize;
            let whole = run.inside.contains(&i);
            for t in 0..N {
                let at = at + taps[t].1;
                if whole || (0..self.columns.source_len() as isize).contains(&at) {
                    acc[t] = s.mul_add(self.vector(s, x, at as usize, c), grad, acc[t]);
                }
            }
        }
        for (acc, &(tap, _)) in acc.into_iter().zip(taps) {
            let sum = &mut sums[tap * self.channels + c..][..width];
            let total = s.add(s.load_partial(sum), acc);
            s.store_partial(total, sum);
        }
    }

    /// The channels from `c` of a pixel of a line.
    #[inline(always)]
    fn vector<S: Simd>(&self, s: S, line: &[f32], pixel: usize, c: usize) -> S::F32 {
        let width = S::LANES.min(self.channels - c);
        s.load_partial(&line[pixel * self.channels + c..][..width])
    }
}
