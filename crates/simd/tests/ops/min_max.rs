//! Minimum and maximum: the second operand wins where there is no order.

use crate::{assert_same, lanes, pairs};
use striate_simd::{Level, test_each_level};

test_each_level! {
    fn min_is_a_where_a_is_less(level: Level) {
        let (a, b) = pairs();
        let expected: Vec<f32> =
            a.iter().zip(&b).map(|(a, b)| if a < b { *a } else { *b }).collect();
        assert_same(&lanes!(level, |s, a, b| s.min(a, b)), &expected, &[&a, &b]);
    }

    fn max_is_a_where_a_is_greater(level: Level) {
        let (a, b) = pairs();
        let expected: Vec<f32> =
            a.iter().zip(&b).map(|(a, b)| if a > b { *a } else { *b }).collect();
        assert_same(&lanes!(level, |s, a, b| s.max(a, b)), &expected, &[&a, &b]);
    }

    fn constants_do_not_change_the_rule(level: Level) {
        let a = crate::VALUES.to_vec();
        let relu = lanes!(level, |s, a| s.max(a, s.splat(0.0)));
        let expected: Vec<f32> = a.iter().map(|a| if *a > 0.0 { *a } else { 0.0 }).collect();
        assert_same(&relu, &expected, &[&a]);
        let keeps_nan = lanes!(level, |s, a| s.max(s.splat(0.0), a));
        let expected: Vec<f32> = a.iter().map(|a| if 0.0 > *a { 0.0 } else { *a }).collect();
        assert_same(&keeps_nan, &expected, &[&a]);
    }
}
