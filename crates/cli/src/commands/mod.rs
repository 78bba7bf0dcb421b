//! The verbs, one file each.

pub(crate) mod bench;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod graft_cost;
pub(crate) mod kernels;
pub(crate) mod models;
pub(crate) mod modules;
pub(crate) mod parity;
pub(crate) mod predict;
pub(crate) mod run;
pub(crate) mod summary;
pub(crate) mod train;

use striate::kernels::parallel;

use crate::args::{Arguments, Verb};
use crate::failure::Failure;
use crate::output::Output;

/// Runs the verb that `arguments` name.
pub(crate) fn run(arguments: &Arguments, out: &mut Output) -> Result<(), Failure> {
    if let Some(threads) = arguments.threads {
        parallel::set_threads(threads.get()).map_err(Failure::usage)?;
    }
    match &arguments.verb {
        Verb::Train(verb) => verb.run(out),
        Verb::Predict(verb) => verb.run(out),
        Verb::Eval(verb) => verb.run(out),
        Verb::Run(verb) => verb.run(out),
        Verb::Bench(verb) => verb.run(out),
        Verb::Doctor(verb) => verb.run(out),
        Verb::GraftCost(verb) => verb.run(out),
        Verb::Kernels(verb) => verb.run(out),
        Verb::Models(verb) => verb.run(out),
        Verb::Modules(verb) => verb.run(out),
        Verb::Summary(verb) => verb.run(out),
        Verb::Parity(verb) => verb.run(out),
    }
}
