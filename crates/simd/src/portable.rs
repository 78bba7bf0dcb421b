//! The portable level: eight lanes of whatever the compilation target has (SSE2 on x86-64).
#![expect(unsafe_code, reason = "the two pointer operations")]

use crate::Level;
use crate::simd::{Simd, sealed::Sealed};
use bytemuck::cast;
use wide::{f32x8, i32x8, u32x8};

/// The level every CPU can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Portable(());

impl Portable {
    /// The token; it needs nothing of the CPU.
    pub const fn new() -> Self {
        Self(())
    }
}

impl Default for Portable {
    fn default() -> Self {
        Self::new()
    }
}

/// `2^23`: from here on every float is an integer.
const INTEGERS: f32 = 8_388_608.0;

/// A reduction of eight lanes: lane `i` meets lane `i + 4`, then `i + 2`, then `i + 1`.
#[inline(always)]
fn fold(a: f32x8, op: impl Fn(f32, f32) -> f32) -> f32 {
    let a = a.to_array();
    let a = [
        op(a[0], a[4]),
        op(a[1], a[5]),
        op(a[2], a[6]),
        op(a[3], a[7]),
    ];
    op(op(a[0], a[2]), op(a[1], a[3]))
}

impl Sealed for Portable {}

impl Simd for Portable {
    const LANES: usize = 8;
    const NAME: &'static str = "portable";
    type F32 = f32x8;
    type I32 = i32x8;
    type Mask = f32x8;

    #[inline(always)]
    fn level(self) -> Level {
        Level::Portable(self)
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }

    #[inline(always)]
    fn splat(self, x: f32) -> f32x8 {
        f32x8::splat(x)
    }
    #[inline(always)]
    fn splat_pair(self, [a, b]: [f32; 2]) -> f32x8 {
        f32x8::new([a, b, a, b, a, b, a, b])
    }
    #[inline(always)]
    fn load(self, src: &[f32]) -> f32x8 {
        bytemuck::pod_read_unaligned(bytemuck::cast_slice(&src[..8]))
    }
    #[inline(always)]
    fn load_partial(self, src: &[f32]) -> f32x8 {
        let mut lanes = [0.0; 8];
        let n = src.len().min(8);
        lanes[..n].copy_from_slice(&src[..n]);
        f32x8::new(lanes)
    }
    #[inline(always)]
    fn load_u8(self, src: &[u8]) -> i32x8 {
        let mut lanes = [0; 8];
        for (lane, &byte) in lanes.iter_mut().zip(&src[..8]) {
            *lane = i32::from(byte);
        }
        i32x8::new(lanes)
    }
    #[inline(always)]
    fn store(self, v: f32x8, dst: &mut [f32]) {
        dst[..8].copy_from_slice(v.as_array());
    }
    #[inline(always)]
    fn store_partial(self, v: f32x8, dst: &mut [f32]) {
        let n = dst.len().min(8);
        dst[..n].copy_from_slice(&v.as_array()[..n]);
    }
    #[inline(always)]
    unsafe fn load_ptr(self, src: *const f32) -> f32x8 {
        // SAFETY: the caller grants 8 readable floats.
        f32x8::new(unsafe { src.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: f32x8, dst: *mut f32) {
        // SAFETY: the caller grants 8 writable floats.
        unsafe { dst.cast::<[f32; 8]>().write_unaligned(v.to_array()) }
    }
    #[inline(always)]
    fn iota(self) -> f32x8 {
        f32x8::new([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    }

    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32x8, b: f32x8) -> f32x8 {
        a / b
    }
    #[inline(always)]
    fn min(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_lt(b).select(a, b)
    }
    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_gt(b).select(a, b)
    }
    #[inline(always)]
    fn mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a * b + c
    }
    #[inline(always)]
    fn neg_mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        c - a * b
    }
    #[inline(always)]
    fn abs(self, a: f32x8) -> f32x8 {
        a.abs()
    }
    #[inline(always)]
    fn neg(self, a: f32x8) -> f32x8 {
        a ^ f32x8::splat(-0.0)
    }
    #[inline(always)]
    fn sqrt(self, a: f32x8) -> f32x8 {
        a.sqrt()
    }
    #[inline(always)]
    fn floor(self, a: f32x8) -> f32x8 {
        let r = self.round(a);
        r.simd_gt(a).select(r - f32x8::ONE, r)
    }
    // Adding 2^23 leaves no room for a fraction: the addition itself rounds, ties to even.
    #[inline(always)]
    fn round(self, a: f32x8) -> f32x8 {
        let sign = a & f32x8::splat(-0.0);
        let magnitude = a.abs();
        let big = f32x8::splat(INTEGERS);
        magnitude
            .simd_lt(big)
            .select(((magnitude + big) - big) | sign, a)
    }

