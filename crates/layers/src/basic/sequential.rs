//! Layers one after the other.

use striate_tensor::{Result, Tensor};

use crate::basic::{Activation, conv_norm_act, conv_norm_attend_onto, norm_act};
use crate::{Fusible, Layer, Module, Visitor};

/// Applies its layers in order, a convolution, its batch norm and its activation in one pass
/// ([`conv_norm_act`], [`norm_act`]). Their names are `0`, `1`, ... or the given ones.
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

impl Sequential {
    /// `act(attention(layers(x)) + residual)`: see [`conv_norm_attend_onto`].
    ///
    /// # Shapes
    /// The residual has the shape of the output.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn attend_onto(
        &self,
        attention: &dyn Module,
        residual: &Tensor,
        act: Activation,
        x: &Tensor,
    ) -> Result<Tensor> {
        if let [before @ .., (_, conv), (_, bn)] = &self.layers[..]
            && let (Fusible::Conv2d(conv), Fusible::BatchNorm2d(bn)) =
                (conv.fusible(), bn.fusible())
        {
            return conv_norm_attend_onto(
                conv,
                bn,
                attention,
                act,
                &run(before, x.clone())?,
                residual,
            );
        }
        attention.forward_onto(residual, act, &self.forward(x)?)
    }
}

impl Module for Sequential {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        run(&self.layers, x.clone())
    }

    fn forward_owned(&self, x: Tensor) -> Result<Tensor> {
        run(&self.layers, x)
    }

    /// In the store of the last convolution if that, with its batch norm or alone, comes last.
    fn forward_onto(&self, residual: &Tensor, act: Activation, x: &Tensor) -> Result<Tensor> {
        let [before @ .., (_, last)] = &self.layers[..] else {
            return act.forward(&residual.add(x)?);
        };
        if let (Fusible::BatchNorm2d(bn), [before @ .., (_, conv)]) = (last.fusible(), before)
            && let Fusible::Conv2d(conv) = conv.fusible()
        {
            return conv_norm_act(conv, bn, act, &run(before, x.clone())?, Some(residual));
        }
        match last.fusible() {
            Fusible::Conv2d(_) | Fusible::No => {
                last.forward_onto(residual, act, &run(before, x.clone())?)
            }
            // It may belong to what comes before it.
            _ => act.forward(&residual.add(&self.forward(x)?)?),
        }
    }
}

/// Runs layers in order.
fn run(layers: &Layers, mut x: Tensor) -> Result<Tensor> {
    let mut rest = layers;
    while let [(_, layer), after @ ..] = rest {
        rest = after;
        x = match (layer.fusible(), first(rest)) {
            (Fusible::Conv2d(conv), Some(Fusible::BatchNorm2d(bn))) => {
                let (act, after) = activation(&rest[1..]);
                rest = after;
                conv_norm_act(conv, bn, act, &x, None)?
            }
            (Fusible::BatchNorm2d(bn), _) => {
                let (act, after) = activation(rest);
                rest = after;
                norm_act(bn, act, &x)?
            }
            _ => layer.forward(&x)?,
        };
    }
    Ok(x)
}

type Layers = [(String, Box<dyn Module>)];

/// The activation that comes first, if one does, and what comes after it.
fn activation(layers: &Layers) -> (Activation, &Layers) {
    match first(layers) {
        Some(Fusible::Activation(act)) => (act, &layers[1..]),
        _ => (Activation::Identity, layers),
    }
}

fn first(layers: &Layers) -> Option<Fusible<'_>> {
    layers.first().map(|(_, layer)| layer.fusible())
}
