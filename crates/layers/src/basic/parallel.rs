//! Layers beside each other.

use striate_tensor::{Error, Result, Tensor};

use crate::{Layer, Module, Visitor};

/// Applies its layers to the same input and joins their outputs along the channels, in order.
///
/// A name may be empty: the layer's own names then stand where its name would.
#[derive(Debug, Default)]
pub struct Parallel {
    branches: Vec<(String, Box<dyn Module>)>,
}

impl Parallel {
    /// No branches; at least one is needed to run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a branch under a name.
    #[must_use]
    pub fn push(mut self, name: impl Into<String>, branch: impl Module + 'static) -> Self {
        self.branches.push((name.into(), Box::new(branch)));
        self
    }
}

impl Layer for Parallel {
    fn visit(&self, v: &mut dyn Visitor) {
        for (name, branch) in &self.branches {
            v.child(name, branch);
        }
    }
}

impl Module for Parallel {
    /// # Shapes
    /// `[N, C, ...] -> [N, sum of the branches' channels, ...]`
    ///
    /// # Errors
    /// Those of the branches; or there is none, or their outputs differ in more than the channels.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let outputs: Vec<Tensor> = self
            .branches
            .iter()
            .map(|(_, branch)| branch.forward(x))
            .collect::<Result<_>>()?;
        match &outputs[..] {
            [] => Err(Error::msg("Parallel: there is no branch")),
            [one] => Ok(one.clone()),
            all => Tensor::cat(&all.iter().collect::<Vec<_>>(), 1),
        }
    }
}
