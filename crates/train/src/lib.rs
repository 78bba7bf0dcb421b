//! Losses, optimizers, schedules, data and the training loop.

pub mod atomic;
pub mod augment;
pub mod clip;
pub mod config;
pub mod data;
mod error;
pub mod history;
pub mod loader;
pub mod loss;
pub mod metrics;
pub mod optim;
pub mod plot;
pub mod progress;
mod random;
pub mod schedule;

pub use error::{Error, Malformed, Result};
