//! The numbers that reference kernels compute with.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// `f32` or `f64`.
///
/// The elementary functions go through `f64`, so that a reference in `f32` errs by its own operations alone.
pub trait Real:
    Copy
    + Default
    + Debug
    + Display
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// The largest finite number.
    const MAX: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// Negative infinity.
    const NEG_INFINITY: Self;
    /// Not a number.
    const NAN: Self;
    /// Half the distance from one to the next number: the unit roundoff.
    const ROUNDOFF: Self;

    /// The nearest number of this type.
    fn from_f64(x: f64) -> Self;

    /// The same number in double precision.
    fn to_f64(self) -> f64;

    /// The slice, if the type is `f32`: how a generic entry point finds its SIMD kernel.
    fn as_f32(x: &[Self]) -> Option<&[f32]>;

    /// The slice, if the type is `f32`.
    fn as_f32_mut(x: &mut [Self]) -> Option<&mut [f32]>;

    /// The nearest number to an integer count.
    fn from_usize(n: usize) -> Self {
        Self::from_f64(n as f64)
    }

    /// `|x|`
    fn abs(self) -> Self {
        Self::from_f64(self.to_f64().abs())
    }

    /// `e^x`
    fn exp(self) -> Self {
        Self::from_f64(self.to_f64().exp())
    }

    /// `e^x - 1`, accurate near zero.
    fn exp_m1(self) -> Self {
        Self::from_f64(self.to_f64().exp_m1())
    }

    /// The natural logarithm.
    fn ln(self) -> Self {
        Self::from_f64(self.to_f64().ln())
    }

    /// `ln(1 + x)`, accurate near zero.
    fn ln_1p(self) -> Self {
        Self::from_f64(self.to_f64().ln_1p())
    }

    /// The square root.
    fn sqrt(self) -> Self {
        Self::from_f64(self.to_f64().sqrt())
    }

    /// `x^y`
    fn powf(self, y: Self) -> Self {
        Self::from_f64(self.to_f64().powf(y.to_f64()))
    }

    /// The sine of an angle in radians.
    fn sin(self) -> Self {
        Self::from_f64(self.to_f64().sin())
    }

    /// The cosine of an angle in radians.
    fn cos(self) -> Self {
        Self::from_f64(self.to_f64().cos())
    }

    /// The hyperbolic tangent.
    fn tanh(self) -> Self {
        Self::from_f64(self.to_f64().tanh())
    }

    /// The largest integer that is not larger.
    fn floor(self) -> Self {
        Self::from_f64(self.to_f64().floor())
    }

    /// The error function, `2 / sqrt(pi) * integral of exp(-t^2) from 0 to x`.
    fn erf(self) -> Self {
        Self::from_f64(erf(self.to_f64()))
    }

    /// `1 / (1 + e^-x)`
    fn sigmoid(self) -> Self {
        let x = self.to_f64();
        // The smaller exponential of the two forms never overflows.
        let e = (-x.abs()).exp();
        Self::from_f64(if x < 0.0 {
            e / (1.0 + e)
        } else {
            1.0 / (1.0 + e)
        })
    }

    /// Whether this is not a number.
    fn is_nan(self) -> bool {
        self.to_f64().is_nan()
    }

    /// Whether this is neither infinite nor not a number.
    fn is_finite(self) -> bool {
        self.to_f64().is_finite()
    }

    /// The larger of two numbers; not a number if either is not.
    fn maximum(self, other: Self) -> Self {
        if self.is_nan() || self > other {
            self
        } else {
            other
        }
    }

    /// The smaller of two numbers; not a number if either is not.
    fn minimum(self, other: Self) -> Self {
        if self.is_nan() || self < other {
            self
        } else {
            other
        }
    }
}

macro_rules! real {
    ($t:ident, $as_f32:expr, $as_f32_mut:expr) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const MAX: Self = Self::MAX;
            const INFINITY: Self = Self::INFINITY;
            const NEG_INFINITY: Self = Self::NEG_INFINITY;
            const NAN: Self = Self::NAN;
            const ROUNDOFF: Self = Self::EPSILON / 2.0;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as Self
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            fn as_f32(x: &[Self]) -> Option<&[f32]> {
                $as_f32(x)
            }

            fn as_f32_mut(x: &mut [Self]) -> Option<&mut [f32]> {
                $as_f32_mut(x)
            }
        }
    };
}

real!(f32, Some, Some);
real!(f64, |_| None, |_| None);

/// The error function, to a few units in the last place.
///
/// Below 3, the series `2 / sqrt(pi) * exp(-x^2) * sum of 2^k x^(2k+1) / (1 * 3 * ... * (2k+1))`, whose terms are all of
/// one sign. Above, one minus the continued fraction of the complement, which is then below 3e-5 and so needs only part of
/// the digits. (Abramowitz and Stegun, 7.1.6 and 7.1.14.)
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a.is_nan() {
        return x;
    }
    if a > 6.0 {
        // erfc(6) is below half a unit in the last place of one.
        return 1.0_f64.copysign(x);
    }
    let value = if a < 3.0 {
        let (mut term, mut sum, mut k) = (a, a, 1.0);
        while term > sum * 1e-18 {
            term *= 2.0 * a * a / (2.0 * k + 1.0);
            sum += term;
            k += 1.0;
        }
        std::f64::consts::FRAC_2_SQRT_PI * (-a * a).exp() * sum
    } else {
        // a + (1/2)/(a + 1/(a + (3/2)/(a + ...)))
        let fraction = (1..=60).rev().fold(a, |f, k| a + f64::from(k) / 2.0 / f);
        1.0 - (-a * a).exp() / (fraction * std::f64::consts::PI.sqrt())
    };
    value.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_has_the_tabulated_values() {
        let table = [
            (1e-300, 1.128_379_167_095_512_6e-300),
            (1e-3, 1.128_378_790_969_236_4e-3),
            (0.1, 0.112_462_916_018_284_89),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (2.9, 0.999_958_902_121_900_5),
            (3.1, 0.999_988_351_342_632_3),
            (4.0, 0.999_999_984_582_742_1),
            (5.5, 0.999_999_999_999_992_6),
        ];
        for (x, expected) in table {
            let error = (erf(x) - expected).abs() / expected;
            assert!(error < 4.0 * f64::EPSILON, "erf({x}) is off by {error:e}");
            assert_eq!(erf(-x), -erf(x), "erf is odd");
        }
        assert_eq!(erf(0.0), 0.0);
        assert_eq!(erf(f64::INFINITY), 1.0);
        assert!(erf(f64::NAN).is_nan());
    }

    #[test]
    fn not_a_number_wins() {
        for (a, b) in [(f32::NAN, 1.0), (1.0, f32::NAN)] {
            assert!(Real::maximum(a, b).is_nan());
            assert!(Real::minimum(a, b).is_nan());
        }
        assert_eq!(Real::maximum(1.0, 2.0), 2.0);
        assert_eq!(Real::minimum(1.0, 2.0), 1.0);
    }

    #[test]
    fn sigmoid_does_not_overflow() {
        assert_eq!(Real::sigmoid(-1e30_f32), 0.0);
        assert_eq!(Real::sigmoid(1e30_f32), 1.0);
        assert_eq!(Real::sigmoid(0.0), 0.5);
    }
}
