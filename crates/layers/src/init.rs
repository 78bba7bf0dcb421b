//! How a parameter starts: PyTorch's rules.

use striate_tensor::{Philox, Result, Tensor};

/// The distribution that a new parameter is drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All elements equal.
    Constant(f64),
    /// Uniform in `[-bound, bound)`.
    Uniform {
        /// Half the width of the interval.
        bound: f64,
    },
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Uniform within `1/sqrt(fan_in)`, which is `kaiming_uniform` with `a = sqrt(5)`: PyTorch's
    /// default for the weights of convolutions and linear layers.
    KaimingUniform,
    /// Normal with standard deviation `sqrt(2/fan_out)`: `kaiming_normal`, mode `fan_out`, or
    /// "msra". As in PyTorch, `fan_out = out * kh * kw` is not divided by the groups.
    KaimingNormal,
}

impl Init {
    /// All zeros.
    pub const ZEROS: Self = Self::Constant(0.0);
    /// All ones.
    pub const ONES: Self = Self::Constant(1.0);

    /// PyTorch's default for a bias: uniform within `1/sqrt(fan_in)` of its weight.
    #[must_use]
    pub fn bias_of(weight_shape: &[usize]) -> Self {
        Self::Uniform {
            bound: bound(weight_shape),
        }
    }

    /// The same distribution as a weight of this shape has it, whatever the shape it is drawn in: for tensors that
    /// hold several such weights.
    #[must_use]
    pub fn as_for(self, weight_shape: &[usize]) -> Self {
        match self {
            Self::KaimingUniform => Self::Uniform {
                bound: bound(weight_shape),
            },
            Self::KaimingNormal => Self::Normal {
                std: (2.0 / fan_out(weight_shape)).sqrt(),
            },
            other => other,
        }
    }

    /// A tensor of this distribution.
    ///
    /// # Errors
    /// The shape cannot be allocated.
    pub fn sample(self, shape: &[usize], rng: &mut Philox) -> Result<Tensor> {
        match self {
            Self::Constant(value) => Tensor::full(shape, value, striate_tensor::DType::F32),
            Self::Uniform { bound } => Tensor::rand(shape, rng)?
                .mul_scalar(2.0 * bound)?
                .add_scalar(-bound),
            Self::Normal { std } => Tensor::randn(shape, rng)?.mul_scalar(std),
            Self::KaimingUniform | Self::KaimingNormal => self.as_for(shape).sample(shape, rng),
        }
    }
}

fn bound(weight_shape: &[usize]) -> f64 {
    1.0 / fan_in(weight_shape).sqrt()
}

/// Inputs that reach one output: the elements of one row of the weight, at least 1.
fn fan_in(shape: &[usize]) -> f64 {
    shape
        .iter()
        .skip(1)
        .map(|&d| d as f64)
        .product::<f64>()
        .max(1.0)
}

/// Outputs that one input reaches, at least 1.
fn fan_out(shape: &[usize]) -> f64 {
    let taps: f64 = shape.iter().skip(2).map(|&d| d as f64).product();
    (shape.first().map_or(1.0, |&d| d as f64) * taps).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(init: Init, shape: &[usize]) -> (f64, f64, f64) {
        let values = init
            .sample(shape, &mut Philox::new(7))
            .and_then(|t| t.to_vec::<f32>())
            .expect("a small tensor");
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let var = values
            .iter()
            .map(|&v| (f64::from(v) - mean).powi(2))
            .sum::<f64>()
            / n;
        let peak = values
            .iter()
            .map(|v| f64::from(v.abs()))
            .fold(0.0, f64::max);
        (mean, var.sqrt(), peak)
    }

    #[test]
    fn distributions_have_their_moments() {
        let shape = [64, 16, 3, 3];
        let bound = 1.0 / 12.0; // fan_in 144
        let (mean, std, peak) = moments(Init::KaimingUniform, &shape);
        assert!(mean.abs() < 2e-3, "mean {mean}");
        assert!((std - bound / 3f64.sqrt()).abs() < 1e-3, "std {std}");
        assert!(peak <= bound && peak > 0.99 * bound, "peak {peak}");
        let (mean, std, _) = moments(Init::KaimingNormal, &shape);
        assert!(mean.abs() < 3e-3, "mean {mean}");
        assert!((std - (2.0f64 / 576.0).sqrt()).abs() < 2e-3, "std {std}");
        assert_eq!(moments(Init::Constant(0.5), &[3]), (0.5, 0.0, 0.5));
    }
}
