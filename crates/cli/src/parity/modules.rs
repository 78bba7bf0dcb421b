//! Cases of modules, which the catalogue of layers builds and runs.

use striate::layers::StateDict;
use striate::layers::catalog::{self, Replay};
use striate::{Result, Tensor};
use striate_testkit::{CaseFile, Mode};

use super::{Computed, tensor};

/// Computes the outputs, the gradients of inputs and parameters, and the buffers afterwards.
pub(super) fn run(case: &CaseFile) -> std::result::Result<Computed, String> {
    replay(case).map_err(|e| e.to_string())
}

fn replay(case: &CaseFile) -> Result<Computed> {
    let mut state = StateDict::new();
    for (name, value) in case.group("param.").chain(case.group("buffer.")) {
        state.insert(name, tensor(value)?);
    }
    let inputs = numbered(case, "input")?;
    let differentiable = |i| case.tensors.contains_key(&format!("grad.input.{i}"));
    let replayed = catalog::find(&case.name)?.replay(&Replay {
        config: &case.config,
        training: case.mode == Mode::Train,
        state,
        differentiable: (0..inputs.len()).map(differentiable).collect(),
        inputs,
        grad_outputs: numbered(case, "grad_output")?,
    })?;
    let mut computed = Computed::new();
    for (i, output) in replayed.outputs.into_iter().enumerate() {
        computed.insert(format!("output.{i}"), output.detach());
    }
    for (i, grad) in replayed.input_grads.into_iter().enumerate() {
        computed.extend(grad.map(|grad| (format!("grad.input.{i}"), grad)));
    }
    for (name, grad) in replayed.parameter_grads.iter() {
        computed.insert(format!("grad.param.{name}"), grad.clone());
    }
    for (name, buffer) in replayed.buffers.iter() {
        computed.insert(format!("after.{name}"), buffer.clone());
    }
    Ok(computed)
}

/// The tensors `group.0`, `group.1`, ... up to the first that is absent.
fn numbered(case: &CaseFile, group: &str) -> Result<Vec<Tensor>> {
    let listed = (0..).map_while(|i| case.tensors.get(&format!("{group}.{i}")));
    listed.map(tensor).collect()
}
