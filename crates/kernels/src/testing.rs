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

    /// A number below `n`, or 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// A number in `low..high`.
    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next() as f64 / (1_u64 << 53) as f64
    }

    /// Numbers in `-1..1`.
    pub(crate) fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.uniform(-1.0, 1.0) as f32).collect()
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

/// The same numbers in double precision.
pub(crate) fn to_f64(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// The largest `|got - exact| / scale` in units of the rounding error of `f32`; `scale(i)` is what the `i`-th error is
/// measured by. Infinities must be equal and NaN must meet NaN.
pub(crate) fn worst_error(got: &[f32], exact: &[f64], scale: impl Fn(usize) -> f64) -> f64 {
    assert_eq!(got.len(), exact.len(), "lengths");
    let mut worst = 0.0_f64;
    for (i, (&got, &exact)) in got.iter().zip(exact).enumerate() {
        let got = f64::from(got);
        if got.is_nan() && exact.is_nan() || got == exact {
            continue;
        }
        let error = (got - exact).abs() / scale(i) * f64::from(1 << 24);
        worst = worst.max(if error.is_nan() { f64::INFINITY } else { error });
    }
    worst
}

/// Checks that `f` gives the same bits on any number of threads.
pub(crate) fn assert_same_on_threads(f: impl Fn() -> Vec<f32> + Sync) {
    let bits = || f().iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    let results = on_threads(bits);
    assert!(
        results.iter().all(|r| *r == results[0]),
        "the number of threads changes the result"
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
