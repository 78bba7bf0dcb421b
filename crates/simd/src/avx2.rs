//! The AVX2 + FMA level: eight lanes, Haswell and Zen onward.
#![expect(unsafe_code, reason = "vector instructions behind a token")]

use crate::Avx512;
use crate::fold::{fold_add, fold_max, fold_min};
use crate::kernel_fn::kernel_fn;
use bytemuck::pod_read_unaligned;
use core::arch::x86_64::*;

/// `PARTIAL[8 - n..]` has its first `n` lanes set.
static PARTIAL: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// Mask of the first `min(len, 8)` lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn first_lanes(len: usize) -> __m256i {
    let lanes = &PARTIAL[8 - len.min(8)..][..8];
    // SAFETY: `lanes` has 8 integers.
    unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
}

/// Brings the line of memory that holds `data[at]` to the second-level cache.
#[inline(always)]
#[allow(
    unused_unsafe,
    reason = "the instruction is safe in later versions of Rust"
)]
pub(crate) fn fetch(data: &[f32], at: usize) {
    let place = data.as_ptr().wrapping_add(at);
    // SAFETY: a prefetch reads nothing that the program sees, and never faults.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(place.cast()) }
}

impl From<Avx512> for Avx2 {
    /// The features of the one are among those of the other.
    fn from(_: Avx512) -> Self {
        Self(())
    }
}

