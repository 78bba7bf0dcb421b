//! Lines of pixels that gather from other lines, a vector of channels at a time.
//!
//! Tiles of neighbouring pixels share each weight; the pixels near the border, and channels that do
//! not fill a vector, go one by one.

use super::axis::{Axis, Run};
use crate::elementwise::assign;
use crate::epilogue::Epilogue;
use striate_simd::Simd;

/// A pass over lines of an output.
pub(super) struct Lines<'a> {
    pub(super) rows: &'a Axis,
    pub(super) columns: &'a Axis,
    pub(super) runs: &'a [Run],
    pub(super) source: &'a [f32],
    /// `[taps][channels]`
    pub(super) weights: &'a [f32],
    pub(super) channels: usize,
    pub(super) epilogue: &'a Epilogue<'a>,
}

/// The lines that one line gathers from: (tap of the row axis, where the line starts in the source).
type Sources = Vec<(usize, usize)>;

/// A line of the output, whose first element has number `at` in the whole output.
struct Output<'o> {
    line: &'o mut [f32],
    at: usize,
}

impl Lines<'_> {
    /// Computes the lines from number `first` that `out` holds.
    #[inline(always)]
    pub(super) fn run<S: Simd>(&self, s: S, first: usize, out: &mut [f32]) {
        let line_len = self.columns.out_len() * self.channels;
        let source_len = self.columns.source_len() * self.channels;
        for (i, line) in out.chunks_exact_mut(line_len).enumerate() {
            let number = first + i;
            let (image, row) = (number / self.rows.out_len(), number % self.rows.out_len());
            let first_source = image * self.rows.source_len();
            let sources: Sources = self
                .rows
                .sources(row)
                .map(|(tap, source)| (tap, (first_source + source) * source_len))
                .collect();
            let mut out = Output {
                line,
                at: number * line_len,
            };
            for run in self.runs {
                for c in (0..self.channels).step_by(S::LANES) {
                    self.channels_of_run(s, &sources, run, c, &mut out);
                }
            }
            if let Some(function) = self.epilogue.activation.late() {
                assign(s, function, out.line);
            }
        }
    }

    #[inline(always)]
    fn channels_of_run<S: Simd>(
        &self,
        s: S,
        sources: &Sources,
        run: &Run,
        c: usize,
        out: &mut Output<'_>,
    ) {
        let full = c + S::LANES <= self.channels;
        let inside = if full { run.inside.clone() } else { 0..0 };
        for i in 0..inside.start {
            self.pixel(s, sources, run, i, c, out);
        }
        let mut i = inside.start;
        while i + 8 <= inside.end {
            self.tile::<S, 8>(s, sources, run, i, c, out);
            i += 8;
        }
        while i + 4 <= inside.end {
            self.tile::<S, 4>(s, sources, run, i, c, out);
            i += 4;
        }
        for i in i..run.count {
            self.pixel(s, sources, run, i, c, out);
        }
    }

    /// `T` pixels whose sources all lie inside.
    #[inline(always)]
    fn tile<S: Simd, const T: usize>(
        &self,
        s: S,
        sources: &Sources,
        run: &Run,
        i: usize,
        c: usize,
        out: &mut Output<'_>,
    ) {
        let mut acc = [s.splat(0.0); T];
        let step = run.source_step * self.channels;
        for &(row, line) in sources {
            for &(column, start) in &run.starts {
                let tap = row * self.columns.taps() + column;
                let weight = s.load(&self.weights[tap * self.channels + c..]);
                let first = start + (i * run.source_step) as isize;
                let from = &self.source[line + first as usize * self.channels + c..];
                let from = &from[..(T - 1) * step + S::LANES];
                for t in 0..T {
                    acc[t] = s.mul_add(s.load(&from[t * step..]), weight, acc[t]);
                }
            }
        }
        for t in 0..T {
            self.store(s, acc[t], run, i + t, c, out);
        }
    }

    /// One pixel, any sources, any number of channels.
    #[inline(always)]
    fn pixel<S: Simd>(
        &self,
        s: S,
        sources: &Sources,
        run: &Run,
        i: usize,
        c: usize,
        out: &mut Output<'_>,
    ) {
        let width = S::LANES.min(self.channels - c);
        let mut acc = s.splat(0.0);
        for &(row, line) in sources {
            for &(column, start) in &run.starts {
                let at = start + (i * run.source_step) as isize;
                if at < 0 || at as usize >= self.columns.source_len() {
                    continue;
                }
                let tap = row * self.columns.taps() + column;
                let weight = s.load_partial(&self.weights[tap * self.channels + c..][..width]);
                let from = line + at as usize * self.channels + c;
                let x = s.load_partial(&self.source[from..][..width]);
                acc = s.mul_add(x, weight, acc);
            }
        }
        self.store(s, acc, run, i, c, out);
    }

    #[inline(always)]
    fn store<S: Simd>(
        &self,
        s: S,
        mut sum: S::F32,
        run: &Run,
        i: usize,
        c: usize,
        out: &mut Output<'_>,
    ) {
        let width = S::LANES.min(self.channels - c);
        let at = (run.first + i * run.step) * self.channels + c;
        if let Some(scale) = self.epilogue.scale {
            sum = s.mul(sum, s.load_partial(&scale[c..][..width]));
        }
        if let Some(bias) = self.epilogue.bias {
            sum = s.add(sum, s.load_partial(&bias[c..][..width]));
        }
        if let Some(residual) = self.epilogue.residual {
            sum = s.add(sum, s.load_partial(&residual[out.at + at..][..width]));
        }
        sum = s.max(s.splat(self.epilogue.activation.floor()), sum);
        s.store_partial(sum, &mut out.line[at..][..width]);
    }
}
