//! The vector operations a kernel is written in.
#![expect(unsafe_code, reason = "declares the pointer operations")]

use crate::Level;
use std::fmt::Debug;

/// Keeps [`Simd`] closed: its safety rests on tokens that only detection makes.
pub(crate) mod sealed {
    /// Implemented by the tokens of this crate.
    pub trait Sealed {}
}

/// A SIMD level: the proof that the CPU has it, and the operations on its vectors.
///
/// Operations are lane-wise and follow IEEE 754 unless stated. Every method is a single instruction
/// (or a few) inside [`vectorize`](Self::vectorize) and a correct but slow function call elsewhere.
pub trait Simd: Copy + Send + Sync + Debug + 'static + sealed::Sealed {
    /// Number of `f32` lanes of a vector.
    const LANES: usize;
    /// Name of the level, as in `STRIATE_SIMD`.
    const NAME: &'static str;
    /// A vector of `LANES` floats.
    type F32: Copy + Send + Sync + Debug + 'static;
    /// A vector of `LANES` 32-bit integers.
    type I32: Copy + Send + Sync + Debug + 'static;
    /// A truth value per lane.
    type Mask: Copy + Send + Sync + Debug + 'static;

    /// The level of this token.
    fn level(self) -> Level;

    /// Runs `f` with the features of this level enabled. `f` must be `#[inline(always)]` to profit.
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;

    // ---- memory

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F32;

    /// `pair[i % 2]` in lane `i`.
    fn splat_pair(self, pair: [f32; 2]) -> Self::F32;

    /// The first `LANES` floats of `src`.
    ///
    /// # Panics
    /// If `src` is shorter.
    fn load(self, src: &[f32]) -> Self::F32;

    /// The first `min(src.len(), LANES)` floats of `src`, then zeros.
    fn load_partial(self, src: &[f32]) -> Self::F32;

    /// The first `LANES` bytes of `src`, as numbers from 0 to 255.
    ///
    /// # Panics
    /// If `src` is shorter.
    fn load_u8(self, src: &[u8]) -> Self::I32;

    /// Writes all lanes to the start of `dst`.
    ///
    /// # Panics
    /// If `dst` has fewer than `LANES` floats.
    fn store(self, v: Self::F32, dst: &mut [f32]);

    /// Writes the first `min(dst.len(), LANES)` lanes to `dst` and leaves the rest of it alone.
    fn store_partial(self, v: Self::F32, dst: &mut [f32]);

    /// [`load`](Self::load) without a bounds check.
    ///
    /// # Safety
    /// `src` is valid for reading `LANES` floats. It need only be aligned as an `f32`.
    unsafe fn load_ptr(self, src: *const f32) -> Self::F32;

    /// [`store`](Self::store) without a bounds check.
    ///
    /// # Safety
    /// `dst` is valid for writing `LANES` floats. It need only be aligned as an `f32`.
    unsafe fn store_ptr(self, v: Self::F32, dst: *mut f32);

    /// Asks for the line of memory that holds `data[at]` to be brought to the second-level cache. A
    /// hint: it does nothing where there is no such instruction, and `at` may lie beyond the end.
    #[inline(always)]
    fn prefetch(self, data: &[f32], at: usize) {
        let _ = (data, at);
    }

    /// Whether there are stores that pass the caches by: of vectors that are whole lines of memory, since a part
    /// of a line would be written on its own. [`Stream`](crate::Stream) is made of them.
    #[inline(always)]
    fn streams(self) -> bool {
        false
    }

    /// [`store_ptr`](Self::store_ptr), past the caches if this level [`streams`](Self::streams).
    ///
    /// # Safety
    /// As for `store_ptr`; `dst` is aligned as a vector, and no other thread accesses it before this one has called
    /// [`fence`](Self::fence).
    #[inline(always)]
    unsafe fn stream_ptr(self, v: Self::F32, dst: *mut f32) {
        // SAFETY: as the caller promises.
        unsafe { self.store_ptr(v, dst) }
    }

    /// Orders stores past the caches before all later ones.
    #[inline(always)]
    fn fence(self) {}

    /// `0.0, 1.0, 2.0, ...`
    fn iota(self) -> Self::F32;

    // ---- arithmetic

    /// `a + b`
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `if a < b { a } else { b }`: `b` when either is NaN, and when both are zeros of any sign.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `if a > b { a } else { b }`: `b` when either is NaN, and when both are zeros of any sign.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once on avx2, avx512 and neon, twice on scalar and portable.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `c - a * b`, rounded as [`mul_add`](Self::mul_add).
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// Clears the sign bit.
    fn abs(self, a: Self::F32) -> Self::F32;
    /// Flips the sign bit.
    fn neg(self, a: Self::F32) -> Self::F32;
    /// Square root; NaN below zero.
    fn sqrt(self, a: Self::F32) -> Self::F32;
    /// The largest integer not above `a`; keeps infinities, NaN and the sign of zero.
    fn floor(self, a: Self::F32) -> Self::F32;
    /// The nearest integer, ties to even; keeps infinities, NaN and the sign.
    fn round(self, a: Self::F32) -> Self::F32;

    // ---- masks: comparisons with NaN are false

    /// `a < b`
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a <= b`
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a > b`
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a >= b`
    fn ge(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a == b`
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `if m { if_true } else { if_false }`
    fn select(self, m: Self::Mask, if_true: Self::F32, if_false: Self::F32) -> Self::F32;
    /// `a & b`
    fn mask_and(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `a | b`
    fn mask_or(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `!a`
    fn mask_not(self, a: Self::Mask) -> Self::Mask;
    /// True if a lane of `m` is.
    fn any(self, m: Self::Mask) -> bool;

    // ---- integer lanes: arithmetic wraps

    /// `x` in every lane.
    fn splat_i32(self, x: i32) -> Self::I32;
    /// `a + b`
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a - b`
    fn sub_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a & b`
    fn and_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a | b`
    fn or_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a ^ b`
    fn xor_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a << N`, `N` in `0..32`.
    fn shl_i32<const N: i32>(self, a: Self::I32) -> Self::I32;
    /// `a >> N` filling with zeros, `N` in `0..32`.
    fn shr_i32<const N: i32>(self, a: Self::I32) -> Self::I32;
    /// `a == b`
    fn eq_i32(self, a: Self::I32, b: Self::I32) -> Self::Mask;
    /// `a > b`
    fn gt_i32(self, a: Self::I32, b: Self::I32) -> Self::Mask;
    /// `if m { if_true } else { if_false }`
    fn select_i32(self, m: Self::Mask, if_true: Self::I32, if_false: Self::I32) -> Self::I32;
    /// The nearest integer, ties to even; some integer where the result does not fit.
    fn to_i32(self, a: Self::F32) -> Self::I32;
    /// The nearest float, ties to even.
    fn to_f32(self, a: Self::I32) -> Self::F32;
    /// The bit pattern of `a`.
    fn bits(self, a: Self::F32) -> Self::I32;
    /// The float with bit pattern `a`.
    #[expect(clippy::wrong_self_convention, reason = "the token is no vector")]
    fn from_bits(self, a: Self::I32) -> Self::F32;

    /// `a * 2^n` for integral `n` in `-252..=254`, rounded once as long as `a * 2^(n/2)` is a normal
    /// number: overflow gives infinity, underflow a subnormal number or zero.
    #[inline(always)]
    fn mul_pow2(self, a: Self::F32, n: Self::F32) -> Self::F32 {
        // Two factors, since 2^n alone need not be a float: 2^floor(n/2) and the rest.
        let n = self.to_i32(n);
        let half_128 = self.shr_i32::<1>(self.add_i32(n, self.splat_i32(256)));
        let half = self.sub_i32(half_128, self.splat_i32(1));
        let rest = self.sub_i32(self.add_i32(n, self.splat_i32(255)), half_128);
        let a = self.mul(a, self.from_bits(self.shl_i32::<23>(half)));
        self.mul(a, self.from_bits(self.shl_i32::<23>(rest)))
    }

    /// Lane `i` of the result is lane `index[i]` of `a`; of an index only the low bits count, as many
    /// as number the lanes.
    fn permute(self, a: Self::F32, index: Self::I32) -> Self::F32;

    // ---- across lanes: lane i meets lane i + LANES/2, then the halves of that, and so on

    /// Sum of the lanes.
    fn sum(self, a: Self::F32) -> f32;
    /// The largest lane; some lane if one is NaN.
    fn max_lane(self, a: Self::F32) -> f32;
    /// The smallest lane; some lane if one is NaN.
    fn min_lane(self, a: Self::F32) -> f32;
}
