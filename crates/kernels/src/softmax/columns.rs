//! Lines whose elements are apart, a vector across neighbouring lines.

use super::AxisGeometry;
use crate::lanes::maximum;
use striate_simd::Simd;
use striate_simd::math::{exp, exp_normal, log, normal_or_zero};

/// One block `[len, inner]` of the array.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    len: usize,
    inner: usize,
}

impl Block {
    pub(super) fn new(g: &AxisGeometry) -> Self {
        Self {
            len: g.len(),
            inner: g.inner(),
        }
    }

    /// The elements number `i` of the lines from `at` on, as many as a vector holds.
    #[inline(always)]
    fn load<S: Simd>(self, s: S, x: &[f32], i: usize, at: usize) -> S::F32 {
        let end = (at + S::LANES).min(self.inner);
        s.load_partial(&x[i * self.inner + at..i * self.inner + end])
    }

    #[inline(always)]
    fn store<S: Simd>(self, s: S, v: S::F32, y: &mut [f32], i: usize, at: usize) {
        let end = (at + S::LANES).min(self.inner);
        s.store_partial(v, &mut y[i * self.inner + at..i * self.inner + end]);
    }

    /// The largest elements of the lines from `at` on; NaN if any is.
    #[inline(always)]
    fn max<S: Simd>(self, s: S, x: &[f32], at: usize) -> S::F32 {
        let mut max = s.splat(f32::NEG_INFINITY);
        for i in 0..self.len {
            max = maximum(s, self.load(s, x, i, at), max);
        }
        max
    }

    /// The largest elements, and the logarithms of the sums of the exponentials of the differences to them.
    #[inline(always)]
    fn log_sum<S: Simd>(self, s: S, x: &[f32], at: usize) -> [S::F32; 2] {
        let max = self.max(s, x, at);
        let mut sum = s.splat(0.0);
        for i in 0..self.len {
            sum = s.add(sum, exp(s, s.sub(self.load(s, x, i, at), max)));
        }
        [max, log(s, sum)]
    }
}

#[inline(always)]
pub(super) fn softmax<S: Simd>(s: S, block: Block, x: &[f32], y: &mut [f32]) {
    for at in (0..block.inner).step_by(S::LANES) {
        let max = block.max(s, x, at);
        let mut sum = s.splat(0.0);
        for i in 0..block.len {
            let e = exp_normal(s, s.sub(block.load(s, x, i, at), max));
            block.store(s, e, y, i, at);
            sum = s.add(sum, e);
        }
        let scale = s.div(s.splat(1.0), sum);
        for i in 0..block.len {
            let value = normal_or_zero(s, s.mul(block.load(s, y, i, at), scale));
            block.store(s, value, y, i, at);
        }
    }
}

#[inline(always)]
pub(super) fn log_softmax<S: Simd>(s: S, block: Block, x: &[f32], y: &mut [f32]) {
    for at in (0..block.inner).step_by(S::LANES) {
        let [max, log_sum] = block.log_sum(s, x, at);
        for i in 0..block.len {
            let value = s.sub(s.sub(block.load(s, x, i, at), max), log_sum);
            block.store(s, value, y, i, at);
        }
    }
}

/// The largest elements and logarithms of sums of all lines.
#[inline(always)]
pub(super) fn log_sums<S: Simd>(
    s: S,
    block: Block,
    x: &[f32],
    max: &mut [f32],
    log_sum: &mut [f32],
) {
    for at in (0..block.inner).step_by(S::LANES) {
        let [top, sum] = block.log_sum(s, x, at);
        block.store(s, top, max, 0, at);
        block.store(s, sum, log_sum, 0, at);
    }
}

#[inline(always)]
pub(super) fn softmax_backward<S: Simd>(s: S, block: Block, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    for at in (0..block.inner).step_by(S::LANES) {
        let mut dot = s.splat(0.0);
        for i in 0..block.len {
            dot = s.mul_add(block.load(s, y, i, at), block.load(s, dy, i, at), dot);
        }
        for i in 0..block.len {
            let apart = s.sub(block.load(s, dy, i, at), dot);
            let value = normal_or_zero(s, s.mul(block.load(s, y, i, at), apart));
            block.store(s, value, dx, i, at);
        }
    }
}

#[inline(always)]
pub(super) fn log_softmax_backward<S: Simd>(
    s: S,
    block: Block,
    y: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) {
    for at in (0..block.inner).step_by(S::LANES) {
        let mut sum = s.splat(0.0);
        for i in 0..block.len {
            sum = s.add(sum, block.load(s, dy, i, at));
        }
        for i in 0..block.len {
            let share = exp(s, block.load(s, y, i, at));
            let value = s.neg_mul_add(share, sum, block.load(s, dy, i, at));
            block.store(s, value, dx, i, at);
        }
    }
}
