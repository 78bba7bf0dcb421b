//! Stores past the caches.
#![expect(
    unsafe_code,
    reason = "the promises of these stores are kept by a type"
)]

use crate::Simd;

/// A slice that is written past the caches, one vector at a time: for results that are larger than the caches, of which
/// nothing would be found there later. Such a store does not read the line of memory that it overwrites.
///
/// When it is dropped, what was stored is ordered before whatever this thread does next.
#[derive(Debug)]
pub struct Stream<'a, S: Simd> {
    s: S,
    data: &'a mut [f32],
}

impl<'a, S: Simd> Stream<'a, S> {
    /// Stores to `data`, if the level has such stores and `data` is aligned as a vector.
    ///
    /// # Errors
    /// Else, with `data`.
    #[inline(always)]
    pub fn new(s: S, data: &'a mut [f32]) -> Result<Self, &'a mut [f32]> {
        let aligned = data.as_ptr().addr().is_multiple_of(size_of::<S::F32>());
        if s.streams() && aligned {
            Ok(Self { s, data })
        } else {
            Err(data)
        }
    }

    /// Writes vectors from element `at` on, `step` apart.
    ///
    /// # Panics
    /// If there are fewer elements, or `at` or `step` is not a multiple of the lanes.
    #[inline(always)]
    pub fn store_each<const K: usize>(&mut self, vectors: [S::F32; K], at: usize, step: usize) {
        if K == 0 {
            return;
        }
        let aligned = (at | step).is_multiple_of(S::LANES);
        assert!(aligned, "a place that is not aligned");
        let end = step
            .checked_mul(K - 1)
            .and_then(|reach| reach.checked_add(S::LANES));
        let end = end.expect("a place beyond all memory");
        let places = &mut self.data[at..][..end];
        for k in 0..K {
            let place = places.as_mut_ptr().wrapping_add(k * step);
            // SAFETY: the place lies inside, since the last one does, and is aligned since `at`, `step` and the whole
            // are; as long as no other thread can access it, it is borrowed, and `drop` calls `fence`.
            unsafe { self.s.stream_ptr(vectors[k], place) }
        }
    }
}

impl<S: Simd> Drop for Stream<'_, S> {
    #[inline(always)]
    fn drop(&mut self) {
        self.s.fence();
    }
}