    #[inline(always)]
    fn lt(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_lt(b)
    }
    #[inline(always)]
    fn le(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_le(b)
    }
    #[inline(always)]
    fn gt(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_gt(b)
    }
    #[inline(always)]
    fn ge(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_ge(b)
    }
    #[inline(always)]
    fn eq(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_eq(b)
    }
    #[inline(always)]
    fn select(self, m: f32x8, if_true: f32x8, if_false: f32x8) -> f32x8 {
        m.select(if_true, if_false)
    }
    #[inline(always)]
    fn mask_and(self, a: f32x8, b: f32x8) -> f32x8 {
        a & b
    }
    #[inline(always)]
    fn mask_or(self, a: f32x8, b: f32x8) -> f32x8 {
        a | b
    }
    #[inline(always)]
    fn mask_not(self, a: f32x8) -> f32x8 {
        !a
    }
    #[inline(always)]
    fn any(self, m: f32x8) -> bool {
        m.any()
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> i32x8 {
        i32x8::splat(x)
    }
    #[inline(always)]
    fn add_i32(self, a: i32x8, b: i32x8) -> i32x8 {
        a + b
    }
    #[inline(always)]
    fn sub_i32(self, a: i32x8, b: i32x8) -> i32x8 {
        a - b
    }
    #[inline(always)]
    fn and_i32(self, a: i32x8, b: i32x8) -> i32x8 {
        a & b
    }
    #[inline(always)]
    fn or_i32(self, a: i32x8, b: i32x8) -> i32x8 {
        a | b
    }
    #[inline(always)]
    fn xor_i32(self, a: i32x8, b: i32x8) -> i32x8 {
        a ^ b
    }
    #[inline(always)]
    fn shl_i32<const N: i32>(self, a: i32x8) -> i32x8 {
        const { assert!(N >= 0 && N < 32, "a shift is by 0..32 bits") };
        a << N
    }
    #[inline(always)]
    fn shr_i32<const N: i32>(self, a: i32x8) -> i32x8 {
        const { assert!(N >= 0 && N < 32, "a shift is by 0..32 bits") };
        cast(cast::<i32x8, u32x8>(a) >> N)
    }
    #[inline(always)]
    fn eq_i32(self, a: i32x8, b: i32x8) -> f32x8 {
        cast(a.simd_eq(b))
    }
    #[inline(always)]
    fn gt_i32(self, a: i32x8, b: i32x8) -> f32x8 {
        cast(a.simd_gt(b))
    }
    #[inline(always)]
    fn select_i32(self, m: f32x8, if_true: i32x8, if_false: i32x8) -> i32x8 {
        cast(m.select(
            cast::<i32x8, f32x8>(if_true),
            cast::<i32x8, f32x8>(if_false),
        ))
    }
    #[inline(always)]
    fn to_i32(self, a: f32x8) -> i32x8 {
        a.fast_round_int()
    }
    #[inline(always)]
    fn to_f32(self, a: i32x8) -> f32x8 {
        a.round_float()
    }
    #[inline(always)]
    fn bits(self, a: f32x8) -> i32x8 {
        cast(a)
    }
    #[inline(always)]
    fn from_bits(self, a: i32x8) -> f32x8 {
        cast(a)
    }
    #[inline(always)]
    fn permute(self, a: f32x8, index: i32x8) -> f32x8 {
        let (a, index) = (a.to_array(), index.to_array());
        f32x8::new(index.map(
            #[inline(always)]
            |i| a[(i & 7) as usize],
        ))
    }

    #[inline(always)]
    fn sum(self, a: f32x8) -> f32 {
        fold(
            a,
            #[inline(always)]
            |x, y| x + y,
        )
    }
    #[inline(always)]
    fn max_lane(self, a: f32x8) -> f32 {
        fold(
            a,
            #[inline(always)]
            |x, y| if x > y { x } else { y },
        )
    }
    #[inline(always)]
    fn min_lane(self, a: f32x8) -> f32 {
        fold(
            a,
            #[inline(always)]
            |x, y| if x < y { x } else { y },
        )
    }
}
