//! Trading time for memory: activations are computed again when backward needs them.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use super::backward;
use super::function::{Description, attach, take};
use super::grad_mode::{self, Mode, with_mode};
use super::node::{BackwardCall, NodeFunction, next_in_sequence};
use crate::random::{PhiloxState, rng_state, set_rng_state};
use crate::{Result, Tensor};

thread_local! {
    static RECOMPUTING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a checkpoint is running its function again, for layers whose forward pass has effects:
/// batch norm must not update its running statistics twice.
#[must_use]
pub fn is_recomputing() -> bool {
    RECOMPUTING.get()
}

/// Computes `f(inputs)` keeping only the inputs; backward computes `f` again to differentiate it.
///
/// The default random generator is put back to where it was for the second run, so dropout
/// repeats itself. `f` may use leaves it has captured (parameters); a tensor computed outside must come
/// in through `inputs`.
///
/// # Errors
/// Those of `f`, or `f` captured a tensor that was computed from tracked ones.
pub fn checkpoint<F>(f: F, inputs: &[&Tensor]) -> Result<Tensor>
where
    F: Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
{
    if grad_mode::current() == Mode::Off {
        let inputs: Vec<Tensor> = inputs.iter().map(|&input| input.clone()).collect();
        return f(&inputs);
    }
    let rng = rng_state();
    let inside = as_leaves(inputs)?;
    let output = with_mode(Mode::Trace, || f(&inside))?;
    if !output.tracks_grad() {
        return Ok(output);
    }
    let saved = inputs.iter().map(|input| input.detach()).collect();
    let tracked = inputs.iter().map(|input| input.tracks_grad()).collect();
    let segment = Segment {
        f,
        rng,
        tracked,
        saved: Mutex::new(Some(Arc::new(saved))),
    };
    // Captured leaves are reason enough to record, even if no input tracks gradients.
    attach(inputs, output, || Box::new(segment))
}

/// The same tensors, cut off from how they were computed.
fn as_leaves(inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    inputs
        .iter()
        .map(|input| input.requires_grad(input.tracks_grad()))
        .collect()
}

/// A recorded checkpoint.
struct Segment<F> {
    f: F,
    rng: PhiloxState,
    tracked: Vec<bool>,
    saved: Mutex<Option<Arc<Vec<Tensor>>>>,
}

/// Puts the generator and the recomputing mark back.
struct Restore {
    rng: PhiloxState,
    recomputing: bool,
}

impl Drop for Restore {
    fn drop(&mut self) {
        set_rng_state(self.rng);
        RECOMPUTING.set(self.recomputing);
    }
}

impl<F> NodeFunction for Segment<F>
where
    F: Fn(&[Tensor]) -> Result<Tensor> + Send + Sync,
{
    fn describe(&self) -> Description {
        Description::new("checkpoint")
    }

    fn backward(&self, call: BackwardCall<'_>) -> Result<Vec<Option<Tensor>>> {
        let saved = take(&self.saved, call.retain)?;
        let oldest = next_in_sequence();
        let inputs = saved
            .iter()
            .zip(&self.tracked)
            .map(|(input, &tracked)| input.requires_grad(tracked))
            .collect::<Result<Vec<_>>>()?;
        let output = {
            let _restore = Restore {
                rng: rng_state(),
                recomputing: RECOMPUTING.replace(true),
            };
            set_rng_state(self.rng);
            with_mode(Mode::On, || (self.f)(&inputs))?
        };
        let mut grads = backward::run(&output, call.grad.clone(), false, oldest)?;
        let result = inputs.iter().map(|input| grads.remove(input)).collect();
        call.captured.accumulate(grads)?;
        Ok(result)
    }
}
