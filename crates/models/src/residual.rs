//! The residual block with its slots.

use std::sync::Arc;

use striate_layers::{Activation, Layer, Module, Place, Sequential, Slot, VarBuilder, Visitor};
use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::Plugin;

/// What is added to the branch.
#[derive(Debug)]
pub(crate) enum Skip {
    /// Nothing.
    None,
    /// The input.
    Identity,
    /// A projection of it under this name.
    Projection(&'static str, Sequential),
}

impl Skip {
    /// The projection, if there is one, or the input.
    pub(crate) fn projected(name: &'static str, projection: Option<Sequential>) -> Self {
        projection.map_or(Self::Identity, |p| Self::Projection(name, p))
    }
}

/// `act(skip(x) + branch(x))`, with slots at the places of the squeeze-and-excitation ablation.
///
/// The parts of the branch are named as children of the block.
#[derive(Debug)]
pub(crate) struct Residual {
    path: Arc<str>,
    branch: Sequential,
    skip: Skip,
    act: Activation,
    pre: Slot,
    standard: Slot,
    identity: Slot,
    post: Slot,
}

impl Residual {
    /// A block from so many channels to so many.
    pub(crate) fn new(
        [in_channels, out_channels]: [usize; 2],
        branch: Sequential,
        skip: Skip,
        act: Activation,
        vb: &VarBuilder,
    ) -> Self {
        let slot = |place, channels| Slot::new(place, channels, vb);
        Self {
            path: Arc::clone(vb.path()),
            branch,
            skip,
            act,
            pre: slot(Place::Pre, in_channels),
            standard: slot(Place::Standard, out_channels),
            identity: slot(Place::Identity, out_channels),
            post: slot(Place::Post, out_channels),
        }
    }

    /// The slot at that place, unless it is inside the branch or behind the stage.
    pub(crate) fn slot(&self, place: Place) -> Option<&Slot> {
        let slots = [&self.pre, &self.standard, &self.identity, &self.post];
        slots.into_iter().find(|slot| slot.place() == place)
    }
}

/// Puts a plug-in into a slot of the block at `vb`.
pub(crate) fn fill(slot: &Slot, plugin: &Plugin, vb: &VarBuilder) -> Result<()> {
    slot.fill(plugin.name(), plugin.build(slot.channels(), vb)?)
}

impl Layer for Residual {
    fn visit(&self, v: &mut dyn Visitor) {
        self.pre.visit(v);
        self.branch.visit(v);
        self.standard.visit(v);
        if let Skip::Projection(name, projection) = &self.skip {
            v.child(name, projection);
        }
        self.identity.visit(v);
        self.post.visit(v);
    }
}

impl Module for Residual {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, H', W']`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let skipped = match &self.skip {
                Skip::None => None,
                Skip::Identity => Some(x.clone()),
                Skip::Projection(_, projection) => Some(projection.forward(x)?),
            };
            let x = self.pre.forward(x)?;
            let y = match skipped {
                None => {
                    let y = self.standard.forward(&self.branch.forward(&x)?)?;
                    self.act.forward(&y)?
                }
                Some(skipped) => {
                    let skipped = self.identity.forward(&skipped)?;
                    if self.standard.is_empty() {
                        self.branch.forward_onto(&skipped, self.act, &x)?
                    } else {
                        self.branch
                            .attend_onto(&self.standard, &skipped, self.act, &x)?
                    }
                }
            };
            self.post.forward(&y)
        })
    }
}
