//! The vocabulary that modules share.

use striate_tensor::{Error, GeometryError, Result};

/// The multiple of `divisor` nearest to `value` and at least `divisor`; one step up when that is
/// below `limit * value` (timm's `make_divisible`; the usual limit is 0.9, attention uses 0).
///
/// # Errors
/// `divisor` is 0, or `value` is not a finite positive number.
pub fn make_divisible(value: f64, divisor: usize, limit: f64) -> Result<usize> {
    if divisor == 0 {
        return Err(invalid(
            "make_divisible",
            "divisor",
            divisor,
            "it must be at least 1",
        ));
    }
    // Up to 2^52 every whole number is exact.
    if !(value > 0.0 && value < 4.5e15) {
        return Err(invalid(
            "make_divisible",
            "value",
            value,
            "it must be a positive number",
        ));
    }
    let steps = ((value + divisor as f64 / 2.0) as usize / divisor).max(1);
    let rounded = steps.saturating_mul(divisor);
    let short = (rounded as f64) < limit * value;
    Ok(if short {
        rounded.saturating_add(divisor)
    } else {
        rounded
    })
}

/// How a bottleneck width is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// `channels / reduction`, rounded down.
    Floor,
    /// To the nearest multiple of this number, and at least it.
    DivisibleBy(usize),
}

/// Width of a bottleneck: `channels / reduction`, rounded.
///
/// # Errors
/// `reduction` is 0 or the width would be 0: a layer without channels is refused.
pub fn reduced_channels(
    layer: &'static str,
    channels: usize,
    reduction: usize,
    rounding: Rounding,
) -> Result<usize> {
    at_least_one(layer, "channels", channels)?;
    at_least_one(layer, "reduction", reduction)?;
    match rounding {
        Rounding::Floor if channels < reduction => Err(invalid(
            layer,
            "reduction",
            reduction,
            format!("{channels} channels divided by it leave a width of 0"),
        )),
        Rounding::Floor => Ok(channels / reduction),
        Rounding::DivisibleBy(divisor) => {
            make_divisible(channels as f64 / reduction as f64, divisor, 0.0)
        }
    }
}

/// A configuration that breaks a rule: `layer: field is got, but rule`.
pub fn invalid(
    layer: &'static str,
    field: &'static str,
    got: impl std::fmt::Debug,
    rule: impl Into<String>,
) -> Error {
    Error::Geometry(GeometryError::new(layer, field, format!("{got:?}"), rule))
}

/// Checks that a count is not 0.
pub(crate) fn at_least_one(layer: &'static str, field: &'static str, value: usize) -> Result<()> {
    if value == 0 {
        Err(invalid(layer, field, value, "it must be at least 1"))
    } else {
        Ok(())
    }
}

/// Checks that the size of a kernel is odd, so that a map keeps its size.
pub(crate) fn odd(layer: &'static str, field: &'static str, value: usize) -> Result<()> {
    if value.is_multiple_of(2) {
        let rule = "it must be odd, so that the map keeps its size";
        return Err(invalid(layer, field, value, rule));
    }
    Ok(())
}

/// Checks both numbers of a pair.
pub(crate) fn pair_at_least_one(
    layer: &'static str,
    field: &'static str,
    value: [usize; 2],
) -> Result<()> {
    if value.contains(&0) {
        return Err(invalid(layer, field, value, "both must be at least 1"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_round_as_in_timm() {
        let nearest = |v: f64, d, limit| make_divisible(v, d, limit).expect("a valid width");
        assert_eq!(nearest(64.0 / 16.0, 8, 0.0), 8);
        assert_eq!(nearest(320.0 / 16.0, 8, 0.0), 24);
        assert_eq!(nearest(11.0, 8, 0.9), 16, "8 is below nine tenths of 11");
        assert_eq!(nearest(11.0, 8, 0.0), 8);
        assert_eq!(nearest(32.0, 8, 0.9), 32);
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(make_divisible(bad, 8, 0.9).is_err(), "{bad} is no width");
        }
        assert!(make_divisible(8.0, 0, 0.9).is_err(), "no divisor");
    }

    #[test]
    fn a_width_of_zero_is_refused() {
        let floor = |c, r| reduced_channels("SqueezeExcite", c, r, Rounding::Floor);
        assert_eq!(floor(64, 16).ok(), Some(4));
        assert_eq!(floor(16, 16).ok(), Some(1));
        let error = floor(8, 16).expect_err("8 / 16 is 0").to_string();
        assert!(
            error.contains("SqueezeExcite") && error.contains('8') && error.contains("16"),
            "{error}"
        );
        assert!(floor(8, 0).is_err() && floor(0, 4).is_err(), "zeros");
    }
}
