//! What the tests of several kernels share.

/// A small generator: the tests want the same numbers everywhere, not good ones.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// About normally distributed.
    pub(crate) fn normals(&mut self, len: usize) -> Vec<f32> {
        let uniform = |x: u64| (x as f64 / (1_u64 << 53) as f64) as f32;
        let mut draw = || (0..4).map(|_| uniform(self.next()) - 0.5).sum::<f32>() * 1.7;
        (0..len).map(|_| draw()).collect()
    }

    /// Integers from -3 to 3: sums of their products are exact.
    pub(crate) fn integers(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.next() % 7) as f32 - 3.0).collect()
    }
}

/// Checks a sum of `terms` products against its exact value, `magnitude` being the sum of the
/// products' magnitudes.
pub(crate) fn assert_close(
    got: f32,
    exact: f64,
    magnitude: f64,
    terms: usize,
    place: impl Fn() -> String,
) {
    let bound = (4.0 * (terms as f64).sqrt() + 8.0) * 2_f64.powi(-24) * magnitude + 1e-38;
    let error = (f64::from(got) - exact).abs();
    assert!(
        error <= bound,
        "{}: {got} instead of {exact}, off by {error:e} > {bound:e}",
        place()
    );
}

/// The results of `f` on 1, 2, 3 and 7 threads.
pub(crate) fn on_threads<R: Send>(f: impl Fn() -> R + Sync) -> Vec<R> {
    [1, 2, 3, 7]
        .into_iter()
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a pool of threads").install(&f)
        })
        .collect()
}
