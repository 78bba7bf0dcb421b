//! What a core can do at most, measured where the kernels run.

use std::hint::black_box;
use std::time::Instant;
use striate_simd::{Level, Simd, dispatch};

/// Sums in flight: enough for two multiply-adds a cycle of latency four, few enough for 16 registers.
const SUMS: usize = 10;

/// Steps of one measurement: a fraction of a millisecond.
const STEPS: usize = 50_000;

/// Multiply-adds per second that fit between registers, times two, in units of 10^9.
pub fn gflops(level: Level) -> f64 {
    let start = Instant::now();
    black_box(dispatch!(level, s => chains(s, black_box(0.5), black_box(1.0))));
    let seconds = start.elapsed().as_secs_f64();
    (2 * SUMS * STEPS * level.lanes()) as f64 / seconds / 1e9
}

/// Independent chains `x = x * a + b`, which converge and so never leave the normal numbers.
#[inline(always)]
fn chains<S: Simd>(s: S, a: f32, b: f32) -> f32 {
    let (a, b) = (s.splat(a), s.splat(b));
    let mut sums = [b; SUMS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = s.mul_add(*sum, a, b);
        }
    }
    let lanes = sums.into_iter().map(
        #[inline(always)]
        |sum| s.sum(sum),
    );
    lanes.sum()
}

/// Bytes read and written per second by a copy of `bytes` bytes, in units of 10^9.
#[derive(Debug)]
pub struct Copy {
    source: Vec<f32>,
    target: Vec<f32>,
}

impl Copy {
    /// A copy that moves about `bytes` bytes, read and written together.
    pub fn new(bytes: usize) -> Self {
        let len = (bytes / 8).max(1);
        Self {
            source: vec![1.0; len],
            target: vec![0.0; len],
        }
    }

    /// Runs the copy once.
    pub fn gbytes(&mut self) -> f64 {
        let start = Instant::now();
        self.target.copy_from_slice(black_box(&self.source));
        black_box(&mut self.target);
        let seconds = start.elapsed().as_secs_f64();
        (8 * self.source.len()) as f64 / seconds / 1e9
    }
}
