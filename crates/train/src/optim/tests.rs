use striate_layers::{Conv2d, Conv2dConfig, Module, VarBuilder, Visitor, state_dict};
use striate_tensor::Philox;

use super::*;

/// Two parameters, one of which the other's layer uses again.
#[derive(Debug)]
struct Model {
    weight: Parameter,
    bias: Parameter,
}

impl Layer for Model {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        v.parameter("bias", &self.bias);
        v.parameter("tied", &self.weight);
    }
}

const WEIGHT: [f32; 4] = [1.0, -2.0, 0.5, 0.0];
const BIAS: [f32; 2] = [0.25, -0.75];

fn model() -> Model {
    let make = |v: &[f32], shape: &[usize]| {
        Parameter::new(&Tensor::from_slice(v, shape).unwrap()).unwrap()
    };
    Model {
        weight: make(&WEIGHT, &[2, 2]),
        bias: make(&BIAS, &[2]),
    }
}

/// The gradients of step `t`: whatever, but not zero and not constant.
fn gradient(t: usize, i: usize) -> f32 {
    ((7 * t + 3 * i) % 11) as f32 * 0.1 - 0.45
}

fn gradients(model: &Model, t: usize) -> Gradients {
    let mut gradients = Gradients::new();
    let values: Vec<f32> = (0..4).map(|i| gradient(t, i)).collect();
    // Column-major memory, as a transposed product gives it.
    let weight = Tensor::from_vec(vec![values[0], values[2], values[1], values[3]], [2, 2]);
    let weight = weight.unwrap().permute(&[1, 0]).unwrap();
    gradients.insert(&model.weight.tensor(), weight).unwrap();
    let bias = Tensor::from_slice(&values[..2], [2]).unwrap();
    gradients.insert(&model.bias.tensor(), bias).unwrap();
    gradients
}

fn step(optimizer: &mut Optimizer, model: &Model, t: usize, rate: f64) {
    optimizer.step(&gradients(model, t), rate).unwrap();
}

fn weights(model: &Model) -> Vec<f32> {
    let read = |p: &Parameter| p.tensor().to_vec::<f32>().unwrap();
    [read(&model.weight), read(&model.bias)].concat()
}

/// Runs six steps and compares with the same in f64, element by element, by `rule(w, g, state, t)`.
fn compare(config: OptimizerConfig, rule: impl Fn(&mut f64, f64, &mut [f64; 2], i32, bool)) {
    let model = model();
    let mut optimizer = Optimizer::new(&model, config).unwrap();
    let mut expected: Vec<f64> = WEIGHT.iter().chain(&BIAS).map(|&w| f64::from(w)).collect();
    let mut state = vec![[0.0; 2]; 6];
    for t in 1..=6 {
        step(&mut optimizer, &model, t, 0.1);
        for (i, (w, s)) in expected.iter_mut().zip(&mut state).enumerate() {
            let g = f64::from(gradient(t, i % 4));
            rule(w, g, s, t as i32, i < 4);
        }
        for (w, e) in weights(&model).into_iter().zip(&expected) {
            assert!(
                (f64::from(w) - e).abs() < 3e-7 * e.abs().max(1.0),
                "step {t}: {w} {e}"
            );
        }
    }
}

#[test]
fn sgd_follows_its_formula() {
    let plain = SgdConfig {
        momentum: 0.0,
        ..SgdConfig::default()
    };
    for config in [
        plain,
        SgdConfig {
            weight_decay: 0.1,
            ..plain
        },
        SgdConfig::default(),
        SgdConfig {
            dampening: 0.3,
            weight_decay: 0.05,
            ..SgdConfig::default()
        },
        SgdConfig {
            nesterov: true,
            weight_decay: 0.05,
            ..SgdConfig::default()
        },
        SgdConfig {
            weight_decay: 0.5,
            decay: Decay::Weights,
            ..SgdConfig::default()
        },
    ] {
        compare(
            OptimizerConfig::Sgd(config),
            |w, g, [v, _], t, is_weight| {
                let decays = is_weight || config.decay == Decay::All;
                let g = g + if decays {
                    config.weight_decay * *w
                } else {
                    0.0
                };
                let mu = config.momentum;
                *v = if t == 1 {
                    g
                } else {
                    mu * *v + (1.0 - config.dampening) * g
                };
                *w -= 0.1 * if config.nesterov { g + mu * *v } else { *v };
            },
        );
    }
}

#[test]
fn adamw_follows_its_formula() {
    for config in [
        AdamWConfig::default(),
        AdamWConfig {
            weight_decay: 0.5,
            decay: Decay::Weights,
            ..AdamWConfig::default()
        },
        AdamWConfig {
            betas: [0.5, 0.8],
            eps: 0.1,
            weight_decay: 0.0,
            ..AdamWConfig::default()
        },
    ] {
        compare(
            OptimizerConfig::AdamW(config),
            |w, g, [m, v], t, is_weight| {
                let [b1, b2] = config.betas;
                let decays = is_weight || config.decay == Decay::All;
                *w *= 1.0
                    - if decays {
                        0.1 * config.weight_decay
                    } else {
                        0.0
                    };
                *m = b1 * *m + (1.0 - b1) * g;
                *v = b2 * *v + (1.0 - b2) * g * g;
                let v = *v / (1.0 - b2.powi(t));
                *w -= 0.1 / (1.0 - b1.powi(t)) * *m / (v.sqrt() + config.eps);
            },
        );
    }
}

