//! Three by three taps, down strips of pixels.
//!
//! A row of the source is a row of taps for three lines of the output at once, whose sums stay in registers: each pixel is loaded
//! once for all nine taps, and the first of the lines is stored when its last row has been added. With a stride of 2 a row
//! belongs to one line or to two. The products of a sum are added in the order of the rows and columns, as everywhere.

use super::axis::Run;
use super::bands::Bands;
use super::gather::{Output, Pass, Steps, Target, tile_width};
use super::neighbours::Window;
use std::ops::Range;
use striate_simd::Simd;

/// Rows and columns of taps.
const TAPS: usize = 3;

/// Lines that a strip goes down at most: where a strip begins, two rows are read that the one above has read.
const LINES: usize = 32;

/// How the taps of a strip read the source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strips {
    /// The row and the column that the first taps read for the first line and pixel, possibly outside.
    starts: [isize; 2],
    /// From what a line or pixel reads to what the next one reads.
    stride: usize,
    /// Which weights the taps have, by rising rows and columns.
    taps: [[usize; TAPS]; 2],
    /// Pixels of a strip.
    pub(super) width: usize,
}

/// Neighbours in some lines of an image, and a vector of their channels.
struct Strip<'a, S: Simd, const N: usize> {
    /// What they read, of the rows of the source that there are.
    window: Window<'a, N>,
    /// The first row of the window, from the one that the first tap reads for the first line.
    above: isize,
    weights: [[S::F32; TAPS]; TAPS],
    steps: Steps<'a>,
    /// Lines.
    count: usize,
    /// Where the first pixel of the first line is, in the whole output.
    at: usize,
    /// From a pixel to the next one, and from a line to the next.
    pitch: [usize; 2],
    channel: usize,
}

/// The sums of `T` pixels of three lines: of those to which a row gives its first, second and third tap.
type Sums<S, const T: usize> = [[<S as Simd>::F32; T]; TAPS];

impl Strips {
    /// If the elements of an output are gathered so, and the registers of a vector of `lanes` lanes hold the sums.
    pub(super) fn new(bands: &Bands, lanes: usize) -> Option<Self> {
        let ([rows], [columns]) = (&bands.row_runs[..], &bands.column_runs[..]) else {
            return None;
        };
        let stride = columns.source_step;
        let few_registers = lanes == 8;
        let fits = rows.source_step == stride && stride <= 2 && columns.count >= 4;
        // What comes from far is asked for ahead by pairs of lines, in the order in which it lies.
        if few_registers || bands.channels < lanes || bands.far || !fits {
            return None;
        }
        let (row, column) = (neighbours(rows)?, neighbours(columns)?);
        let end = column.1 + ((columns.count - 1) * stride + TAPS) as isize;
        if column.1 < -1 || end > bands.columns.source_len() as isize + 1 {
            return None;
        }
        Some(Self {
            starts: [row.1, column.1],
            stride,
            taps: [row.0, column.0],
            width: tile_width(lanes, TAPS, columns.count),
        })
    }
}

/// The taps of a run and where the first one starts, if they are three neighbours.
fn neighbours(run: &Run) -> Option<([usize; TAPS], isize)> {
    let [(a, start), (b, second), (c, third)] = run.taps[..] else {
        return None;
    };
    (run.step == 1 && second == start + 1 && third == start + 2).then_some(([a, b, c], start))
}

/// The sums of the lines one further.
#[inline(always)]
fn advance<S: Simd, const T: usize>(s: S, sums: Sums<S, T>) -> Sums<S, T> {
    [[s.splat(0.0); T], sums[0], sums[1]]
}

