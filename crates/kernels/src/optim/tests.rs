//! Optimizer steps on every level against the formulas, and these against numbers of PyTorch's definitions.

use super::*;
use crate::testing::{Random, assert_same_on_threads, to_f64, worst_error};
use striate_simd::test_each_level;

fn sgd_settings() -> Vec<Sgd> {
    let plain = Sgd {
        learning_rate: 0.1,
        momentum: 0.0,
        dampening: 0.0,
        weight_decay: 0.0,
        nesterov: false,
        first: true,
    };
    vec![
        plain,
        Sgd {
            weight_decay: 5e-4,
            ..plain
        },
        Sgd {
            momentum: 0.9,
            weight_decay: 5e-4,
            ..plain
        },
        Sgd {
            momentum: 0.9,
            nesterov: true,
            ..plain
        },
        Sgd {
            momentum: 0.8,
            dampening: 0.3,
            ..plain
        },
    ]
}

/// The weight and the state after some steps.
fn run_sgd<R: Real>(level: Level, settings: Sgd, w: &[R], gradients: &[Vec<R>]) -> [Vec<R>; 2] {
    let (mut w, mut v) = (w.to_vec(), vec![R::NAN; w.len()]);
    for (i, g) in gradients.iter().enumerate() {
        let step = Sgd {
            first: i == 0,
            ..settings
        };
        let velocity = if step.momentum == 0.0 {
            &mut [][..]
        } else {
            &mut v[..]
        };
        sgd(level, &step, g, &mut w, velocity).unwrap();
    }
    [w, v]
}

fn run_adamw<R: Real>(level: Level, decay: f64, w: &[R], gradients: &[Vec<R>]) -> [Vec<R>; 3] {
    let (mut w, mut m, mut v) = (w.to_vec(), vec![R::ZERO; w.len()], vec![R::ZERO; w.len()]);
    for (i, g) in gradients.iter().enumerate() {
        let step = AdamW {
            learning_rate: 0.01,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: decay,
            step: i as u64 + 1,
        };
        adamw(level, &step, g, &mut w, &mut m, &mut v).unwrap();
    }
    [w, m, v]
}

test_each_level! {
    fn steps_agree_with_the_formulas(level: Level) {
        let mut random = Random::new(1);
        for n in [0, 1, 15, 16, 70, 1000] {
            let w = random.floats(n);
            let gradients: Vec<Vec<f32>> = (0..5).map(|_| random.floats(n)).collect();
            let gradients64: Vec<Vec<f64>> = gradients.iter().map(|g| to_f64(g)).collect();
            for settings in sgd_settings() {
                let got = run_sgd(level, settings, &w, &gradients);
                let exact = run_sgd(level, settings, &to_f64(&w), &gradients64);
                for (got, exact) in got.iter().zip(&exact) {
                    let worst = worst_error(got, exact, |_| 1.0);
                    assert!(worst <= 30.0, "{settings:?}: {worst} roundings");
                }
            }
            for decay in [0.0, 0.05] {
                let got = run_adamw(level, decay, &w, &gradients);
                let exact = run_adamw(level, decay, &to_f64(&w), &gradients64);
                for (got, exact) in got.iter().zip(&exact) {
                    let worst = worst_error(got, exact, |_| 1.0);
                    assert!(worst <= 30.0, "AdamW, decay {decay}: {worst} roundings");
                }
            }
        }
    }

    fn threads_do_not_change_bits(level: Level) {
        let mut random = Random::new(2);
        let (w, g) = (random.floats(100_001), vec![random.floats(100_001)]);
        assert_same_on_threads(|| run_adamw(level, 0.1, &w, &g).concat());
        assert_same_on_threads(|| run_sgd(level, sgd_settings()[2], &w, &g)[0].clone());
    }
}

#[test]
fn sgd_takes_the_steps_by_hand() {
    let settings = Sgd {
        momentum: 0.5,
        dampening: 0.25,
        ..sgd_settings()[0]
    };
    // v: 2, then 0.5 * 2 + 0.75 * 4 = 4.
    let [w, v] = run_sgd(Level::detect(), settings, &[1.0], &[vec![2.0], vec![4.0]]);
    assert!((w[0] - (1.0 - 0.2 - 0.4)).abs() < 1e-15);
    assert_eq!(v, [4.0]);
    // d: 2 + 0.5 * 2 = 3, then v = 1 + 4 = 5 and d = 4 + 2.5 = 6.5.
    let settings = Sgd {
        momentum: 0.5,
        nesterov: true,
        ..sgd_settings()[0]
    };
    let [w, _] = run_sgd(Level::detect(), settings, &[1.0], &[vec![2.0], vec![4.0]]);
    assert!((w[0] - (1.0 - 0.3 - 0.65)).abs() < 1e-15);
}

#[test]
fn the_first_adamw_step_is_the_learning_rate() {
    let [w, m, v] = run_adamw(Level::detect(), 0.5, &[1.0, -2.0], &[vec![3.0, -1e-3]]);
    // Whatever the gradient, its share of its own root is one.
    assert!((w[0] - (0.995 - 0.01)).abs() < 1e-9 && (w[1] - (-1.99 + 0.01)).abs() < 1e-6);
    assert!((m[0] - 0.3).abs() < 1e-12 && (v[0] - 0.009).abs() < 1e-12);
}

#[test]
fn wrong_lengths_are_refused() {
    let level = Level::detect();
    let settings = sgd_settings();
    assert!(sgd(level, &settings[0], &[1.0_f32; 2], &mut [0.0; 3], &mut []).is_err());
    assert!(sgd(level, &settings[2], &[1.0_f32; 3], &mut [0.0; 3], &mut []).is_err());
    let step = AdamW {
        learning_rate: 0.1,
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        weight_decay: 0.0,
        step: 1,
    };
    let mut w = [0.0_f32; 3];
    assert!(
        adamw(
            level,
            &step,
            &[1.0; 3],
            &mut w,
            &mut [0.0; 3],
            &mut [0.0; 2]
        )
        .is_err()
    );
}
