//! Losses, optimizers, schedules, data and the training loop.

pub mod atomic;
pub mod data;
mod error;

pub use error::{Error, Malformed, Result};