impl Pass<'_> {
    /// Computes some lines, counted over all images.
    #[inline(always)]
    pub(super) fn strips<S: Simd>(
        &self,
        s: S,
        strips: &Strips,
        lines: Range<usize>,
        out: &mut Output<'_, S>,
    ) {
        let height = self.bands.rows.out_len();
        let mut first = lines.start;
        while first < lines.end {
            let image = first / height;
            let end = lines.end.min((image + 1) * height).min(first + LINES);
            let lines = first - image * height..end - image * height;
            if strips.stride == 1 {
                self.side_by_side::<S, 1>(s, strips, image, lines, out);
            } else {
                self.side_by_side::<S, 2>(s, strips, image, lines, out);
            }
            first = end;
        }
    }

    /// All strips of some lines. Of strips that would be cut off, the last begins earlier.
    #[inline(always)]
    fn side_by_side<S: Simd, const STRIDE: usize>(
        &self,
        s: S,
        strips: &Strips,
        image: usize,
        lines: Range<usize>,
        out: &mut Output<'_, S>,
    ) {
        let (channels, count) = (self.bands.channels, self.bands.columns.out_len());
        let width = strips.width;
        for i in (0..count).step_by(width) {
            let first = i.min(count - width);
            for vector in 0..channels.div_ceil(S::LANES) {
                let channel = (vector * S::LANES).min(channels - S::LANES);
                let (lines, place) = (lines.clone(), [first, channel]);
                match (STRIDE, width) {
                    (1, 7) => {
                        let strip = self.strip::<S, 9>(s, strips, image, lines, place);
                        strip.run::<1, 7>(s, out);
                    }
                    (1, _) => {
                        let strip = self.strip::<S, 6>(s, strips, image, lines, place);
                        strip.run::<1, 4>(s, out);
                    }
                    (_, 7) => {
                        let strip = self.strip::<S, 15>(s, strips, image, lines, place);
                        strip.run::<2, 7>(s, out);
                    }
                    _ => {
                        let strip = self.strip::<S, 9>(s, strips, image, lines, place);
                        strip.run::<2, 4>(s, out);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn strip<S: Simd, const N: usize>(
        &self,
        s: S,
        strips: &Strips,
        image: usize,
        lines: Range<usize>,
        [first, channel]: [usize; 2],
    ) -> Strip<'_, S, N> {
        let (bands, channels) = (self.bands, self.bands.channels);
        let height = bands.rows.source_len();
        let start = strips.starts[0] + (lines.start * strips.stride) as isize;
        let row = |row: isize| row.clamp(0, height as isize).unsigned_abs();
        let rows = row(start)..row(start + ((lines.len() - 1) * strips.stride + TAPS) as isize);
        let place = (image * height + rows.start) * bands.source_line_len();
        let column = strips.starts[1] + (first * strips.stride) as isize;
        let weight = |row: usize, column: usize| {
            let tap = strips.taps[0][row] * TAPS + strips.taps[1][column];
            s.load(&self.weights[tap * bands.tap_len + channel..])
        };
        let line = image * bands.rows.out_len() + lines.start;
        Strip {
            window: Window::new::<S>(
                self.source,
                [place, bands.source_line_len(), rows.len()],
                column * channels as isize,
                channels,
                channel,
            ),
            above: rows.start as isize - start,
            weights: [
                [weight(0, 0), weight(0, 1), weight(0, 2)],
                [weight(1, 0), weight(1, 1), weight(1, 2)],
                [weight(2, 0), weight(2, 1), weight(2, 2)],
            ],
            steps: Steps::new::<S>(self, channel),
            count: lines.len(),
            at: line * bands.out_line_len() + first * channels + channel,
            pitch: [channels, bands.out_line_len()],
            channel,
        }
    }
}

impl<S: Simd, const N: usize> Strip<'_, S, N> {
    #[inline(always)]
    fn run<const STRIDE: usize, const T: usize>(&self, s: S, out: &mut Output<'_, S>) {
        match self.window.ends {
            [true, true] => self.down::<STRIDE, T, true, true>(s, out),
            [true, false] => self.down::<STRIDE, T, true, false>(s, out),
            [false, true] => self.down::<STRIDE, T, false, true>(s, out),
            [false, false] => self.down::<STRIDE, T, false, false>(s, out),
        }
    }

    #[inline(always)]
    fn down<const STRIDE: usize, const T: usize, const FIRST: bool, const LAST: bool>(
        &self,
        s: S,
        out: &mut Output<'_, S>,
    ) {
        if const { STRIDE == 1 } {
            self.down_by_one::<T, FIRST, LAST>(s, out);
        } else {
            self.down_by_two::<T, FIRST, LAST>(s, out);
        }
    }

    #[inline(always)]
    fn down_by_one<const T: usize, const FIRST: bool, const LAST: bool>(
        &self,
        s: S,
        out: &mut Output<'_, S>,
    ) {
        let mut sums = [[s.splat(0.0); T]; TAPS];
        sums = self.add_row::<1, T, 0b001, FIRST, LAST>(s, 0, sums);
        // What the second row gives a line behind a single one is never stored.
        sums = self.add_row::<1, T, 0b011, FIRST, LAST>(s, 1, advance::<S, T>(s, sums));
        for line in 0..self.count.max(2) - 2 {
            sums = self.add_row::<1, T, 0b111, FIRST, LAST>(s, line + 2, advance::<S, T>(s, sums));
            self.store(s, sums[2], line, out);
        }
        if self.count >= 2 {
            sums =
                self.add_row::<1, T, 0b110, FIRST, LAST>(s, self.count, advance::<S, T>(s, sums));
            self.store(s, sums[2], self.count - 2, out);
        }
        sums =
            self.add_row::<1, T, 0b100, FIRST, LAST>(s, self.count + 1, advance::<S, T>(s, sums));
        self.store(s, sums[2], self.count - 1, out);
    }

    #[inline(always)]
    fn down_by_two<const T: usize, const FIRST: bool, const LAST: bool>(
        &self,
        s: S,
        out: &mut Output<'_, S>,
    ) {
        let mut sums = [[s.splat(0.0); T]; TAPS];
        sums = self.add_row::<2, T, 0b001, FIRST, LAST>(s, 0, sums);
        let last = self.count - 1;
        for line in 0..last {
            sums =
                self.add_row::<2, T, 0b010, FIRST, LAST>(s, 2 * line + 1, advance::<S, T>(s, sums));
            sums =
                self.add_row::<2, T, 0b101, FIRST, LAST>(s, 2 * line + 2, advance::<S, T>(s, sums));
            self.store(s, sums[2], line, out);
        }
        sums = self.add_row::<2, T, 0b010, FIRST, LAST>(s, 2 * last + 1, advance::<S, T>(s, sums));
        sums = self.add_row::<2, T, 0b100, FIRST, LAST>(s, 2 * last + 2, advance::<S, T>(s, sums));
        self.store(s, sums[2], last, out);
    }

    /// Adds the products of a row of the source, counted from the one that the first tap reads for the first line, with
    /// those rows of taps that have a bit in `ROWS`.
    #[inline(always)]
    fn add_row<
        const STRIDE: usize,
        const T: usize,
        const ROWS: usize,
        const FIRST: bool,
        const LAST: bool,
    >(
        &self,
        s: S,
        row: usize,
        mut sums: Sums<S, T>,
    ) -> Sums<S, T> {
        let line = row.wrapping_add_signed(-self.above);
        if line >= self.window.lines {
            return sums;
        }
        self.window.each::<S, FIRST, LAST>(
            s,
            line,
            #[inline(always)]
            |j, x| {
                for k in 0..TAPS {
                    if j >= k && (j - k).is_multiple_of(STRIDE) && (j - k) / STRIDE < T {
                        for r in 0..TAPS {
                            if ROWS & 1 << r != 0 {
                                let sum = &mut sums[r][(j - k) / STRIDE];
                                *sum = s.mul_add(x, self.weights[r][k], *sum);
                            }
                        }
                    }
                }
            },
        );
        sums
    }

    #[inline(always)]
    fn store<const T: usize>(&self, s: S, sums: [S::F32; T], line: usize, out: &mut Output<'_, S>) {
        let target = Target {
            at: self.at + line * self.pitch[1],
            step: self.pitch[0],
            channel: self.channel,
        };
        self.steps.store(s, sums, target, out);
    }
}
