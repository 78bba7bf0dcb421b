//! Places in a block where a plug-in may stand.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use striate_tensor::{Error, Result, Tensor};

use crate::module::Means;
use crate::{Activation, Fusible, Layer, Module, VarBuilder, Visitor};

/// Where in a residual block `y = act(id + F(x))` a plug-in stands.
///
/// The places of the squeeze-and-excitation paper's ablation (Hu et al., section 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// `act(id + plugin(F(x)))`
    Standard,
    /// `act(id + F(plugin(x)))`, as wide as the block's input.
    Pre,
    /// `plugin(act(id + F(x)))`
    Post,
    /// `act(plugin(id) + F(x))`, behind the projection if there is one.
    Identity,
    /// Inside `F`, behind the 3x3 convolution with its norm and activation; as wide as that.
    Conv3x3,
    /// Behind a stage.
    Stage,
}

impl Place {
    /// All of them, with the names that command lines use.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("standard", Self::Standard),
        ("pre", Self::Pre),
        ("post", Self::Post),
        ("identity", Self::Identity),
        ("conv3x3", Self::Conv3x3),
        ("stage", Self::Stage),
    ];
}

/// A place where a module that keeps the shape may stand; empty, it is the identity.
///
/// What stands in it can be put there and taken out while the network lives. Its parts are named
/// as children of the block: `layer3.0.se.fc1.weight`. A clone is the same slot.
#[derive(Clone)]
pub struct Slot(Arc<SlotInner>);

struct SlotInner {
    path: Arc<str>,
    /// What comes before a plug-in's name: a stage's slot stands beside the stage, and its plug-in is named as if it stood inside.
    prefix: String,
    place: Place,
    channels: usize,
    content: RwLock<Option<Arc<Plugged>>>,
}

/// What stands in a slot.
#[derive(Debug)]
struct Plugged {
    name: String,
    module: Box<dyn Module>,
}

impl Slot {
    /// An empty slot of the block at `vb`, for maps of so many channels.
    #[must_use]
    pub fn new(place: Place, channels: usize, vb: &VarBuilder) -> Self {
        Self::named(place, channels, vb, String::new())
    }

    /// The empty slot behind a stage of the network at `vb`, for maps of so many channels.
    #[must_use]
    pub fn behind_stage(stage: &str, channels: usize, vb: &VarBuilder) -> Self {
        Self::named(Place::Stage, channels, &(vb / stage), format!("{stage}."))
    }

    fn named(place: Place, channels: usize, vb: &VarBuilder, prefix: String) -> Self {
        Self(Arc::new(SlotInner {
            path: Arc::clone(vb.path()),
            prefix,
            place,
            channels,
            content: RwLock::new(None),
        }))
    }

    /// The block or stage it belongs to, `layer3.0` or `layer3`.
    #[must_use]
    pub fn path(&self) -> &Arc<str> {
        &self.0.path
    }

    /// Where in the block.
    #[must_use]
    pub fn place(&self) -> Place {
        self.0.place
    }

    /// Channels of the maps that pass.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.0.channels
    }

    /// The name of what stands in it.
    #[must_use]
    pub fn occupant(&self) -> Option<String> {
        self.plugged().map(|p| p.name.clone())
    }

    /// Whether nothing stands in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.read().is_none()
    }

    /// What [`Slot::fill`] takes for the parts of a module to be named `PATH.name.*`.
    #[must_use]
    pub fn part(&self, name: &str) -> String {
        format!("{}{name}", self.0.prefix)
    }

    /// Puts a module in, its parts named `name` as seen from the layer that has the slot.
    ///
    /// # Errors
    /// Something stands there already, or the name is empty.
    pub fn fill(&self, name: impl Into<String>, module: Box<dyn Module>) -> Result<()> {
        let name = name.into();
        if name.is_empty() {
            return Err(Error::msg("a plug-in must have a name").at(&self.0.path));
        }
        let mut content = self
            .0
            .content
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = &*content {
            let text = format!(
                "{:?} already holds {}; take it out first",
                self.0.place, there.name
            );
            return Err(Error::msg(text).at(&self.0.path));
        }
        *content = Some(Arc::new(Plugged { name, module }));
        Ok(())
    }

    /// Takes out what stands in it; whether there was something.
    pub fn clear(&self) -> bool {
        let mut content = self
            .0
            .content
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        content.take().is_some()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Option<Arc<Plugged>>> {
        self.0
            .content
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn plugged(&self) -> Option<Arc<Plugged>> {
        self.read().clone()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Slot");
        out.field("place", &self.0.place)
            .field("channels", &self.0.channels);
        out.field("content", &self.plugged())
            .finish_non_exhaustive()
    }
}

impl Layer for Slot {
    fn visit(&self, v: &mut dyn Visitor) {
        v.slot(self);
        if let Some(plugged) = self.plugged() {
            v.child(&plugged.name, &plugged.module);
        }
    }
}

impl Module for Slot {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self.plugged() {
            Some(plugged) => plugged.module.forward(x),
            None => Ok(x.clone()),
        }
    }

    fn forward_onto(&self, residual: &Tensor, act: Activation, x: &Tensor) -> Result<Tensor> {
        match self.plugged() {
            Some(plugged) => plugged.module.forward_onto(residual, act, x),
            None => act.forward(&residual.add(x)?),
        }
    }

    fn fusible(&self) -> Fusible<'_> {
        if self.is_empty() {
            Fusible::Nothing
        } else {
            Fusible::No
        }
    }

    fn channel_gate(&self, means: &Means<'_>) -> Option<Result<Tensor>> {
        self.plugged()?.module.channel_gate(means)
    }
}
