//! Running a module as a reference case wants it.

use serde_json::Value;
use striate_tensor::{Error, Result, Tensor};

use super::Entry;
use crate::module::{named_buffers, named_parameters, set_training};
use crate::{Loading, StateDict, VarBuilder, load_state_dict, to_dtype};

/// What a case gives.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    /// The arguments of the module.
    pub config: &'a Value,
    /// Whether it trains.
    pub training: bool,
    /// Its parameters and buffers, all of them.
    pub state: StateDict,
    /// The inputs; their element type is the module's.
    pub inputs: Vec<Tensor>,
    /// Which inputs get a gradient.
    pub differentiable: Vec<bool>,
    /// What is fed to the backward pass, one tensor an output; empty for none.
    pub grad_outputs: Vec<Tensor>,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The outputs.
    pub outputs: Vec<Tensor>,
    /// The gradients of the inputs; `None` where there is none.
    pub input_grads: Vec<Option<Tensor>>,
    /// The gradients of the parameters that have one, by name.
    pub parameter_grads: StateDict,
    /// The buffers after the forward pass, by name.
    pub buffers: StateDict,
}

impl Entry {
    /// Builds the module, loads its state strictly, runs it forward and backward.
    ///
    /// # Errors
    /// The configuration, the state or a shape does not fit.
    pub fn replay(&self, case: &Replay<'_>) -> Result<Replayed> {
        let module = self.build(case.config, &VarBuilder::seeded(0))?;
        load_state_dict(&module, &case.state, Loading::Strict)?;
        if let Some(x) = case.inputs.first() {
            to_dtype(&module, x.dtype())?;
        }
        set_training(&module, case.training);
        let mut inputs = Vec::new();
        for (i, x) in case.inputs.iter().enumerate() {
            inputs.push(x.requires_grad(case.differentiable.get(i) == Some(&true))?);
        }
        let outputs = module.run(&inputs)?;
        let buffers = named_buffers(&module).into_iter();
        let mut replayed = Replayed {
            buffers: buffers.map(|(name, b)| (name, b.tensor())).collect(),
            input_grads: vec![None; inputs.len()],
            parameter_grads: StateDict::new(),
            outputs,
        };
        if case.grad_outputs.is_empty() {
            return Ok(replayed);
        }
        let mut grads = loss(&replayed.outputs, &case.grad_outputs)?.backward()?;
        replayed.input_grads = inputs.iter().map(|x| grads.remove(x)).collect();
        for (name, p) in named_parameters(&module) {
            if let Some(grad) = grads.remove(&p.tensor()) {
                replayed.parameter_grads.insert(name, grad);
            }
        }
        Ok(replayed)
    }
}

/// A number whose gradients with respect to the outputs are the given ones.
fn loss(outputs: &[Tensor], grads: &[Tensor]) -> Result<Tensor> {
    if outputs.len() != grads.len() {
        let (o, g) = (outputs.len(), grads.len());
        return Err(Error::msg(format!("{o} outputs, but gradients for {g}")));
    }
    let mut sum: Option<Tensor> = None;
    for (y, g) in outputs.iter().zip(grads) {
        if y.shape() != g.shape() {
            let detail = format!("output {:?}, its gradient {:?}", y.shape(), g.shape());
            return Err(Error::shape("replay", detail));
        }
        let one = y.mul(g)?.sum_all()?;
        sum = Some(match sum {
            Some(sum) => sum.add(&one)?,
            None => one,
        });
    }
    sum.ok_or_else(|| Error::msg("the module has no output"))
}
