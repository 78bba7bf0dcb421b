//! Steps of optimizers.

use crate::{Outcome, numbers};
use std::hint::black_box;
use striate_kernels::optim::{AdamW, Sgd, adamw, sgd};
use striate_simd::Level;

pub(crate) fn run(level: Level) -> Outcome {
    let gradient = numbers(1000);
    let [mut weight, mut first, mut second] = [(); 3].map(|()| numbers(1000));
    for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
        let step = Sgd {
            learning_rate: 0.1,
            momentum,
            dampening: 0.0,
            weight_decay: 1e-4,
            nesterov,
            first: false,
        };
        let velocity = if momentum > 0.0 {
            &mut first[..]
        } else {
            &mut []
        };
        sgd(level, &step, &gradient, &mut weight, velocity)?;
    }
    let step = AdamW {
        learning_rate: 0.1,
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        weight_decay: 1e-2,
        step: 3,
    };
    adamw(
        level,
        &step,
        &gradient,
        &mut weight,
        &mut first,
        &mut second,
    )?;
    black_box(&mut weight);
    Ok(())
}
