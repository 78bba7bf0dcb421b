//! The inner loops: a chain of taps along a few pixels of a line.
//!
//! Every pixel of the source is loaded once for all taps of a chain and for both lines of a pair. Of taps and of pixels the
//! first and the last place are checked; pixels outside a line are left out.
#![expect(
    unsafe_code,
    reason = "loads and stores at places of which the first and the last are checked"
)]

use std::ops::Range;
use striate_simd::Simd;

/// A distance between neighbours, with which no place overflows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step(isize);

/// Places in memory, `step` apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// May have passed below zero.
    pub(super) at: usize,
    pub(super) step: Step,
}

/// Steps are no longer: so many elements are 2^60 bytes.
const FARTHEST: usize = 1 << 58;

/// Places at most.
const MOST: usize = 16;

impl Step {
    /// A longer one than any memory has is made shorter, and still leads out of it.
    #[inline(always)]
    pub(super) fn new(elements: usize) -> Self {
        Self(elements.min(FARTHEST) as isize)
    }

    /// As long, and backward or not.
    pub(super) fn signed(self, back: bool) -> Self {
        Self(if back { -self.0 } else { self.0 })
    }
}

/// Whether chains of `len` taps of two lines fit into the registers beside their sums.
#[inline(always)]
pub(super) fn holds_two(lanes: usize, len: usize) -> bool {
    len < if lanes == 8 { 4 } else { 6 }
}

impl Places {
    #[inline(always)]
    fn place(self, i: usize) -> usize {
        self.at.wrapping_add_signed(self.step.0 * i as isize)
    }

    /// The vectors at `K` places.
    ///
    /// # Panics
    /// If one does not lie inside.
    #[inline(always)]
    pub(super) fn load<S: Simd, const K: usize>(self, s: S, data: &[f32]) -> [S::F32; K] {
        self.check::<S>(data, K);
        let mut vectors = [s.splat(0.0); K];
        for k in 0..K {
            let place = data.as_ptr().wrapping_add(self.place(k));
            // SAFETY: the vector lies inside, as just checked.
            vectors[k] = unsafe { s.load_ptr(place) };
        }
        vectors
    }

    /// Stores vectors at `K` places.
    ///
    /// # Panics
    /// If one does not lie inside.
    #[inline(always)]
    pub(super) fn store<S: Simd, const K: usize>(
        self,
        s: S,
        vectors: [S::F32; K],
        data: &mut [f32],
    ) {
        self.check::<S>(data, K);
        for k in 0..K {
            let place = data.as_mut_ptr().wrapping_add(self.place(k));
            // SAFETY: the vector lies inside, as just checked.
            unsafe { s.store_ptr(vectors[k], place) };
        }
    }

    /// Checks that vectors at `count` places lie inside.
    #[inline(always)]
    fn check<S: Simd>(self, data: &[f32], count: usize) {
        // The first and the last being inside, so are those in between, since none is 2^64 away.
        let inside = data.len() >= S::LANES && {
            let last = data.len() - S::LANES;
            count <= MOST && self.at <= last && self.place(count.saturating_sub(1)) <= last
        };
        assert!(inside, "a place lies outside");
    }
}

/// Neighbours in a line of the source, of which those outside the line are not read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pixels {
    /// Where the first one is; may have passed below zero.
    at: usize,
    step: Step,
    /// A bit for each one inside the line.
    inside: u32,
    /// The first and the last place of those.
    ends: [usize; 2],
}

/// Which of `count` places, `step` apart from `start` on, lie in `0..line_len`: from the first to before the second.
#[inline(never)]
fn inside(line_len: usize, start: isize, step: Step, count: usize) -> [usize; 2] {
    let len = step.0.unsigned_abs();
    let before = |end: isize| {
        let pixels = |distance: usize| distance.div_ceil(len).min(count);
        usize::try_from(end - start).map_or(0, pixels)
    };
    let [first, last] = [0, line_len as isize].map(before);
    if first < last { [first, last] } else { [0, 0] }
}

