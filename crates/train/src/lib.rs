//! Losses, optimizers, schedules, data and the training loop.
#![forbid(unsafe_code)]

pub mod augment;
pub mod checkpoint;
pub mod clip;
pub mod config;
pub mod data;
mod error;
pub mod evaluate;
mod file;
pub mod history;
pub mod loader;
pub mod loss;
pub mod metrics;
pub mod optim;
pub mod plot;
pub mod progress;
mod random;
pub mod run;
pub mod schedule;
pub mod trainer;

pub use error::{Error, Malformed, Result};
