//! Rules that change parameters by their gradients.
//!
//! The formulas, the order of their operations and the names of the settings are PyTorch's. Each parameter, its gradient and its state
//! are read and written in one pass.

mod adamw;
mod sgd;

use serde::{Deserialize, Serialize};
use striate_kernels::optim as kernel;
use striate_layers::{Layer, Parameter, StateDict, named_parameters};
use striate_tensor::{DType, Gradients, Tensor, current_level};

pub use adamw::AdamWConfig;
pub use sgd::SgdConfig;

use crate::error::{Error, Result};

/// Which rule, and its settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum OptimizerConfig {
    /// Stochastic gradient descent.
    Sgd(SgdConfig),
    /// Adam with decoupled weight decay.
    AdamW(AdamWConfig),
}

/// Which parameters are pulled towards zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// All of them, as PyTorch does by default.
    #[default]
    All,
    /// Those with two dimensions or more: no biases, and no scales and shifts of norms.
    Weights,
}

impl OptimizerConfig {
    /// Whether every setting has a meaning.
    ///
    /// # Errors
    /// Names the first that has none.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Sgd(config) => config.check(),
            Self::AdamW(config) => config.check(),
        }
    }

    fn decay(&self) -> Decay {
        match self {
            Self::Sgd(config) => config.decay,
            Self::AdamW(config) => config.decay,
        }
    }

    /// The names of what is kept for each parameter.
    fn slots(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd(config) => config.slots(),
            Self::AdamW(_) => &["exp_avg", "exp_avg_sq"],
        }
    }
}

/// A rule at work on the parameters of a model.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    items: Vec<Item>,
}

/// A parameter and what the rule keeps for it.
#[derive(Debug)]
struct Item {
    name: String,
    parameter: Parameter,
    decays: bool,
    /// How many times it was changed.
    steps: u64,
    /// One tensor for each slot, row-major, of the parameter's shape.
    slots: Vec<Tensor>,
}

impl Optimizer {
    /// For every parameter below `model`, each once.
    ///
    /// # Errors
    /// When a setting has no meaning, a parameter is not f32, or memory runs out.
    pub fn new(model: &dyn Layer, config: OptimizerConfig) -> Result<Self> {
        config.check()?;
        let mut items: Vec<Item> = Vec::new();
        for (name, parameter) in named_parameters(model) {
            if items.iter().any(|item| item.parameter.same(&parameter)) {
                continue;
            }
            if parameter.dtype() != DType::F32 {
                let detail = format!("{name} is {}, only f32 is trained", parameter.dtype());
                return Err(Error::config("parameter", detail));
            }
            let shape = parameter.shape();
            let zeros = || Tensor::zeros(shape.as_slice(), DType::F32);
            let slots = config
                .slots()
                .iter()
                .map(|_| zeros())
                .collect::<Result<_, striate_tensor::Error>>()?;
            let decays = config.decay() == Decay::All || shape.len() >= 2;
            items.push(Item {
                name,
                parameter,
                decays,
                steps: 0,
                slots,
            });
        }
        Ok(Self { config, items })
    }

    /// The parameters that it changes.
    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> + Clone {
        self.items.iter().map(|item| &item.parameter)
    }

    /// Changes every parameter that has a gradient, at the given learning rate.
    ///
    /// # Errors
    /// When memory runs out, or a gradient is not one of its parameter.
    pub fn step(&mut self, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        let level = current_level()?;
        for item in &mut self.items {
            let Some(gradient) = gradients.get(&item.parameter.tensor()) else {
                continue;
            };
            let gradient = gradient.contiguous()?;
            let gradient = gradient.memory::<f32>()?;
            item.steps += 1;
            let Item {
                parameter,
                decays,
                steps,
                slots,
                ..
            } = item;
            let result = match &self.config {
                OptimizerConfig::Sgd(config) => {
                    let rule = config.rule(learning_rate, *decays, *steps);
                    update(parameter, slots, |w, [v, _]| {
                        kernel::sgd(level, &rule, gradient, w, v)
                    })
                }
                OptimizerConfig::AdamW(config) => {
                    let rule = config.rule(learning_rate, *decays, *steps);
                    update(parameter, slots, |w, [m, v]| {
                        kernel::adamw(level, &rule, gradient, w, m, v)
                    })
                }
            };
            result.map_err(|e| e.at(&item.name))?;
        }
        Ok(())
    }