impl Pixels {
    /// None at all.
    pub(super) const NONE: Self = Self {
        at: 0,
        step: Step(0),
        inside: 0,
        ends: [0; 2],
    };

    /// Aims at `count` neighbours, `step` apart, from `start` on, counted from where the line begins. Written field by field:
    /// who reads a whole copy of fields just written waits until they have left for the cache.
    ///
    /// # Panics
    /// If they are more than sixteen.
    #[inline(always)]
    pub(super) fn aim(
        &mut self,
        line: usize,
        line_len: usize,
        start: isize,
        step: Step,
        count: usize,
    ) {
        assert!(count <= MOST, "too many neighbours");
        let end = start + step.0 * count as isize;
        // Few tiles reach over an edge: only they pay for divisions.
        let [first, last] = if start < 0 || end > line_len as isize {
            inside(line_len, start, step, count)
        } else {
            [0, count]
        };
        let len = step.0.unsigned_abs();
        self.at = if last > 0 {
            line.wrapping_add_signed(start)
        } else {
            0
        };
        self.step = step;
        self.inside = (1 << last) - (1 << first);
        self.ends[0] = self.at.wrapping_add(first * len);
        self.ends[1] = self.at.wrapping_add((last.max(1) - 1) * len);
    }

    /// Calls `f` with the number of each of `count` pixels inside and a vector of its channels.
    ///
    /// # Panics
    /// If one lies outside `source`.
    #[inline(always)]
    fn each<S: Simd>(
        &self,
        s: S,
        source: &[f32],
        channel: usize,
        count: usize,
        mut f: impl FnMut(usize, S::F32),
    ) {
        let inside = source.len() >= S::LANES + channel && {
            let last = source.len() - S::LANES - channel;
            self.ends[0] <= last && self.ends[1] <= last
        };
        assert!(inside, "a pixel lies outside");
        let mut place = source.as_ptr().wrapping_add(self.at.wrapping_add(channel));
        for j in 0..count {
            if self.inside & 1 << j != 0 {
                // SAFETY: the pixel is none below the first end or above the last, which lie inside, as just checked.
                let x = unsafe { s.load_ptr(place) };
                f(j, x);
            }
            place = place.wrapping_offset(self.step.0);
        }
    }

    /// The sums of `T` pixels of `R` lines, with their products with `K` taps of a filter each added; the first tap
    /// of the first of them reads the first neighbour.
    ///
    /// # Panics
    /// If a pixel lies outside `source`.
    #[inline(always)]
    pub(super) fn gather<S: Simd, const R: usize, const K: usize, const T: usize>(
        &self,
        s: S,
        source: &[f32],
        channel: usize,
        mut sums: [[S::F32; T]; R],
        filters: [[S::F32; K]; R],
    ) -> [[S::F32; T]; R] {
        self.each(
            s,
            source,
            channel,
            T + K - 1,
            #[inline(always)]
            |j, x| {
                for k in 0..K {
                    if j >= k && j - k < T {
                        for r in 0..R {
                            sums[r][j - k] = s.mul_add(x, filters[r][k], sums[r][j - k]);
                        }
                    }
                }
            },
        );
        sums
    }

    /// The sums of `K` taps of `R` filters, with the products of the pixels they read and the `T` pixels of `R` lines
    /// added; the first tap reads the first neighbour for the first pixel.
    ///
    /// # Panics
    /// If a pixel lies outside `source`.
    #[inline(always)]
    pub(super) fn correlate<S: Simd, const R: usize, const K: usize, const T: usize>(
        &self,
        s: S,
        source: &[f32],
        channel: usize,
        mut sums: [[S::F32; K]; R],
        lines: [[S::F32; T]; R],
    ) -> [[S::F32; K]; R] {
        self.each(
            s,
            source,
            channel,
            T + K - 1,
            #[inline(always)]
            |j, x| {
                for k in 0..K {
                    if j >= k && j - k < T {
                        for r in 0..R {
                            sums[r][k] = s.mul_add(x, lines[r][j - k], sums[r][k]);
                        }
                    }
                }
            },
        );
        sums
    }
}

