//! Layers one after the other.

use striate_tensor::{Result, Tensor};

use crate::{Layer, Module, Visitor};

/// Applies its layers in order. Their names are `0`, `1`, ... or the given ones.
#[derive(Debug, Default)]
pub struct Sequential {
    layers: Vec<(String, Box<dyn Module>)>,
}

impl Sequential {
    /// No layers: the identity.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a layer; its name is its position.
    #[must_use]
    pub fn push(self, layer: impl Module + 'static) -> Self {
        let name = self.layers.len().to_string();
        self.push_named(name, layer)
    }

    /// Appends a layer under a name.
    #[must_use]
    pub fn push_named(mut self, name: impl Into<String>, layer: impl Module + 'static) -> Self {
        self.layers.push((name.into(), Box::new(layer)));
        self
    }

    /// Number of layers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

impl Layer for Sequential {
    fn visit(&self, v: &mut dyn Visitor) {
        for (name, layer) in &self.layers {
            v.child(name, layer);
        }
    }
}

impl Module for Sequential {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.layers
            .iter()
            .try_fold(x.clone(), |x, (_, layer)| layer.forward(&x))
    }
}
