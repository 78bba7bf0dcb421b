//! The AVX-512 level (F, VL, BW, DQ): sixteen lanes and true masks, Skylake-X and Zen 4 onward.
#![expect(unsafe_code, reason = "vector instructions behind a token")]

use crate::avx2::fetch;
use crate::fold::{fold_add, fold_max, fold_min};
use crate::kernel_fn::kernel_fn;
use bytemuck::pod_read_unaligned;
use core::arch::x86_64::*;

/// Mask of the first `min(len, 16)` lanes.
#[inline(always)]
fn first_lanes(len: usize) -> __mmask16 {
    ((1u32 << len.min(16)) - 1) as __mmask16
}

/// Orders stores past the caches before all later ones.
#[inline(always)]
#[allow(
    unused_unsafe,
    reason = "the instruction is safe in later versions of Rust"
)]
fn order() {
    // SAFETY: a fence touches no memory, and every CPU of this architecture has it.
    unsafe { _mm_sfence() }
}

kernel_fn! {
    /// Proof that this CPU has AVX-512 F, VL, BW and DQ, AVX2 and FMA.
    Avx512 = "avx512", std::is_x86_feature_detected,
        ["avx512f", "avx512vl", "avx512bw", "avx512dq", "avx2", "fma"];
    LANES = 16; F32 = __m512; I32 = __m512i; Mask = __mmask16;
    operations {
        fn splat(x: f32) -> __m512 { _mm512_set1_ps(x) }
        fn splat_pair(pair: [f32; 2]) -> __m512 {
            _mm512_castpd_ps(_mm512_set1_pd(bytemuck::cast(pair)))
        }
        fn load(src: &[f32]) -> __m512 {
            let src = &src[..16];
            // SAFETY: `src` has 16 floats.
            unsafe { _mm512_loadu_ps(src.as_ptr()) }
        }
        fn prefetch(data: &[f32], at: usize) -> () { fetch(data, at) }
        fn streams() -> bool { true }
        fn fence() -> () { order() }
        fn load_partial(src: &[f32]) -> __m512 {
            let mask = first_lanes(src.len());
            // SAFETY: only lanes within `src` are read.
            unsafe { _mm512_maskz_loadu_ps(mask, src.as_ptr()) }
        }
        fn load_u8(src: &[u8]) -> __m512i {
            let (low, high) = src[..16].split_at(8);
            _mm512_cvtepu8_epi32(_mm_set_epi64x(pod_read_unaligned(high), pod_read_unaligned(low)))
        }
        fn store(v: __m512, dst: &mut [f32]) -> () {
            let dst = &mut dst[..16];
            // SAFETY: `dst` has 16 floats.
            unsafe { _mm512_storeu_ps(dst.as_mut_ptr(), v) }
        }
        fn store_partial(v: __m512, dst: &mut [f32]) -> () {
            let mask = first_lanes(dst.len());
            // SAFETY: only lanes within `dst` are written.
            unsafe { _mm512_mask_storeu_ps(dst.as_mut_ptr(), mask, v) }
        }
        fn iota() -> __m512 {
            _mm512_setr_ps(
                0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0,
                8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
            )
        }

        fn add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fn div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fn min(a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        fn max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        fn neg_mul_add(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fnmadd_ps(a, b, c) }
        fn abs(a: __m512) -> __m512 { _mm512_andnot_ps(_mm512_set1_ps(-0.0), a) }
        fn neg(a: __m512) -> __m512 { _mm512_xor_ps(_mm512_set1_ps(-0.0), a) }
        fn sqrt(a: __m512) -> __m512 { _mm512_sqrt_ps(a) }
        fn floor(a: __m512) -> __m512 {
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(a)
        }
        fn round(a: __m512) -> __m512 {
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a)
        }

        fn lt(a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
        fn le(a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b) }
        fn gt(a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
        fn ge(a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, b) }
        fn eq(a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
        fn select(m: __mmask16, if_true: __m512, if_false: __m512) -> __m512 {
            _mm512_mask_blend_ps(m, if_false, if_true)
        }
        fn mask_and(a: __mmask16, b: __mmask16) -> __mmask16 { a & b }
        fn mask_or(a: __mmask16, b: __mmask16) -> __mmask16 { a | b }
        fn mask_not(a: __mmask16) -> __mmask16 { !a }
        fn any(m: __mmask16) -> bool { m != 0 }

        fn splat_i32(x: i32) -> __m512i { _mm512_set1_epi32(x) }
        fn add_i32(a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        fn sub_i32(a: __m512i, b: __m512i) -> __m512i { _mm512_sub_epi32(a, b) }
        fn and_i32(a: __m512i, b: __m512i) -> __m512i { _mm512_and_si512(a, b) }
        fn or_i32(a: __m512i, b: __m512i) -> __m512i { _mm512_or_si512(a, b) }
        fn xor_i32(a: __m512i, b: __m512i) -> __m512i { _mm512_xor_si512(a, b) }
        fn eq_i32(a: __m512i, b: __m512i) -> __mmask16 { _mm512_cmpeq_epi32_mask(a, b) }
        fn gt_i32(a: __m512i, b: __m512i) -> __mmask16 { _mm512_cmpgt_epi32_mask(a, b) }
        fn select_i32(m: __mmask16, if_true: __m512i, if_false: __m512i) -> __m512i {
            _mm512_mask_blend_epi32(m, if_false, if_true)
        }
        fn to_i32(a: __m512) -> __m512i { _mm512_cvtps_epi32(a) }
        fn to_f32(a: __m512i) -> __m512 { _mm512_cvtepi32_ps(a) }
        fn bits(a: __m512) -> __m512i { _mm512_castps_si512(a) }
        fn from_bits(a: __m512i) -> __m512 { _mm512_castsi512_ps(a) }
        fn mul_pow2(a: __m512, n: __m512) -> __m512 { _mm512_scalef_ps(a, n) }
        fn permute(a: __m512, index: __m512i) -> __m512 { _mm512_permutexvar_ps(index, a) }

        fn sum(a: __m512) -> f32 {
            fold_add(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a)))
        }
        fn max_lane(a: __m512) -> f32 {
            fold_max(_mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a)))
        }
        fn min_lane(a: __m512) -> f32 {
            fold_min(_mm256_min_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a)))
        }
    }
    pointers {
        unsafe fn load_ptr(src: *const f32) -> __m512 {
            // SAFETY: the caller grants 16 readable floats.
            unsafe { _mm512_loadu_ps(src) }
        }
        unsafe fn store_ptr(v: __m512, dst: *mut f32) -> () {
            // SAFETY: the caller grants 16 writable floats.
            unsafe { _mm512_storeu_ps(dst, v) }
        }
        unsafe fn stream_ptr(v: __m512, dst: *mut f32) -> () {
            // SAFETY: the caller grants 16 writable floats, aligned, and calls `fence`.
            unsafe { _mm512_stream_ps(dst, v) }
        }
    }
    shifts {
        // The count is a constant all the same: it folds into the immediate form.
        fn shl_i32<N>(a: __m512i) -> __m512i { _mm512_sll_epi32(a, _mm_cvtsi32_si128(N)) }
        fn shr_i32<N>(a: __m512i) -> __m512i { _mm512_srl_epi32(a, _mm_cvtsi32_si128(N)) }
    }
}
