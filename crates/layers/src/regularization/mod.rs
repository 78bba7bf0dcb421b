//! Modules that drop parts of a map in training.

mod drop_block;
mod stochastic_depth;

pub use drop_block::{DropBlock, DropBlockConfig, Seeds};
pub use stochastic_depth::{DropScope, StochasticDepth, linear_rates};
