//! Layers that only rearrange.

use striate_tensor::{Result, Tensor};

use crate::{Layer, Module, Visitor};

/// The input itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

impl Layer for Identity {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for Identity {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.clone())
    }
}

/// One row a sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flatten;

impl Layer for Flatten {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for Flatten {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C*H*W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.flatten(1, x.rank().saturating_sub(1))
    }
}
