//! The command line: its verbs and what they share.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::commands::bench::Bench;
use crate::commands::doctor::Doctor;
use crate::commands::eval::Eval;
use crate::commands::graft_cost::GraftCost;
use crate::commands::kernels::Kernels;
use crate::commands::models::Models;
use crate::commands::modules::Modules;
use crate::commands::parity::Parity;
use crate::commands::predict::Predict;
use crate::commands::run::Run;
use crate::commands::summary::Summary;
use crate::commands::train::Train;

/// Convolutional networks on CPUs: trains, evaluates and explains them.
#[derive(Debug, Parser)]
#[command(name = "striate", version, propagate_version = true)]
#[command(
    after_help = "Exit codes: 0 success; 1 the work failed, was interrupted or fell short; 2 wrong usage.
Environment: STRIATE_SIMD=portable|avx2|avx512|neon lowers the SIMD level."
)]
pub(crate) struct Arguments {
    /// Print results as JSON, one object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Use this many threads [default: all that the machine has]
    #[arg(long, global = true, value_name = "N", value_parser = count)]
    pub(crate) threads: Option<NonZeroUsize>,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Train(Train),
    Predict(Predict),
    Eval(Eval),
    Summary(Summary),
    Models(Models),
    Modules(Modules),
    Run(Run),
    Bench(Bench),
    GraftCost(GraftCost),
    Kernels(Kernels),
    Doctor(Doctor),
    Parity(Parity),
}

/// A whole number from 1.
pub(crate) fn count(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<usize>() {
        Ok(n) => NonZeroUsize::new(n).ok_or_else(|| "must be at least 1".to_owned()),
        Err(_) => Err("must be a whole number of at least 1".to_owned()),
    }
}

/// A time in seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|s| (0.0..=3600.0).contains(s));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "must be a number from 0 to 3600".to_owned())
}
