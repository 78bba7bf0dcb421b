//! The steps for `f32` on vectors: every array is read once and written once.

use super::{AdamW, Sgd};
use crate::disjoint::DisjointMut;
use crate::lanes::{update, update_all};
use crate::parallel::{Cut, for_each, for_each_chunk};
use striate_simd::{Level, Simd, dispatch};

/// Cost of an element, in units of [`Cut::new`].
const COST: usize = 2;

pub(super) fn sgd(
    level: Level,
    step: &Sgd,
    gradient: &[f32],
    weight: &mut [f32],
    velocity: &mut [f32],
) {
    let cut = Cut::new(weight.len(), COST);
    if step.momentum == 0.0 {
        for_each_chunk(weight, cut.per_task(), |task, weight| {
            let gradient = &gradient[cut.range(task)];
            dispatch!(level, s => plain_sgd(s, step, gradient, weight));
        });
        return;
    }
    let [weight, velocity] = [weight, velocity].map(DisjointMut::new);
    for_each(cut.tasks(), |task| {
        let range = cut.range(task);
        let mut weight = weight.range(range.clone());
        let mut velocity = velocity.range(range.clone());
        let gradient = &gradient[range];
        dispatch!(level, s => momentum_sgd(s, step, gradient, &mut weight, &mut velocity));
    });
}

/// A setting in every lane.
#[inline(always)]
fn c<S: Simd>(s: S, x: f64) -> S::F32 {
    s.splat(x as f32)
}

#[inline(always)]
fn plain_sgd<S: Simd>(s: S, step: &Sgd, gradient: &[f32], weight: &mut [f32]) {
    let [decay, rate] = [c(s, step.weight_decay), c(s, step.learning_rate)];
    update(
        s,
        None,
        [gradient],
        weight,
        #[inline(always)]
        |w, [g]| s.neg_mul_add(rate, s.mul_add(decay, w, g), w),
    );
}

#[inline(always)]
fn momentum_sgd<S: Simd>(
    s: S,
    step: &Sgd,
    gradient: &[f32],
    weight: &mut [f32],
    velocity: &mut [f32],
) {
    let [decay, rate] = [c(s, step.weight_decay), c(s, step.learning_rate)];
    let [momentum, intake] = [c(s, step.momentum), c(s, 1.0 - step.dampening)];
    let (first, nesterov) = (step.first, step.nesterov);
    update_all(
        s,
        [gradient],
        [weight, velocity],
        #[inline(always)]
        |[w, v], [g]| {
            let g = s.mul_add(decay, w, g);
            let v = if first {
                g
            } else {
                s.mul_add(momentum, v, s.mul(intake, g))
            };
            let d = if nesterov {
                s.mul_add(momentum, v, g)
            } else {
                v
            };
            [s.neg_mul_add(rate, d, w), v]
        },
    );
}

pub(super) fn adamw(
    level: Level,
    step: &AdamW,
    gradient: &[f32],
    weight: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    let cut = Cut::new(weight.len(), COST);
    let [weight, first, second] = [weight, first, second].map(DisjointMut::new);
    for_each(cut.tasks(), |task| {
        let range = cut.range(task);
        let mut weight = weight.range(range.clone());
        let (mut first, mut second) = (first.range(range.clone()), second.range(range.clone()));
        let gradient = &gradient[range];
        let arrays: [&mut [f32]; 3] = [&mut weight, &mut first, &mut second];
        dispatch!(level, s => adamw_part(s, step, gradient, arrays));
    });
}

#[inline(always)]
fn adamw_part<S: Simd>(s: S, step: &AdamW, gradient: &[f32], arrays: [&mut [f32]; 3]) {
    let [beta1, beta2] = step.betas;
    let t = step.step as f64;
    let keep = c(s, 1.0 - step.learning_rate * step.weight_decay);
    let rate = c(s, step.learning_rate / (1.0 - beta1.powf(t)));
    let scale = c(s, 1.0 / (1.0 - beta2.powf(t)).sqrt());
    let [intake1, beta2, intake2] = [1.0 - beta1, beta2, 1.0 - beta2].map(|b| b as f32);
    let [intake1, beta2, intake2] = [s.splat(intake1), s.splat(beta2), s.splat(intake2)];
    let epsilon = c(s, step.epsilon);
    update_all(
        s,
        [gradient],
        arrays,
        #[inline(always)]
        |[w, m, v], [g]| {
            let m = s.mul_add(intake1, s.sub(g, m), m);
            let v = s.mul_add(beta2, v, s.mul(intake2, s.mul(g, g)));
            let step = s.div(m, s.mul_add(s.sqrt(v), scale, epsilon));
            [s.neg_mul_add(rate, step, s.mul(w, keep)), m, v]
        },
    );
}