#[test]
fn a_parameter_without_a_gradient_stays() {
    let model = model();
    let config = OptimizerConfig::AdamW(AdamWConfig::default());
    let mut optimizer = Optimizer::new(&model, config).unwrap();
    let mut bias_alone = gradients(&model, 0);
    bias_alone.remove(&model.weight.tensor());
    optimizer.step(&bias_alone, 0.1).unwrap();
    assert_eq!(weights(&model)[..4], WEIGHT);
    assert_ne!(weights(&model)[4..], BIAS);
    let both = gradients(&model, 1);
    model.bias.set_trainable(false);
    let before = weights(&model);
    optimizer.step(&both, 0.1).unwrap();
    assert_ne!(weights(&model)[..4], before[..4]);
    assert_eq!(weights(&model)[4..], before[4..], "it is frozen");
}

fn resumes(config: OptimizerConfig) {
    let whole = model();
    let mut optimizer = Optimizer::new(&whole, config).unwrap();
    assert_eq!(
        optimizer.parameters().count(),
        2,
        "a tied parameter counts once"
    );
    (0..3).for_each(|t| step(&mut optimizer, &whole, t, 0.1));
    let state = optimizer.state_dict().unwrap();
    let resumed = model();
    for (name, parameter) in named_parameters(&resumed) {
        parameter
            .set(state_dict(&whole).get(&name).unwrap())
            .unwrap();
    }
    let mut second = Optimizer::new(&resumed, config).unwrap();
    second.load_state_dict(&state).unwrap();
    for t in 3..6 {
        step(&mut optimizer, &whole, t, 0.1);
        step(&mut second, &resumed, t, 0.1);
    }
    assert_eq!(weights(&whole), weights(&resumed));
    assert_eq!(
        state.get("weight.step").unwrap().item::<i64>().unwrap(),
        3,
        "a saved state stays"
    );
}

#[test]
fn both_rules_continue_from_their_state() {
    resumes(OptimizerConfig::Sgd(SgdConfig::default()));
    resumes(OptimizerConfig::AdamW(AdamWConfig::default()));
}

#[test]
fn a_state_that_does_not_fit_changes_nothing() {
    let model = model();
    let config = OptimizerConfig::Sgd(SgdConfig::default());
    let mut optimizer = Optimizer::new(&model, config).unwrap();
    step(&mut optimizer, &model, 0, 0.1);
    let good = optimizer.state_dict().unwrap();
    let expect = |optimizer: &mut Optimizer, dict: &StateDict, part: &str| {
        let message = optimizer.load_state_dict(dict).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
        for (name, tensor) in optimizer.state_dict().unwrap().iter() {
            assert!(tensor.shares_memory_with(good.get(name).unwrap()) || tensor.rank() == 0);
        }
    };
    expect(&mut optimizer, &StateDict::new(), "weight.step is missing");
    let mut dict = good.clone();
    dict.insert(
        "bias.momentum_buffer",
        Tensor::zeros([3], DType::F32).unwrap(),
    );
    expect(
        &mut optimizer,
        &dict,
        "bias.momentum_buffer is f32 [3] instead of f32 [2]",
    );
    let mut dict = good.clone();
    dict.insert("bias.step", Tensor::scalar(-1i64).unwrap());
    expect(&mut optimizer, &dict, "bias was changed -1 times");
}

#[test]
fn impossible_settings_are_errors() {
    let sgd = SgdConfig::default();
    let adamw = AdamWConfig::default();
    for (config, field) in [
        (
            OptimizerConfig::Sgd(SgdConfig {
                momentum: 1.5,
                ..sgd
            }),
            "momentum: 1.5",
        ),
        (
            OptimizerConfig::Sgd(SgdConfig {
                dampening: -0.5,
                ..sgd
            }),
            "dampening: -0.5",
        ),
        (
            OptimizerConfig::Sgd(SgdConfig {
                weight_decay: f64::NAN,
                ..sgd
            }),
            "weight decay: NaN",
        ),
        (
            OptimizerConfig::Sgd(SgdConfig {
                nesterov: true,
                momentum: 0.0,
                ..sgd
            }),
            "nesterov",
        ),
        (
            OptimizerConfig::AdamW(AdamWConfig {
                betas: [0.9, 1.0],
                ..adamw
            }),
            "beta: 1",
        ),
        (
            OptimizerConfig::AdamW(AdamWConfig { eps: -1.0, ..adamw }),
            "eps: -1",
        ),
        (
            OptimizerConfig::AdamW(AdamWConfig {
                weight_decay: -1.0,
                ..adamw
            }),
            "weight decay: -1",
        ),
    ] {
        let message = Optimizer::new(&model(), config).unwrap_err().to_string();
        assert!(message.starts_with(field), "{message}");
    }
}

#[test]
fn a_step_is_seen_by_the_next_convolution() -> Result<()> {
    let conv = Conv2dConfig::new(12, 12, 3).build(&VarBuilder::seeded(0))?;
    let mut optimizer = Optimizer::new(&conv, OptimizerConfig::Sgd(SgdConfig::default()))?;
    let x = Tensor::randn([1, 12, 9, 9], &mut Philox::new(1))?;
    for _ in 0..3 {
        let grads = conv.forward(&x)?.square()?.sum_all()?.backward()?;
        optimizer.step(&grads, 1e-3)?;
        let copy = Conv2dConfig::new(12, 12, 3).build(&VarBuilder::seeded(9))?;
        let values = conv.weight().tensor().to_vec::<f32>()?;
        copy.weight().update(|w| w.copy_from_slice(&values))?;
        if let (Some(to), Some(from)) = (copy.bias(), conv.bias()) {
            to.set(&from.tensor())?;
        }
        let run = |conv: &Conv2d| conv.forward(&x)?.to_vec::<f32>();
        assert_eq!(run(&conv)?, run(&copy)?);
    }
    Ok(())
}
