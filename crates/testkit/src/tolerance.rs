//! When a computed tensor equals its expectation.
//!
//! A tensor passes when `||y - e|| <= rtol * ||e|| + 1e-6 * sqrt(n)` in the 2-norm and every
//! value is finite where the expectation is. The absolute part serves expectations that vanish
//! by construction.

/// Relative tolerance of a single op.
pub const OP_RTOL: f64 = 2e-5;
/// Relative tolerance of a module (its float32 error in the reference itself reaches 2e-5).
pub const MODULE_RTOL: f64 = 1e-4;
/// Relative tolerance of a loss curve (float32 moves none of its tensors by more than 1e-6).
pub const CURVE_RTOL: f64 = 2e-5;

/// Relative tolerance of a whole network, given PyTorch's own error in float32.
#[must_use]
pub fn model_rtol(float32_error: f64) -> f64 {
    2e-5 + 4.0 * float32_error
}

/// How far a tensor is from its expectation, and how far it may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// `||y - e||`; infinite if the lengths or the finite elements differ.
    pub error: f64,
    /// `rtol * ||e|| + 1e-6 * sqrt(n)`.
    pub bound: f64,
}

impl Comparison {
    /// Whether the tensor passes.
    pub fn passes(&self) -> bool {
        self.error <= self.bound
    }

    /// The error in units of the bound: above 1 fails. Orders tensors from best to worst.
    pub fn ratio(&self) -> f64 {
        if self.error == 0.0 {
            0.0
        } else {
            self.error / self.bound
        }
    }
}

/// Compares `y` with the expectation `e` at the relative tolerance `rtol`.
pub fn compare(y: &[f32], e: &[f32], rtol: f64) -> Comparison {
    let mut difference = 0.0;
    let mut norm = 0.0;
    let mut alike = y.len() == e.len();
    for (&y, &e) in y.iter().zip(e) {
        if y.is_finite() && e.is_finite() {
            difference += (f64::from(y) - f64::from(e)).powi(2);
            norm += f64::from(e).powi(2);
        } else {
            // Infinities must be the same one, NaN must be NaN.
            alike &= y == e || (y.is_nan() && e.is_nan());
        }
    }
    Comparison {
        error: if alike {
            difference.sqrt()
        } else {
            f64::INFINITY
        },
        bound: rtol * norm.sqrt() + 1e-6 * (e.len() as f64).sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_tensors_pass_with_no_error() {
        let c = compare(&[1.0, -2.0], &[1.0, -2.0], OP_RTOL);
        assert_eq!(c.error, 0.0, "no difference");
        assert!(c.passes(), "equal tensors must pass");
        assert!(
            compare(&[], &[], OP_RTOL).passes(),
            "empty tensors must pass"
        );
    }

    #[test]
    fn the_bound_is_relative_to_the_norm() {
        let e = [3.0, 4.0];
        assert!(
            compare(&[3.0, 4.0 + 9e-5], &e, 2e-5).passes(),
            "within 1e-4 of a norm of 5"
        );
        assert!(
            !compare(&[3.0, 4.0 + 2e-4], &e, 2e-5).passes(),
            "beyond 1e-4 of a norm of 5"
        );
    }

    #[test]
    fn values_that_are_not_finite_must_agree() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        assert!(
            compare(&[nan, inf], &[nan, inf], OP_RTOL).passes(),
            "the same ones"
        );
        for (y, e) in [(nan, 1.0), (1.0, nan), (inf, -inf), (inf, nan), (1.0, inf)] {
            assert!(
                !compare(&[y], &[e], OP_RTOL).passes(),
                "{y} must not pass for {e}"
            );
        }
    }

    #[test]
    fn lengths_must_agree() {
        assert!(
            !compare(&[1.0], &[1.0, 0.0], OP_RTOL).passes(),
            "a short tensor must fail"
        );
    }
}
