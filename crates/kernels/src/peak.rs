//! Measures the multiply-add rate of one core: the ceiling of every kernel, and what a benchmark's rate is a share of.

use std::hint::black_box;
use std::time::{Duration, Instant};

use striate_simd::{Level, Simd, dispatch};

/// Independent sums in flight: enough to hide the latency of two units of four cycles, few enough for 16 registers.
const CHAINS: usize = 12;
const ROUNDS: usize = 20_000;

/// Billions of floating-point operations per second of one core at `level`, a multiply-add being two: the best of some
/// milliseconds.
pub fn gflops(level: Level) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..40 {
        let start = Instant::now();
        black_box(dispatch!(level, s => chains(s, black_box(ROUNDS))));
        best = best.min(start.elapsed());
    }
    let operations = (2 * level.lanes() * CHAINS * ROUNDS) as f64;
    operations / best.as_secs_f64().max(1e-9) / 1e9
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
