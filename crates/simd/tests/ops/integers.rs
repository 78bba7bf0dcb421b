//! Integer lanes: wrapping arithmetic, logic, shifts, comparisons and bit patterns.

use crate::{VALUES, assert_bits, lanes};
use striate_simd::{Level, test_each_level};

const INTEGERS: [i32; 12] = [
    0,
    1,
    -1,
    2,
    -2,
    0x5555_5555,
    -0x1234_5678,
    0x7f80_0000,
    0x007f_ffff,
    127 << 23,
    i32::MAX,
    i32::MIN,
];

/// Every pair of [`INTEGERS`], as the floats with these bits.
fn pairs() -> (Vec<f32>, Vec<f32>) {
    let float = |i: &i32| f32::from_bits(i.cast_unsigned());
    INTEGERS
        .iter()
        .flat_map(|a| INTEGERS.iter().map(move |b| (float(a), float(b))))
        .unzip()
}

/// Compares an operation with its `i32` counterpart.
macro_rules! check {
    ($level:expr, |$s:ident, $a:ident, $b:ident| $op:expr, $oracle:expr) => {{
        let ($a, $b) = pairs();
        let got = lanes!($level, |$s, $a, $b| {
            let ($a, $b) = ($s.bits($a), $s.bits($b));
            $s.from_bits($op)
        });
        let oracle: fn(i32, i32) -> i32 = $oracle;
        let int = |x: &f32| x.to_bits().cast_signed();
        let expected = $a
            .iter()
            .zip(&$b)
            .map(|(a, b)| oracle(int(a), int(b)).cast_unsigned());
        assert_bits(&got, expected);
    }};
}

test_each_level! {
    fn arithmetic_wraps(level: Level) {
        check!(level, |s, a, b| s.add_i32(a, b), i32::wrapping_add);
        check!(level, |s, a, b| s.sub_i32(a, b), i32::wrapping_sub);
    }

    fn logic_is_bitwise(level: Level) {
        check!(level, |s, a, b| s.and_i32(a, b), |a, b| a & b);
        check!(level, |s, a, b| s.or_i32(a, b), |a, b| a | b);
        check!(level, |s, a, b| s.xor_i32(a, b), |a, b| a ^ b);
    }

    fn shifts_fill_with_zeros(level: Level) {
        check!(level, |s, a, b| s.add_i32(s.shl_i32::<0>(a), s.sub_i32(b, b)), |a, _| a);
        check!(level, |s, a, b| s.add_i32(s.shl_i32::<23>(a), s.sub_i32(b, b)), |a, _| a << 23);
        check!(level, |s, a, b| s.add_i32(s.shl_i32::<31>(a), s.sub_i32(b, b)), |a, _| a << 31);
        check!(level, |s, a, b| s.xor_i32(s.shr_i32::<0>(a), s.sub_i32(b, b)), |a, _| a);
        check!(level, |s, a, b| s.xor_i32(s.shr_i32::<1>(a), s.sub_i32(b, b)), |a, _| {
            (a.cast_unsigned() >> 1).cast_signed()
        });
        check!(level, |s, a, b| s.xor_i32(s.shr_i32::<31>(a), s.sub_i32(b, b)), |a, _| {
            (a.cast_unsigned() >> 31).cast_signed()
        });
    }

    fn comparisons_are_signed(level: Level) {
        check!(
            level,
            |s, a, b| s.select_i32(s.gt_i32(a, b), s.splat_i32(1), s.splat_i32(0)),
            |a, b| i32::from(a > b)
        );
        check!(
            level,
            |s, a, b| s.select_i32(s.eq_i32(a, b), s.splat_i32(1), s.splat_i32(0)),
            |a, b| i32::from(a == b)
        );
    }

    fn bits_are_kept(level: Level) {
        let a = VALUES.to_vec();
        assert_bits(&lanes!(level, |s, a| s.from_bits(s.bits(a))), VALUES.map(f32::to_bits));
    }
}