/// `N` neighbours in each of some lines of the source, of which the first and the last may lie outside their lines.
#[derive(Clone, Copy)]
pub(super) struct Window<'d, const N: usize> {
    data: &'d [f32],
    /// Where the first neighbour in the first line is; may have passed below zero.
    at: usize,
    step: usize,
    /// Whether the first and the last neighbour lie inside.
    pub(super) ends: [bool; 2],
    pub(super) lines: usize,
    line_len: usize,
}

impl<'d, const N: usize> Window<'d, N> {
    /// The neighbours `step` apart from `start` on, counted from where the lines begin, in `lines` lines of `line_len`
    /// elements from element `line` of `data` on, and with each a vector of elements from `channel` on.
    ///
    /// # Panics
    /// If another neighbour than the first and the last lies outside a line, or one inside is outside `data`.
    #[inline(always)]
    pub(super) fn new<S: Simd>(
        data: &'d [f32],
        [line, line_len, lines]: [usize; 3],
        start: isize,
        step: usize,
        channel: usize,
    ) -> Self {
        let end = start + (step * N) as isize;
        let len = line_len as isize;
        let ends = [start >= 0, end <= len];
        let whole = start + step as isize >= 0 && end - step as isize <= len;
        let window = Self {
            data,
            at: line.wrapping_add_signed(start).wrapping_add(channel),
            step,
            ends,
            lines,
            line_len,
        };
        let last_line = line_len * lines.max(1).wrapping_sub(1);
        let last = window.place(N - 1 - usize::from(!ends[1])) + last_line;
        let inside = window.place(usize::from(!ends[0])) <= last
            && data.len() >= S::LANES
            && last <= data.len() - S::LANES;
        assert!(whole && (inside || lines == 0), "a neighbour lies outside");
        window
    }

    #[inline(always)]
    fn place(&self, j: usize) -> usize {
        self.at.wrapping_add(j * self.step)
    }

    /// Calls `f` with the number of each neighbour inside and its vector. `FIRST` and `LAST` are the ends, as constants:
    /// loops have no registers left for sums that depend on a test.
    ///
    /// # Panics
    /// If there are not so many lines, or the ends are others.
    #[inline(always)]
    pub(super) fn each<S: Simd, const FIRST: bool, const LAST: bool>(
        &self,
        s: S,
        line: usize,
        mut f: impl FnMut(usize, S::F32),
    ) {
        assert!(self.ends == [FIRST, LAST], "an end lies outside");
        let [first, last] = [usize::from(!FIRST), N - usize::from(!LAST)];
        // Longer loops are not unrolled.
        self.some(s, line, first..last.min(8), &mut f);
        self.some(s, line, 8..last, &mut f);
    }

    /// Calls `f` with some neighbours, which lie inside.
    #[inline(always)]
    fn some<S: Simd>(
        &self,
        s: S,
        line: usize,
        neighbours: Range<usize>,
        f: &mut impl FnMut(usize, S::F32),
    ) {
        let whole = usize::from(!self.ends[0])..N - usize::from(!self.ends[1]);
        let inside =
            neighbours.is_empty() || neighbours.start >= whole.start && neighbours.end <= whole.end;
        assert!(line < self.lines && inside, "a neighbour lies outside");
        let first = self
            .data
            .as_ptr()
            .wrapping_add(self.at.wrapping_add(line * self.line_len));
        for j in neighbours {
            // SAFETY: the neighbour is inside a line, those of the first and of the last line lie in the slice, as
            // checked by `new`, and this line is one of these or between them.
            let x = unsafe { s.load_ptr(first.wrapping_add(j * self.step)) };
            f(j, x);
        }
    }
}
