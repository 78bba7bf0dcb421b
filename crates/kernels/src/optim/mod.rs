//! Optimizer steps, one pass over a parameter.
//!
//! The formulas and the order of their operations are PyTorch's (`torch.optim.SGD`, `torch.optim.AdamW`).

mod reference;
mod vector;

#[cfg(test)]
mod tests;

use crate::error::{KernelError, check_len};
use crate::real::Real;
use striate_simd::Level;

/// One step of stochastic gradient descent.
///
/// ```text
/// g = gradient + weight_decay * w
/// v = g                                     the first time
/// v = momentum * v + (1 - dampening) * g    later
/// d = g + momentum * v if nesterov else v   (d = g without momentum)
/// w = w - learning_rate * d
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// The step size.
    pub learning_rate: f64,
    /// The share of the last velocity that is kept; zero for none, and then the velocity is not touched.
    pub momentum: f64,
    /// The share of the gradient that the velocity does not take.
    pub dampening: f64,
    /// The strength of the pull towards zero.
    pub weight_decay: f64,
    /// Whether to look ahead along the velocity.
    pub nesterov: bool,
    /// Whether this is the parameter's first step, which the velocity starts from.
    pub first: bool,
}

/// One step of Adam with decoupled weight decay.
///
/// ```text
/// w = w * (1 - learning_rate * weight_decay)
/// m = m + (1 - beta1) * (g - m)
/// v = beta2 * v + (1 - beta2) * g^2
/// w = w - learning_rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// The step size.
    pub learning_rate: f64,
    /// The decay of the two moments.
    pub betas: [f64; 2],
    /// What keeps the division from zero.
    pub epsilon: f64,
    /// The strength of the pull towards zero.
    pub weight_decay: f64,
    /// The number `t` of this step, from one.
    pub step: u64,
}

/// Updates `weight` and `velocity`. The velocity is empty if the momentum is zero.
///
/// # Errors
/// If the slices differ in length.
pub fn sgd<R: Real>(
    level: Level,
    step: &Sgd,
    gradient: &[R],
    weight: &mut [R],
    velocity: &mut [R],
) -> Result<(), KernelError> {
    check_len("sgd", "gradient", gradient.len(), weight.len())?;
    if step.momentum != 0.0 {
        check_len("sgd", "velocity", velocity.len(), weight.len())?;
    }
    if let (Some(gradient), Some(weight)) = (R::as_f32(gradient), R::as_f32_mut(weight))
        && let Some(velocity) = R::as_f32_mut(velocity)
    {
        vector::sgd(level, step, gradient, weight, velocity);
    } else {
        reference::sgd(step, gradient, weight, velocity);
    }
    Ok(())
}

/// Updates `weight` and its first and second moments.
///
/// # Errors
/// If the slices differ in length.
pub fn adamw<R: Real>(
    level: Level,
    step: &AdamW,
    gradient: &[R],
    weight: &mut [R],
    first_moment: &mut [R],
    second_moment: &mut [R],
) -> Result<(), KernelError> {
    check_len("adamw", "gradient", gradient.len(), weight.len())?;
    check_len("adamw", "first moment", first_moment.len(), weight.len())?;
    check_len("adamw", "second moment", second_moment.len(), weight.len())?;
    let moments = (R::as_f32_mut(first_moment), R::as_f32_mut(second_moment));
    if let (Some(gradient), Some(weight)) = (R::as_f32(gradient), R::as_f32_mut(weight))
        && let (Some(first), Some(second)) = moments
    {
        vector::adamw(level, step, gradient, weight, first, second);
    } else {
        reference::adamw(step, gradient, weight, first_moment, second_moment);
    }
    Ok(())
}
