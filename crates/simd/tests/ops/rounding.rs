//! Rounding to integers, as floats and as integers.

use crate::{VALUES, assert_same, lanes};
use striate_simd::{Level, test_each_level};

/// [`VALUES`] and every multiple of an eighth from -20 to 20.
fn values() -> Vec<f32> {
    let mut x = VALUES.to_vec();
    x.extend((-160..=160).map(|i| i as f32 / 8.0));
    x
}

test_each_level! {
    fn floor_and_round_keep_special_values_and_signs(level: Level) {
        let a = values();
        let floor: Vec<f32> = a.iter().map(|x| x.floor()).collect();
        let round: Vec<f32> = a.iter().map(|x| x.round_ties_even()).collect();
        assert_same(&lanes!(level, |s, a| s.floor(a)), &floor, &[&a]);
        assert_same(&lanes!(level, |s, a| s.round(a)), &round, &[&a]);
    }

    fn to_i32_rounds_ties_to_even(level: Level) {
        let mut a = values();
        a.retain(|x| x.abs() < 2e9);
        a.extend([2_147_483_520.0, -2_147_483_648.0]);
        let got = lanes!(level, |s, a| s.from_bits(s.to_i32(a)));
        for (a, got) in a.iter().zip(got) {
            assert_eq!(got.to_bits().cast_signed(), a.round_ties_even() as i32, "at {a:?}");
        }
    }

    fn to_f32_rounds_ties_to_even(level: Level) {
        let integers =
            [0, 1, -1, 7, -1000, 16_777_217, 16_777_219, -33_554_434, 123_456_789, i32::MAX, i32::MIN];
        let a = integers.map(|i: i32| f32::from_bits(i.cast_unsigned())).to_vec();
        let got = lanes!(level, |s, a| s.to_f32(s.bits(a)));
        assert_eq!(got, integers.map(|i| i as f32));
    }
}
