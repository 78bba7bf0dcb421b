//! The inner loops: a chain of taps along a few pixels of a line.
//!
//! Every pixel of the source is loaded once for all taps of a chain and for both lines of a pair.

use striate_simd::Simd;

/// A line of the source, and where in it the first tap of a chain finds the first pixel of a tile.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) line: &'a [f32],
    /// May have passed below zero.
    pub(super) at: usize,
    /// Between neighbours.
    pub(super) step: usize,
}

impl Window<'_> {
    /// Calls `f` with the number of each of `count` neighbours and its vector, which is zero outside the line.
    #[inline(always)]
    fn each<S: Simd>(self, s: S, count: usize, mut f: impl FnMut(usize, S::F32)) {
        for j in 0..count {
            let at = self.at.wrapping_add(j * self.step);
            let inside = self.line.get(at..);
            let x = match inside {
                Some(line) if line.len() >= S::LANES => s.load(line),
                _ => s.splat(0.0),
            };
            f(j, x);
        }
    }

    /// The sums of `T` pixels of `R` lines, with their products with `K` taps of a filter each added.
    #[inline(always)]
    pub(super) fn gather<S: Simd, const R: usize, const K: usize, const T: usize>(
        self,
        s: S,
        mut sums: [[S::F32; T]; R],
        filters: [[S::F32; K]; R],
    ) -> [[S::F32; T]; R] {
        self.each(
            s,
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
    /// added.
    #[inline(always)]
    pub(super) fn correlate<S: Simd, const R: usize, const K: usize, const T: usize>(
        self,
        s: S,
        mut sums: [[S::F32; K]; R],
        lines: [[S::F32; T]; R],
    ) -> [[S::F32; K]; R] {
        self.each(
            s,
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
