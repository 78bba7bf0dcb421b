//! The scalar level: one lane. The same kernels with the simplest tiles, for Miri and for the logic
//! of tails.
#![expect(unsafe_code, reason = "the two pointer operations")]

use crate::Level;
use crate::simd::{Simd, sealed::Sealed};

/// The one-lane level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scalar(());

impl Scalar {
    /// The token; it needs nothing of the CPU.
    pub const fn new() -> Self {
        Self(())
    }
}

impl Default for Scalar {
    fn default() -> Self {
        Self::new()
    }
}

impl Sealed for Scalar {}

impl Simd for Scalar {
    const LANES: usize = 1;
    const NAME: &'static str = "scalar";
    type F32 = f32;
    type I32 = i32;
    type Mask = bool;

    #[inline(always)]
    fn level(self) -> Level {
        Level::Scalar(self)
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }

    #[inline(always)]
    fn splat(self, x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn splat_pair(self, pair: [f32; 2]) -> f32 {
        pair[0]
    }
    #[inline(always)]
    fn load(self, src: &[f32]) -> f32 {
        src[0]
    }
    #[inline(always)]
    fn load_partial(self, src: &[f32]) -> f32 {
        src.first().copied().unwrap_or(0.0)
    }
    #[inline(always)]
    fn load_u8(self, src: &[u8]) -> i32 {
        i32::from(src[0])
    }
    #[inline(always)]
    fn store(self, v: f32, dst: &mut [f32]) {
        dst[0] = v;
    }
    #[inline(always)]
    fn store_partial(self, v: f32, dst: &mut [f32]) {
        if let Some(x) = dst.first_mut() {
            *x = v;
        }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, src: *const f32) -> f32 {
        // SAFETY: the caller grants a readable float.
        unsafe { *src }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: f32, dst: *mut f32) {
        // SAFETY: the caller grants a writable float.
        unsafe { *dst = v }
    }
    #[inline(always)]
    fn iota(self) -> f32 {
        0.0
    }

    #[inline(always)]
    fn add(self, a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32, b: f32) -> f32 {
        a / b
    }
    #[inline(always)]
    fn min(self, a: f32, b: f32) -> f32 {
        if a < b { a } else { b }
    }
    #[inline(always)]
    fn max(self, a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
    #[inline(always)]
    fn neg_mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        c - a * b
    }
    #[inline(always)]
    fn abs(self, a: f32) -> f32 {
        a.abs()
    }
    #[inline(always)]
    fn neg(self, a: f32) -> f32 {
        -a
    }
    #[inline(always)]
    fn sqrt(self, a: f32) -> f32 {
        a.sqrt()
    }
    #[inline(always)]
    fn floor(self, a: f32) -> f32 {
        a.floor()
    }
    #[inline(always)]
    fn round(self, a: f32) -> f32 {
        a.round_ties_even()
    }

    #[inline(always)]
    fn lt(self, a: f32, b: f32) -> bool {
        a < b
    }
    #[inline(always)]
    fn le(self, a: f32, b: f32) -> bool {
        a <= b
    }
    #[inline(always)]
    fn gt(self, a: f32, b: f32) -> bool {
        a > b
    }
    #[inline(always)]
    fn ge(self, a: f32, b: f32) -> bool {
        a >= b
    }
    #[inline(always)]
    fn eq(self, a: f32, b: f32) -> bool {
        a == b
    }
    #[inline(always)]
    fn select(self, m: bool, if_true: f32, if_false: f32) -> f32 {
        if m { if_true } else { if_false }
    }
    #[inline(always)]
    fn mask_and(self, a: bool, b: bool) -> bool {
        a & b
    }
    #[inline(always)]
    fn mask_or(self, a: bool, b: bool) -> bool {
        a | b
    }
    #[inline(always)]
    fn mask_not(self, a: bool) -> bool {
        !a
    }
    #[inline(always)]
    fn any(self, m: bool) -> bool {
        m
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> i32 {
        x
    }
    #[inline(always)]
    fn add_i32(self, a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn sub_i32(self, a: i32, b: i32) -> i32 {
        a.wrapping_sub(b)
    }
    #[inline(always)]
    fn and_i32(self, a: i32, b: i32) -> i32 {
        a & b
    }
    #[inline(always)]
    fn or_i32(self, a: i32, b: i32) -> i32 {
        a | b
    }
    #[inline(always)]
    fn xor_i32(self, a: i32, b: i32) -> i32 {
        a ^ b
    }
    #[inline(always)]
    fn shl_i32<const N: i32>(self, a: i32) -> i32 {
        const { assert!(N >= 0 && N < 32, "a shift is by 0..32 bits") };
        a << N
    }
    #[inline(always)]
    fn shr_i32<const N: i32>(self, a: i32) -> i32 {
        const { assert!(N >= 0 && N < 32, "a shift is by 0..32 bits") };
        (a.cast_unsigned() >> N).cast_signed()
    }
    #[inline(always)]
    fn eq_i32(self, a: i32, b: i32) -> bool {
        a == b
    }
    #[inline(always)]
    fn gt_i32(self, a: i32, b: i32) -> bool {
        a > b
    }
    #[inline(always)]
    fn select_i32(self, m: bool, if_true: i32, if_false: i32) -> i32 {
        if m { if_true } else { if_false }
    }
    #[inline(always)]
    fn to_i32(self, a: f32) -> i32 {
        a.round_ties_even() as i32
    }
    #[inline(always)]
    fn to_f32(self, a: i32) -> f32 {
        a as f32
    }
    #[inline(always)]
    fn bits(self, a: f32) -> i32 {
        a.to_bits().cast_signed()
    }
    #[inline(always)]
    fn from_bits(self, a: i32) -> f32 {
        f32::from_bits(a.cast_unsigned())
    }
    #[inline(always)]
    fn permute(self, a: f32, _index: i32) -> f32 {
        a
    }

    #[inline(always)]
    fn sum(self, a: f32) -> f32 {
        a
    }
    #[inline(always)]
    fn max_lane(self, a: f32) -> f32 {
        a
    }
    #[inline(always)]
    fn min_lane(self, a: f32) -> f32 {
        a
    }
}
