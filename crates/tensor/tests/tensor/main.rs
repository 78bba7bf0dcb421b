//! Tests of the public interface of tensors.

mod arguments;
mod broadcasting;
mod common;
mod display;
mod gradients;
mod levels;
mod reductions;
mod view_chains;
mod views;
