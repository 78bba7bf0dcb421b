//! Measures the multiply-add rate of one core: the ceiling of every kernel, and what a benchmark's rate is a share of.

use std::hint::black_box;
use std::time::Instant;

use striate_simd::{Level, Simd, dispatch};

/// Independent sums in flight: enough to hide the latency of two units of four cycles, few enough for 16 registers.
const CHAINS: usize = 12;
const ROUNDS: usize = 20_000;

/// Billions of floating-point operations per second of one core at `level`, a multiply-add being two: the best of some
/// milliseconds.
pub fn gflops(level: Level) -> f64 {
    (0..40).map(|_| gflops_now(level)).fold(0.0, f64::max)
}

/// The same of a fraction of a millisecond, to be measured between runs of what it is compared with.
pub fn gflops_now(level: Level) -> f64 {
    let start = Instant::now();
    black_box(dispatch!(level, s => chains(s, black_box(ROUNDS))));
    let operations = (2 * level.lanes() * CHAINS * ROUNDS) as f64;
    operations / start.elapsed().as_secs_f64().max(1e-9) / 1e9
}

#[inline(always)]
fn chains<S: Simd>(s: S, rounds: usize) -> f32 {
    let (scale, step) = (s.splat(0.5), s.splat(1.0));
    let mut sums = [s.splat(0.0); CHAINS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = s.mul_add(*sum, scale, step);
        }
    }
    sums.iter().map(|&sum| s.sum(sum)).sum()
}

#[cfg(test)]
mod tests {
    use striate_simd::{Level, test_each_level};

    test_each_level!(
        fn some_rate_is_measured(level: Level) {
            let rate = super::gflops(level);
            assert!(rate.is_finite() && rate > 0.01, "{level}: {rate}");
        }
    );
}
