//! The residual block with its slots.

use std::sync::Arc;

use striate_layers::{Activation, Layer, Module, Place, Sequential, Slot, VarBuilder, Visitor};
use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

/// `act(shortcut(x) + branch(x))`, with slots at the places of the squeeze-and-excitation ablation.
///
/// The parts of the branch are named as children of the block; the shortcut is `downsample`.
#[derive(Debug)]
pub(crate) struct Residual {
    path: Arc<str>,
    branch: Sequential,
    downsample: Option<Sequential>,
    act: Activation,
    pre: Slot,
    standard: Slot,
    identity: Slot,
    post: Slot,
}

impl Residual {
    /// A block from so many channels to so many; no `downsample` is the identity.
    pub(crate) fn new(
        [in_channels, out_channels]: [usize; 2],
        branch: Sequential,
        downsample: Option<Sequential>,
        vb: &VarBuilder,
    ) -> Self {
        let slot = |place, channels| Slot::new(place, channels, vb);
        Self {
            path: Arc::clone(vb.path()),
            branch,
            downsample,
            act: Activation::Relu,
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

impl Layer for Residual {
    fn visit(&self, v: &mut dyn Visitor) {
        self.pre.visit(v);
        self.branch.visit(v);
        self.standard.visit(v);
        if let Some(downsample) = &self.downsample {
            v.child("downsample", downsample);
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
            let shortcut = match &self.downsample {
                Some(projection) => projection.forward(x)?,
                None => x.clone(),
            };
            let shortcut = self.identity.forward(&shortcut)?;
            let x = self.pre.forward(x)?;
            let y = if self.standard.is_empty() {
                self.branch.forward_onto(&shortcut, self.act, &x)?
            } else {
                self.branch
                    .attend_onto(&self.standard, &shortcut, self.act, &x)?
            };
            self.post.forward(&y)
        })
    }
}
