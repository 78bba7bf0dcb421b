//! Comparisons, selection and the logic of masks.

use crate::{VALUES, assert_bits, lanes, pairs};
use striate_simd::{Level, Simd, dispatch, test_each_level};

/// Compares a mask, seen through `select`, with a predicate.
macro_rules! check {
    ($level:expr, |$s:ident, $a:ident, $b:ident| $mask:expr, $oracle:expr) => {{
        let ($a, $b) = pairs();
        let got = lanes!($level, |$s, $a, $b| $s.select(
            $mask,
            $s.splat(1.0),
            $s.splat(0.0)
        ));
        for ((a, b), got) in $a.iter().zip(&$b).zip(got) {
            let oracle: fn(f32, f32) -> bool = $oracle;
            assert_eq!(
                got == 1.0,
                oracle(*a, *b),
                "{} at {a:?}, {b:?}",
                stringify!($mask)
            );
        }
    }};
}

test_each_level! {
    fn comparisons_with_nan_are_false(level: Level) {
        check!(level, |s, a, b| s.lt(a, b), |a, b| a < b);
        check!(level, |s, a, b| s.le(a, b), |a, b| a <= b);
        check!(level, |s, a, b| s.gt(a, b), |a, b| a > b);
        check!(level, |s, a, b| s.ge(a, b), |a, b| a >= b);
        check!(level, |s, a, b| s.eq(a, b), |a, b| a == b);
    }

    fn masks_combine(level: Level) {
        check!(level, |s, a, b| s.mask_and(s.lt(a, b), s.gt(b, s.splat(1.0))), |a, b| a < b && b > 1.0);
        check!(level, |s, a, b| s.mask_or(s.lt(a, b), s.gt(b, s.splat(1.0))), |a, b| a < b || b > 1.0);
        check!(level, |s, a, b| s.mask_not(s.lt(a, b)), |a, b| {
            let less = a < b;
            !less
        });
    }

    fn select_moves_bits(level: Level) {
        let a: Vec<f32> = (0..VALUES.len()).map(|i| (i % 3) as f32).collect();
        let b = VALUES.to_vec();
        let got = lanes!(level, |s, a, b| s.select(s.gt(a, s.splat(0.5)), b, a));
        let expected = a.iter().zip(&b).map(|(a, b)| if *a > 0.5 { b } else { a }.to_bits());
        assert_bits(&got, expected);
    }

    fn select_i32_moves_bits(level: Level) {
        let a: Vec<f32> = (0..VALUES.len()).map(|i| (i % 3) as f32).collect();
        let b = VALUES.to_vec();
        let got = lanes!(level, |s, a, b| {
            s.from_bits(s.select_i32(s.gt(a, s.splat(0.5)), s.bits(b), s.splat_i32(-7)))
        });
        let expected =
            a.iter().zip(&b).map(|(a, b)| if *a > 0.5 { b.to_bits() } else { (-7i32).cast_unsigned() });
        assert_bits(&got, expected);
    }

    fn any_sees_each_lane(level: Level) {
        #[inline(always)]
        fn any_one<S: Simd>(s: S, lane: Option<usize>) -> bool {
            let lane = s.splat(lane.map_or(-1.0, |lane| lane as f32));
            s.any(s.eq(s.iota(), lane))
        }
        assert!(!dispatch!(level, s => any_one(s, None)), "no lane is set");
        for lane in 0..level.lanes() {
            assert!(dispatch!(level, s => any_one(s, Some(lane))), "lane {lane} is set");
        }
    }
}
