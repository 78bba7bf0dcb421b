//! The NEON level: four lanes, every 64-bit Arm CPU.
#![expect(unsafe_code, reason = "vector instructions behind a token")]

use crate::kernel_fn::kernel_fn;
use bytemuck::pod_read_unaligned;
use core::arch::aarch64::*;

/// A reduction of four lanes: lane `i` meets lane `i + 2`, then `i + 1`.
macro_rules! fold {
    ($a:ident, $x:ident, $y:ident => $op:expr) => {{
        let ($x, $y) = (vget_low_f32($a), vget_high_f32($a));
        let half = $op;
        let ($x, $y) = (half, vdup_lane_f32::<1>(half));
        vget_lane_f32::<0>($op)
    }};
}

kernel_fn! {
    /// Proof that this CPU has NEON.
    Neon = "neon", std::arch::is_aarch64_feature_detected, ["neon"];
    LANES = 4; F32 = float32x4_t; I32 = int32x4_t; Mask = uint32x4_t;
    operations {
        fn splat(x: f32) -> float32x4_t { vdupq_n_f32(x) }
        fn splat_pair(pair: [f32; 2]) -> float32x4_t {
            vreinterpretq_f32_f64(vdupq_n_f64(bytemuck::cast(pair)))
        }
        fn load(src: &[f32]) -> float32x4_t {
            let src = &src[..4];
            // SAFETY: `src` has 4 floats.
            unsafe { vld1q_f32(src.as_ptr()) }
        }
        fn load_partial(src: &[f32]) -> float32x4_t {
            let mut lanes = [0.0; 4];
            for (lane, x) in lanes.iter_mut().zip(src) {
                *lane = *x;
            }
            // SAFETY: `lanes` has 4 floats.
            unsafe { vld1q_f32(lanes.as_ptr()) }
        }
        fn load_u8(src: &[u8]) -> int32x4_t {
            let bytes = vcreate_u8(u64::from(pod_read_unaligned::<u32>(&src[..4])));
            vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))))
        }
        fn store(v: float32x4_t, dst: &mut [f32]) -> () {
            let dst = &mut dst[..4];
            // SAFETY: `dst` has 4 floats.
            unsafe { vst1q_f32(dst.as_mut_ptr(), v) }
        }
        fn store_partial(v: float32x4_t, dst: &mut [f32]) -> () {
            let mut lanes = [0.0; 4];
            // SAFETY: `lanes` has 4 floats.
            unsafe { vst1q_f32(lanes.as_mut_ptr(), v) };
            for (x, lane) in dst.iter_mut().zip(lanes) {
                *x = lane;
            }
        }
        fn iota() -> float32x4_t {
            let lanes = [0.0, 1.0, 2.0, 3.0];
            // SAFETY: `lanes` has 4 floats.
            unsafe { vld1q_f32(lanes.as_ptr()) }
        }

        fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t { vaddq_f32(a, b) }
        fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t { vsubq_f32(a, b) }
        fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t { vmulq_f32(a, b) }
        fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t { vdivq_f32(a, b) }
        // The min and max instructions of NEON propagate NaN; a comparison keeps the rule of the
        // other levels.
        fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t { vbslq_f32(vcltq_f32(a, b), a, b) }
        fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t { vbslq_f32(vcgtq_f32(a, b), a, b) }
        fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            vfmaq_f32(c, a, b)
        }
        fn neg_mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            vfmsq_f32(c, a, b)
        }
        fn abs(a: float32x4_t) -> float32x4_t { vabsq_f32(a) }
        fn neg(a: float32x4_t) -> float32x4_t { vnegq_f32(a) }
        fn sqrt(a: float32x4_t) -> float32x4_t { vsqrtq_f32(a) }
        fn floor(a: float32x4_t) -> float32x4_t { vrndmq_f32(a) }
        fn round(a: float32x4_t) -> float32x4_t { vrndnq_f32(a) }

        fn lt(a: float32x4_t, b: float32x4_t) -> uint32x4_t { vcltq_f32(a, b) }
        fn le(a: float32x4_t, b: float32x4_t) -> uint32x4_t { vcleq_f32(a, b) }
        fn gt(a: float32x4_t, b: float32x4_t) -> uint32x4_t { vcgtq_f32(a, b) }
        fn ge(a: float32x4_t, b: float32x4_t) -> uint32x4_t { vcgeq_f32(a, b) }
        fn eq(a: float32x4_t, b: float32x4_t) -> uint32x4_t { vceqq_f32(a, b) }
        fn select(m: uint32x4_t, if_true: float32x4_t, if_false: float32x4_t) -> float32x4_t {
            vbslq_f32(m, if_true, if_false)
        }
        fn mask_and(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t { vandq_u32(a, b) }
        fn mask_or(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t { vorrq_u32(a, b) }
        fn mask_not(a: uint32x4_t) -> uint32x4_t { vmvnq_u32(a) }
        fn any(m: uint32x4_t) -> bool { vmaxvq_u32(m) != 0 }

        fn splat_i32(x: i32) -> int32x4_t { vdupq_n_s32(x) }
        fn add_i32(a: int32x4_t, b: int32x4_t) -> int32x4_t { vaddq_s32(a, b) }
        fn sub_i32(a: int32x4_t, b: int32x4_t) -> int32x4_t { vsubq_s32(a, b) }
        fn and_i32(a: int32x4_t, b: int32x4_t) -> int32x4_t { vandq_s32(a, b) }
        fn or_i32(a: int32x4_t, b: int32x4_t) -> int32x4_t { vorrq_s32(a, b) }
        fn xor_i32(a: int32x4_t, b: int32x4_t) -> int32x4_t { veorq_s32(a, b) }
        fn eq_i32(a: int32x4_t, b: int32x4_t) -> uint32x4_t { vceqq_s32(a, b) }
        fn gt_i32(a: int32x4_t, b: int32x4_t) -> uint32x4_t { vcgtq_s32(a, b) }
        fn select_i32(m: uint32x4_t, if_true: int32x4_t, if_false: int32x4_t) -> int32x4_t {
            vbslq_s32(m, if_true, if_false)
        }
        fn to_i32(a: float32x4_t) -> int32x4_t { vcvtnq_s32_f32(a) }
        fn to_f32(a: int32x4_t) -> float32x4_t { vcvtq_f32_s32(a) }
        fn bits(a: float32x4_t) -> int32x4_t { vreinterpretq_s32_f32(a) }
        fn from_bits(a: int32x4_t) -> float32x4_t { vreinterpretq_f32_s32(a) }
        fn permute(a: float32x4_t, index: int32x4_t) -> float32x4_t {
            // The numbers of the four bytes of each lane.
            let lane = vandq_u32(vreinterpretq_u32_s32(index), vdupq_n_u32(3));
            let bytes = vmlaq_u32(vdupq_n_u32(0x0302_0100), lane, vdupq_n_u32(0x0404_0404));
            let bytes = vreinterpretq_u8_u32(bytes);
            vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(a), bytes))
        }

        fn sum(a: float32x4_t) -> f32 { fold!(a, x, y => vadd_f32(x, y)) }
        fn max_lane(a: float32x4_t) -> f32 { fold!(a, x, y => vbsl_f32(vcgt_f32(x, y), x, y)) }
        fn min_lane(a: float32x4_t) -> f32 { fold!(a, x, y => vbsl_f32(vclt_f32(x, y), x, y)) }
    }
    pointers {
        unsafe fn load_ptr(src: *const f32) -> float32x4_t {
            // SAFETY: the caller grants 4 readable floats.
            unsafe { vld1q_f32(src) }
        }
        unsafe fn store_ptr(v: float32x4_t, dst: *mut f32) -> () {
            // SAFETY: the caller grants 4 writable floats.
            unsafe { vst1q_f32(dst, v) }
        }
    }
    shifts {
        // A right shift by an immediate cannot be by 0; a left shift by a negative register count
        // can.
        fn shl_i32<N>(a: int32x4_t) -> int32x4_t { vshlq_s32(a, vdupq_n_s32(N)) }
        fn shr_i32<N>(a: int32x4_t) -> int32x4_t {
            vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), vdupq_n_s32(-N)))
        }
    }
}
