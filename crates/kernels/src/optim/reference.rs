//! The formulas, element by element.

use super::{AdamW, Sgd};
use crate::real::Real;

pub(super) fn sgd<R: Real>(step: &Sgd, gradient: &[R], weight: &mut [R], velocity: &mut [R]) {
    let c = R::from_f64;
    let (momentum, intake) = (c(step.momentum), c(1.0 - step.dampening));
    for (i, (w, &g)) in weight.iter_mut().zip(gradient).enumerate() {
        let g = g + c(step.weight_decay) * *w;
        let d = if step.momentum == 0.0 {
            g
        } else {
            let v = if step.first {
                g
            } else {
                momentum * velocity[i] + intake * g
            };
            velocity[i] = v;
            if step.nesterov { g + momentum * v } else { v }
        };
        *w -= c(step.learning_rate) * d;
    }
}

pub(super) fn adamw<R: Real>(
    step: &AdamW,
    gradient: &[R],
    weight: &mut [R],
    first_moment: &mut [R],
    second_moment: &mut [R],
) {
    let c = R::from_f64;
    let [beta1, beta2] = step.betas;
    let t = step.step as f64;
    let rate = c(step.learning_rate / (1.0 - beta1.powf(t)));
    let scale = c((1.0 - beta2.powf(t)).sqrt());
    let moments = first_moment.iter_mut().zip(second_moment);
    for ((w, &g), (m, v)) in weight.iter_mut().zip(gradient).zip(moments) {
        *w *= c(1.0 - step.learning_rate * step.weight_decay);
        *m += c(1.0 - beta1) * (g - *m);
        *v = c(beta2) * *v + c(1.0 - beta2) * g * g;
        *w -= rate * *m / (v.sqrt() / scale + c(step.epsilon));
    }
}
