//! Layers one after the other.

use striate_tensor::{Result, Tensor};

use super::conv_norm_act::{Brick, chained};
use crate::basic::{Activation, conv_norm_attend_onto, norm_act};
use crate::{Fusible, Layer, Module, Visitor};

/// Applies its layers in order, a convolution, its batch norm and its activation in one pass
/// ([`conv_norm_act`](crate::basic::conv_norm_act), [`norm_act`]). Their names are `0`, `1`, ... or the given ones.
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
        if let (Fusible::BatchNorm2d(_), [.., (_, conv)]) = (last.fusible(), before)
            && let Fusible::Conv2d(_) = conv.fusible()
        {
            return run_onto(&self.layers, x.clone(), Some((residual, act)));
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
fn run(layers: &Layers, x: Tensor) -> Result<Tensor> {
    run_onto(layers, x, None)
}

/// Runs layers in order. With a residual and an activation they end with a convolution and its batch norm, to whose value
/// the residual is added before that activation.
fn run_onto(layers: &Layers, mut x: Tensor, onto: Onto<'_>) -> Result<Tensor> {
    let mut rest = layers;
    while let [(_, layer), after @ ..] = rest {
        if let Some((first, behind)) = brick(rest, onto) {
            (x, rest) = match chain(first, behind, &x, onto) {
                Some((y, behind)) => (y?, behind),
                None => (first.run(&x)?, behind),
            };
            continue;
        }
        rest = after;
        x = match layer.fusible() {
            Fusible::BatchNorm2d(bn) => {
                let (act, after) = activation(rest);
                rest = after;
                norm_act(bn, act, &x)?
            }
            _ => layer.forward(&x)?,
        };
    }
    Ok(x)
}

/// What is done to the value of the last layer.
type Onto<'a> = Option<(&'a Tensor, Activation)>;

/// The convolution with its batch norm and activation that comes first, if one does, and what comes after it.
fn brick<'a>(layers: &'a Layers, onto: Onto<'a>) -> Option<(Brick<'a>, &'a Layers)> {
    let [(_, conv), (_, bn), rest @ ..] = layers else {
        return None;
    };
    let (Fusible::Conv2d(conv), Fusible::BatchNorm2d(bn)) = (conv.fusible(), bn.fusible()) else {
        return None;
    };
    let (act, rest) = activation(rest);
    let (residual, act) = match onto {
        Some((residual, act)) if rest.is_empty() => (Some(residual), act),
        _ => (None, act),
    };
    let brick = Brick {
        conv,
        bn,
        act,
        residual,
    };
    Some((brick, rest))
}

/// The most convolutions that are faster as a chain.
const CHAIN: usize = 3;

/// The value of as many convolutions as are faster together, and what comes after them.
fn chain<'a>(
    first: Brick<'a>,
    behind: &'a Layers,
    x: &Tensor,
    onto: Onto<'a>,
) -> Option<(Result<Tensor>, &'a Layers)> {
    let (mut bricks, mut behind) = (vec![first], vec![behind]);
    while let Some(&rest) = behind.last()
        && bricks.len() < CHAIN
    {
        let nothing =
            |(_, layer): &&(_, Box<dyn Module>)| matches!(layer.fusible(), Fusible::Nothing);
        let rest = &rest[rest.iter().take_while(nothing).count()..];
        let Some((next, rest)) = brick(rest, onto) else {
            break;
        };
        bricks.push(next);
        behind.push(rest);
    }
    (2..=bricks.len())
        .rev()
        .find_map(|count| Some((chained(&bricks[..count], x)?, behind[count - 1])))
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
