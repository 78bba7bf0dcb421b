//! The inner loops: a chain of taps along a few pixels of a line.
//!
//! Every pixel of the source is loaded once for all taps of a chain and for both lines of a pair. Of the taps, the
//! first and the last place are checked; of the source, every place, since pixels outside are zero.
#![expect(
    unsafe_code,
    reason = "loads and stores at places that are checked by other means than slices"
)]

use striate_simd::Simd;

/// What pixels outside a line are.
static OUTSIDE: [f32; 16] = [0.0; 16];

/// Places in memory, `step` apart.
#[derive(Clone, Copy)]
pub(super) struct Places {
    /// May have passed below zero.
    pub(super) at: usize,
    pub(super) step: isize,
}

/// Whether chains of `len` taps of two lines fit into the registers beside their sums.
#[inline(always)]
pub(super) fn holds_two(lanes: usize, len: usize) -> bool {
    lanes != 8 && len < 5
}

impl Places {
    #[inline(always)]
    fn place(self, i: usize) -> usize {
        self.at.wrapping_add_signed(self.step * i as isize)
    }

    /// The vectors at `K` places.
    ///
    /// # Panics
    /// If one does not lie inside.
    #[inline(always)]
    pub(super) fn load<S: Simd, const K: usize>(self, s: S, data: &[f32]) -> [S::F32; K] {
        self.check::<S, K>(data);
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
        self.check::<S, K>(data);
        for k in 0..K {
            let place = data.as_mut_ptr().wrapping_add(self.place(k));
            // SAFETY: the vector lies inside, as just checked.
            unsafe { s.store_ptr(vectors[k], place) };
        }
    }

    /// Checks that vectors at `K` places lie inside.
    #[inline(always)]
    fn check<S: Simd, const K: usize>(self, data: &[f32]) {
        let steps = self.step.unsigned_abs();
        // No place overflows: at most 2^61 elements exist, and no chain has more than five taps.
        const { assert!(K <= 5, "a chain of too many taps") };
        let inside = data.len() >= S::LANES && steps <= data.len() && {
            let last = data.len() - S::LANES;
            self.at <= last && self.place(K.saturating_sub(1)) <= last
        };
        assert!(inside, "a tap lies outside");
    }

    /// Calls `f` with the number of each of `count` neighbours and its vector, which is zero outside the line.
    #[inline(always)]
    fn each<S: Simd>(self, s: S, line: &[f32], count: usize, mut f: impl FnMut(usize, S::F32)) {
        const { assert!(S::LANES <= OUTSIDE.len(), "a vector longer than the zeros") };
        let Some(last) = line.len().checked_sub(S::LANES) else {
            return;
        };
        for j in 0..count {
            let at = self.place(j);
            // A choice of the place, not of the vector: one that depended on a branch would be loaded early and
            // take a register until its use.
            let place = if at <= last {
                line.as_ptr().wrapping_add(at)
            } else {
                OUTSIDE.as_ptr()
            };
            // SAFETY: a vector that begins at `last` ends with the line, and none is longer than the zeros.
            let x = unsafe { s.load_ptr(place) };
            f(j, x);
        }
    }

    /// The sums of `T` pixels of `R` lines, with their products with `K` taps of a filter each added; the first tap
    /// of the first pixel reads `line` at the first place.
    #[inline(always)]
    pub(super) fn gather<S: Simd, const R: usize, const K: usize, const T: usize>(
        self,
        s: S,
        line: &[f32],
        mut sums: [[S::F32; T]; R],
        filters: [[S::F32; K]; R],
    ) -> [[S::F32; T]; R] {
        self.each(
            s,
            line,
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
    /// added; the first tap reads `line` at the first place for the first pixel.
    #[inline(always)]
    pub(super) fn correlate<S: Simd, const R: usize, const K: usize, const T: usize>(
        self,
        s: S,
        line: &[f32],
        mut sums: [[S::F32; K]; R],
        lines: [[S::F32; T]; R],
    ) -> [[S::F32; K]; R] {
        self.each(
            s,
            line,
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