    /// What it keeps, by the name of the parameter and of the slot: `conv1.weight.momentum_buffer`; and `conv1.weight.step`, how
    /// many times the parameter was changed.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn state_dict(&self) -> Result<StateDict> {
        let mut dict = StateDict::new();
        for item in &self.items {
            // A count of steps fits: it would take centuries not to.
            dict.insert(
                format!("{}.step", item.name),
                Tensor::scalar(item.steps as i64)?,
            );
            for (slot, tensor) in self.config.slots().iter().zip(&item.slots) {
                dict.insert(format!("{}.{slot}", item.name), tensor.clone());
            }
        }
        Ok(dict)
    }

    /// Continues from what [`Optimizer::state_dict`] gave.
    ///
    /// # Errors
    /// When a tensor is missing or does not fit: nothing is changed then.
    pub fn load_state_dict(&mut self, dict: &StateDict) -> Result<()> {
        let read = |item: &Item| -> Result<(u64, Vec<Tensor>)> {
            let steps =
                find(dict, &format!("{}.step", item.name), &[], DType::I64)?.item::<i64>()?;
            let steps = u64::try_from(steps)
                .map_err(|_| Error::Mismatch(format!("{} was changed {steps} times", item.name)))?;
            let shape = item.parameter.shape();
            let slot = |s: &&str| find(dict, &format!("{}.{s}", item.name), &shape, DType::F32);
            Ok((
                steps,
                self.config
                    .slots()
                    .iter()
                    .map(slot)
                    .collect::<Result<_>>()?,
            ))
        };
        let states = self.items.iter().map(read).collect::<Result<Vec<_>>>()?;
        for (item, (steps, slots)) in self.items.iter_mut().zip(states) {
            (item.steps, item.slots) = (steps, slots);
        }
        Ok(())
    }
}

/// Runs `f` on the weights of a parameter and up to two slots; a slot that does not exist is empty.
fn update(
    parameter: &Parameter,
    slots: &mut [Tensor],
    f: impl FnOnce(&mut [f32], [&mut [f32]; 2]) -> Result<(), striate_kernels::KernelError>,
) -> striate_tensor::Result<()> {
    let mut result = Ok(());
    match slots {
        [] => parameter.update(|w| result = f(w, [&mut [], &mut []]))?,
        [a] => a.update_slice(|a| parameter.update(|w| result = f(w, [a, &mut []])))??,
        [a, b, ..] => {
            a.update_slice(|a| b.update_slice(|b| parameter.update(|w| result = f(w, [a, b]))))???;
        }
    }
    Ok(result?)
}

fn find(dict: &StateDict, name: &str, shape: &[usize], dtype: DType) -> Result<Tensor> {
    let tensor = dict
        .get(name)
        .ok_or_else(|| Error::Mismatch(format!("the optimizer's {name} is missing")))?;
    if tensor.shape() != shape || tensor.dtype() != dtype {
        let (got, of) = (tensor.shape(), tensor.dtype());
        return Err(Error::Mismatch(format!(
            "the optimizer's {name} is {of} {got:?} instead of {dtype} {shape:?}"
        )));
    }
    Ok(tensor.contiguous()?)
}

/// An error unless the value is finite and the rule holds.
fn check(field: &'static str, value: f64, rule: &str, holds: bool) -> Result<()> {
    if holds && value.is_finite() {
        return Ok(());
    }
    Err(Error::config(field, format!("{value}: {rule}")))
}

#[cfg(test)]
mod tests;
