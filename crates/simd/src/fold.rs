//! Reductions across the lanes of an x86 vector.

use core::arch::x86_64::*;

/// A reduction of eight lanes: lane `i` meets lane `i + 4`, then `i + 2`, then `i + 1`.
macro_rules! fold {
    ($name:ident, $op:ident, $op_ss:ident) => {
        #[inline]
        #[target_feature(enable = "avx")]
        pub(crate) fn $name(a: __m256) -> f32 {
            let a = $op(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = $op(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32($op_ss(a, _mm_movehdup_ps(a)))
        }
    };
}
fold!(fold_add, _mm_add_ps, _mm_add_ss);
fold!(fold_max, _mm_max_ps, _mm_max_ss);
fold!(fold_min, _mm_min_ps, _mm_min_ss);