kernel_fn! {
    /// Proof that this CPU has AVX2 and FMA.
    Avx2 = "avx2", std::is_x86_feature_detected, ["avx2", "fma"];
    LANES = 8; F32 = __m256; I32 = __m256i; Mask = __m256;
    operations {
        fn splat(x: f32) -> __m256 { _mm256_set1_ps(x) }
        fn splat_pair(pair: [f32; 2]) -> __m256 {
            _mm256_castpd_ps(_mm256_set1_pd(bytemuck::cast(pair)))
        }
        fn load(src: &[f32]) -> __m256 {
            let src = &src[..8];
            // SAFETY: `src` has 8 floats.
            unsafe { _mm256_loadu_ps(src.as_ptr()) }
        }
        fn prefetch(data: &[f32], at: usize) -> () { fetch(data, at) }
        fn load_partial(src: &[f32]) -> __m256 {
            let mask = first_lanes(src.len());
            // SAFETY: only lanes within `src` are read.
            unsafe { _mm256_maskload_ps(src.as_ptr(), mask) }
        }
        fn load_u8(src: &[u8]) -> __m256i {
            _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(pod_read_unaligned(&src[..8])))
        }
        fn store(v: __m256, dst: &mut [f32]) -> () {
            let dst = &mut dst[..8];
            // SAFETY: `dst` has 8 floats.
            unsafe { _mm256_storeu_ps(dst.as_mut_ptr(), v) }
        }
        fn store_partial(v: __m256, dst: &mut [f32]) -> () {
            let mask = first_lanes(dst.len());
            // SAFETY: only lanes within `dst` are written.
            unsafe { _mm256_maskstore_ps(dst.as_mut_ptr(), mask, v) }
        }
        fn iota() -> __m256 { _mm256_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0) }

        fn add(a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        fn sub(a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        fn mul(a: __m256, b: __m256) -> __m256 { _mm256_mul_ps(a, b) }
        fn div(a: __m256, b: __m256) -> __m256 { _mm256_div_ps(a, b) }
        fn min(a: __m256, b: __m256) -> __m256 { _mm256_min_ps(a, b) }
        fn max(a: __m256, b: __m256) -> __m256 { _mm256_max_ps(a, b) }
        fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fmadd_ps(a, b, c) }
        fn neg_mul_add(a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fnmadd_ps(a, b, c) }
        fn abs(a: __m256) -> __m256 { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
        fn neg(a: __m256) -> __m256 { _mm256_xor_ps(_mm256_set1_ps(-0.0), a) }
        fn sqrt(a: __m256) -> __m256 { _mm256_sqrt_ps(a) }
        fn floor(a: __m256) -> __m256 { _mm256_floor_ps(a) }
        fn round(a: __m256) -> __m256 {
            _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a)
        }

        fn lt(a: __m256, b: __m256) -> __m256 { _mm256_cmp_ps::<_CMP_LT_OQ>(a, b) }
        fn le(a: __m256, b: __m256) -> __m256 { _mm256_cmp_ps::<_CMP_LE_OQ>(a, b) }
        fn gt(a: __m256, b: __m256) -> __m256 { _mm256_cmp_ps::<_CMP_GT_OQ>(a, b) }
        fn ge(a: __m256, b: __m256) -> __m256 { _mm256_cmp_ps::<_CMP_GE_OQ>(a, b) }
        fn eq(a: __m256, b: __m256) -> __m256 { _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b) }
        fn select(m: __m256, if_true: __m256, if_false: __m256) -> __m256 {
            _mm256_blendv_ps(if_false, if_true, m)
        }
        fn mask_and(a: __m256, b: __m256) -> __m256 { _mm256_and_ps(a, b) }
        fn mask_or(a: __m256, b: __m256) -> __m256 { _mm256_or_ps(a, b) }
        fn mask_not(a: __m256) -> __m256 {
            _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1)))
        }
        fn any(m: __m256) -> bool { _mm256_movemask_ps(m) != 0 }

        fn splat_i32(x: i32) -> __m256i { _mm256_set1_epi32(x) }
        fn add_i32(a: __m256i, b: __m256i) -> __m256i { _mm256_add_epi32(a, b) }
        fn sub_i32(a: __m256i, b: __m256i) -> __m256i { _mm256_sub_epi32(a, b) }
        fn and_i32(a: __m256i, b: __m256i) -> __m256i { _mm256_and_si256(a, b) }
        fn or_i32(a: __m256i, b: __m256i) -> __m256i { _mm256_or_si256(a, b) }
        fn xor_i32(a: __m256i, b: __m256i) -> __m256i { _mm256_xor_si256(a, b) }
        fn eq_i32(a: __m256i, b: __m256i) -> __m256 {
            _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b))
        }
        fn gt_i32(a: __m256i, b: __m256i) -> __m256 {
            _mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b))
        }
        fn select_i32(m: __m256, if_true: __m256i, if_false: __m256i) -> __m256i {
            _mm256_blendv_epi8(if_false, if_true, _mm256_castps_si256(m))
        }
        fn to_i32(a: __m256) -> __m256i { _mm256_cvtps_epi32(a) }
        fn to_f32(a: __m256i) -> __m256 { _mm256_cvtepi32_ps(a) }
        fn bits(a: __m256) -> __m256i { _mm256_castps_si256(a) }
        fn from_bits(a: __m256i) -> __m256 { _mm256_castsi256_ps(a) }
        fn permute(a: __m256, index: __m256i) -> __m256 { _mm256_permutevar8x32_ps(a, index) }

        fn sum(a: __m256) -> f32 { fold_add(a) }
        fn max_lane(a: __m256) -> f32 { fold_max(a) }
        fn min_lane(a: __m256) -> f32 { fold_min(a) }
    }
    pointers {
        unsafe fn load_ptr(src: *const f32) -> __m256 {
            // SAFETY: the caller grants 8 readable floats.
            unsafe { _mm256_loadu_ps(src) }
        }
        unsafe fn store_ptr(v: __m256, dst: *mut f32) -> () {
            // SAFETY: the caller grants 8 writable floats.
            unsafe { _mm256_storeu_ps(dst, v) }
        }
    }
    shifts {
        fn shl_i32<N>(a: __m256i) -> __m256i { _mm256_slli_epi32::<N>(a) }
        fn shr_i32<N>(a: __m256i) -> __m256i { _mm256_srli_epi32::<N>(a) }
    }
}
