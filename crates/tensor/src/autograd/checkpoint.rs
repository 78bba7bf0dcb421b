//! Trading time for memory: activations are computed again when backward needs them.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use super::backward::{self, Past};
use super::function::{Description, attach, take};
use super::grad_mode::{self, Mode, with_mode};
use super::node::{BackwardCall, NodeFunction, Origin, next_in_sequence};
use crate::level::{Policy, current_policy, with_policy};
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
/// The second run starts where the first did: with the default random generator, the SIMD level and the accuracy of that
/// time, so that dropout repeats itself, and gradients are those without a checkpoint, bit for bit. What `f` depends on
/// otherwise must not change in between: the values of parameters, and whether layers train.
///
/// `f` may use leaves it has captured (parameters); a tensor computed outside must come in through `inputs`.
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
    let start = Start {
        rng: rng_state(),
        policy: current_policy()?,
    };
    let saved: Vec<Saved> = inputs.iter().map(|input| Saved::of(input)).collect();
    let inside = enter(&saved)?;
    let output = with_mode(Mode::Trace, || f(&inside))?;
    if !output.tracks_grad() {
        return Ok(output);
    }
    let segment = Segment {
        f,
        start,
        saved: Mutex::new(Some(Arc::new(saved))),
    };
    // Captured leaves are reason enough to record, even if no input tracks gradients.
    attach(inputs, output, || Box::new(segment))
}

/// An input.
enum Saved {
    /// A constant, or a leaf: inside it is what it is outside.
    Known(Tensor),
    /// Something that was computed, without how.
    Computed(Tensor),
}

impl Saved {
    fn of(input: &Tensor) -> Self {
        match &input.origin {
            Origin::Node(_) => Self::Computed(input.detach()),
            Origin::Constant | Origin::Leaf(_) => Self::Known(input.clone()),
        }
    }
}

/// What `f` is given, cut off from how it was computed.
fn enter(saved: &[Saved]) -> Result<Vec<Tensor>> {
    let inside = |saved: &Saved| match saved {
        Saved::Known(input) => Ok(input.clone()),
        Saved::Computed(input) => input.requires_grad(true),
    };
    saved.iter().map(inside).collect()
}

/// What a run depends on besides its inputs.
struct Start {
    rng: PhiloxState,
    policy: Policy,
}

/// A recorded checkpoint.
struct Segment<F> {
    f: F,
    start: Start,
    saved: Mutex<Option<Arc<Vec<Saved>>>>,
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

impl<F> Segment<F>
where
    F: Fn(&[Tensor]) -> Result<Tensor> + Send + Sync,
{
    fn recompute(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let _restore = Restore {
            rng: rng_state(),
            recomputing: RECOMPUTING.replace(true),
        };
        set_rng_state(self.start.rng);
        with_policy(self.start.policy, || {
            with_mode(Mode::On, || (self.f)(inputs))
        })
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
        let inputs = enter(&saved)?;
        let output = self.recompute(&inputs)?;
        // What came from elsewhere goes first, as without a checkpoint: sums round by their order.
        let mut sums = std::mem::take(call.captured);
        let mut sum = call.sum;
        if let (Some(sum), [input]) = (&mut sum, &inputs[..]) {
            sums.insert(input, std::mem::replace(*sum, call.grad.clone()))?;
        }
        let past = Past {
            sums,
            retain: false,
            oldest,
        };
        let mut sums = backward::run(&output, call.grad.clone(), past)?;
        let mut result: Vec<Option<Tensor>> = inputs
            .iter()
            .zip(&*saved)
            .map(|(input, saved)| match saved {
                Saved::Known(_) => None,
                Saved::Computed(_) => sums.remove(input),
            })
            .collect();
        *call.captured = sums;
        if let (Some(sum), [own]) = (sum, &mut result[..])
            && let Some(own) = own.take()
        {
            *sum = own;
        }
        Ok(result)
    }
}
