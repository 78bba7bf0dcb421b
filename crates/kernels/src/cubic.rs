//! Keys' cubic, through four neighbours of a place (Keys, "Cubic convolution interpolation for digital image processing", 1981).

/// The parameter of the cubic, its slope at distance one.
const A: f64 = -0.75;

/// The weights of the neighbours at `-1`, `0`, `1` and `2` for a place at `t` from 0 to 1.
pub(crate) fn weights(t: f64) -> [f64; 4] {
    let near = |d: f64| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    let far = |d: f64| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    [far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)]
}

/// The derivatives of [`weights`] by `t`.
pub(crate) fn slopes(t: f64) -> [f64; 4] {
    let near = |d: f64| (3.0 * (A + 2.0) * d - 2.0 * (A + 3.0)) * d;
    let far = |d: f64| (3.0 * A * d - 10.0 * A) * d + 8.0 * A;
    [far(1.0 + t), near(t), -near(1.0 - t), -far(2.0 - t)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_and_slopes_are_their_differences() {
        for i in 0..=8 {
            let (t, h) = (f64::from(i) / 8.0, 1e-6);
            assert!((weights(t).iter().sum::<f64>() - 1.0).abs() < 1e-14);
            let (above, below) = (weights(t + h), weights(t - h));
            for (k, slope) in slopes(t).into_iter().enumerate() {
                let difference = (above[k] - below[k]) / (2.0 * h);
                assert!((slope - difference).abs() < 1e-8, "weight {k} at {t}");
            }
        }
        assert_eq!(weights(0.0), [0.0, 1.0, 0.0, 0.0]);
    }
}
