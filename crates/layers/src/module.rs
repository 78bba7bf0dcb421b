//! What a layer is: something that names its parts, and maps a tensor to a tensor.

use std::fmt::Debug;
use std::sync::Arc;

use striate_tensor::{DType, Result, Tensor};

use crate::{
    Activation, BatchNorm2d, Buffer, Conv2d, Mode, Parameter, Recompute, Slot, path_is_below,
};

/// Gives the means of a map's channels, `[N, C, 1, 1]`.
pub type Means<'a> = dyn Fn() -> Result<Tensor> + 'a;

/// Something with named parameters, buffers, modes and child layers.
pub trait Layer: Send + Sync + Debug {
    /// Shows every part to `v`, own tensors first, then the children.
    fn visit(&self, v: &mut dyn Visitor);
}

/// A layer with one input and one output.
pub trait Module: Layer {
    /// Applies the layer.
    ///
    /// # Errors
    /// The input does not fit; the text names the layer's path, the shapes and the rule.
    fn forward(&self, x: &Tensor) -> Result<Tensor>;

    /// The same of a tensor that nobody else needs: a chain of layers frees its memory when the first of them has read it.
    ///
    /// # Errors
    /// Those of [`Module::forward`].
    fn forward_owned(&self, x: Tensor) -> Result<Tensor> {
        self.forward(&x)
    }

    /// The end of a residual block: `act(forward(x) + residual)`, in fewer passes where the layer can.
    ///
    /// # Errors
    /// Those of [`Module::forward`], or the residual does not fit.
    fn forward_onto(&self, residual: &Tensor, act: Activation, x: &Tensor) -> Result<Tensor> {
        act.forward(&residual.add(&self.forward(x)?)?)
    }

    /// If all it does is to multiply every channel by a number that depends on the channels' means alone: that
    /// number, `[N, C, 1, 1]`. A convolution before it can then do the work.
    ///
    /// # Errors
    /// As [`Module::forward`].
    fn channel_gate(&self, means: &Means<'_>) -> Option<Result<Tensor>> {
        let _ = means;
        None
    }

    /// What it is to a [`Sequential`](crate::Sequential), which runs some neighbours in one pass.
    fn fusible(&self) -> Fusible<'_> {
        Fusible::No
    }
}

/// A layer that may run in one pass with its neighbours: see [`conv_norm_act`](crate::conv_norm_act).
#[derive(Clone, Copy, Debug)]
pub enum Fusible<'a> {
    /// A convolution.
    Conv2d(&'a Conv2d),
    /// The batch norm behind it.
    BatchNorm2d(&'a BatchNorm2d),
    /// The activation behind that.
    Activation(Activation),
    /// What changes nothing, such as an empty slot.
    Nothing,
    /// Anything else.
    No,
}

/// Receives the parts of a [`Layer`].
pub trait Visitor {
    /// A child layer; the visitor decides whether to go into it.
    fn child(&mut self, name: &str, layer: &dyn Layer);
    /// A learned tensor.
    fn parameter(&mut self, name: &str, parameter: &Parameter);
    /// A tracked tensor.
    fn buffer(&mut self, name: &str, buffer: &Buffer);
    /// A training switch.
    fn mode(&mut self, mode: &Mode);
    /// A place for a plug-in; what stands in it follows as a child.
    fn slot(&mut self, slot: &Slot);
    /// A switch of what is computed again; what it is about follows.
    fn recompute(&mut self, switch: &Recompute);
}

impl<L: Layer + ?Sized> Layer for Box<L> {
    fn visit(&self, v: &mut dyn Visitor) {
        (**self).visit(v);
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        (**self).forward(x)
    }

    fn forward_owned(&self, x: Tensor) -> Result<Tensor> {
        (**self).forward_owned(x)
    }

    fn forward_onto(&self, residual: &Tensor, act: Activation, x: &Tensor) -> Result<Tensor> {
        (**self).forward_onto(residual, act, x)
    }

    fn channel_gate(&self, means: &Means<'_>) -> Option<Result<Tensor>> {
        (**self).channel_gate(means)
    }

    fn fusible(&self) -> Fusible<'_> {
        (**self).fusible()
    }
}

impl<L: Layer + ?Sized> Layer for Arc<L> {
    fn visit(&self, v: &mut dyn Visitor) {
        (**self).visit(v);
    }
}

impl<M: Module + ?Sized> Module for Arc<M> {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        (**self).forward(x)
    }

    fn forward_owned(&self, x: Tensor) -> Result<Tensor> {
        (**self).forward_owned(x)
    }

    fn forward_onto(&self, residual: &Tensor, act: Activation, x: &Tensor) -> Result<Tensor> {
        (**self).forward_onto(residual, act, x)
    }

    fn channel_gate(&self, means: &Means<'_>) -> Option<Result<Tensor>> {
        (**self).channel_gate(means)
    }

    fn fusible(&self) -> Fusible<'_> {
        (**self).fusible()
    }
}

/// An absent child has no parts.
impl<L: Layer> Layer for Option<L> {
    fn visit(&self, v: &mut dyn Visitor) {
        if let Some(layer) = self {
            layer.visit(v);
        }
    }
}

/// A part of a layer, as [`walk`] shows it.
#[derive(Debug)]
pub enum Part<'a> {
    /// A learned tensor.
    Parameter(&'a Parameter),
    /// A tracked tensor.
    Buffer(&'a Buffer),
    /// A training switch; its name is the path of the layer it belongs to.
    Mode(&'a Mode),
    /// A place for a plug-in; its name is the path of the block it belongs to.
    Slot(&'a Slot),
    /// A switch of what is computed again; its name is the path of the layer that it is about.
    Recompute(&'a Recompute),
}

/// Calls `f` with the full name of every part below `layer`, in the order of a state dict.
pub fn walk(layer: &dyn Layer, f: &mut dyn FnMut(&str, Part<'_>)) {
    let mut walker = Walker {
        path: String::new(),
        f,
    };
    layer.visit(&mut walker);
}

struct Walker<'f> {
    path: String,
    f: &'f mut dyn FnMut(&str, Part<'_>),
}

impl Walker<'_> {
    fn within(&mut self, name: &str, f: impl FnOnce(&mut Self)) {
        let outer = self.path.len();
        if !self.path.is_empty() && !name.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
        f(self);
        self.path.truncate(outer);
    }
}

impl Visitor for Walker<'_> {
    fn child(&mut self, name: &str, layer: &dyn Layer) {
        self.within(name, |w| layer.visit(w));
    }

    fn parameter(&mut self, name: &str, parameter: &Parameter) {
        self.within(name, |w| (w.f)(&w.path, Part::Parameter(parameter)));
    }

    fn buffer(&mut self, name: &str, buffer: &Buffer) {
        self.within(name, |w| (w.f)(&w.path, Part::Buffer(buffer)));
    }

    fn mode(&mut self, mode: &Mode) {
        (self.f)(&self.path, Part::Mode(mode));
    }

    fn slot(&mut self, slot: &Slot) {
        (self.f)(&self.path, Part::Slot(slot));
    }

    fn recompute(&mut self, switch: &Recompute) {
        (self.f)(&self.path, Part::Recompute(switch));
    }
}

/// Every parameter below `layer` with its full name. One that is used twice has two names.
#[must_use]
pub fn named_parameters(layer: &dyn Layer) -> Vec<(String, Parameter)> {
    let mut found = Vec::new();
    walk(layer, &mut |name, part| {
        if let Part::Parameter(p) = part {
            found.push((name.to_owned(), p.clone()));
        }
    });
    found
}

/// Every buffer below `layer` with its full name.
#[must_use]
pub fn named_buffers(layer: &dyn Layer) -> Vec<(String, Buffer)> {
    let mut found = Vec::new();
    walk(layer, &mut |name, part| {
        if let Part::Buffer(b) = part {
            found.push((name.to_owned(), b.clone()));
        }
    });
    found
}

/// Number of learned elements; a parameter that is used twice counts once.
#[must_use]
pub fn parameter_count(layer: &dyn Layer) -> usize {
    let mut seen: Vec<Parameter> = Vec::new();
    for (_, p) in named_parameters(layer) {
        if !seen.iter().any(|s| s.same(&p)) {
            seen.push(p);
        }
    }
    seen.iter().map(Parameter::numel).sum()
}

/// Puts every layer below (and `layer` itself) in training or evaluation mode.
pub fn set_training(layer: &dyn Layer, training: bool) {
    walk(layer, &mut |_, part| {
        if let Part::Mode(mode) = part {
            mode.set(training);
        }
    });
}

/// Runs `f` with `layer` in evaluation mode; then every layer is in the mode it was in.
pub fn evaluating<R>(layer: &dyn Layer, f: impl FnOnce() -> R) -> R {
    let _restore = Restore {
        modes: modes(layer),
        layer,
    };
    set_training(layer, false);
    f()
}

/// Puts modes back, also when the closure panics.
struct Restore<'a> {
    layer: &'a dyn Layer,
    modes: Vec<bool>,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        let mut modes = self.modes.iter();
        walk(self.layer, &mut |_, part| {
            if let Part::Mode(mode) = part
                && let Some(&training) = modes.next()
            {
                mode.set(training);
            }
        });
    }
}

fn modes(layer: &dyn Layer) -> Vec<bool> {
    let mut modes = Vec::new();
    walk(layer, &mut |_, part| {
        if let Part::Mode(mode) = part {
            modes.push(mode.training());
        }
    });
    modes
}

/// Freezes or unfreezes every parameter below `layer`.
pub fn set_trainable(layer: &dyn Layer, on: bool) {
    walk(layer, &mut |_, part| {
        if let Part::Parameter(p) = part {
            p.set_trainable(on);
        }
    });
}

/// Freezes every parameter that [lies below](crate::path_is_below) `pattern`, and puts the layers that do in evaluation mode, so that
/// batch norms there leave their statistics alone; how many parameters.
///
/// What comes before the first trained parameter of a network then records nothing.
pub fn freeze(layer: &dyn Layer, pattern: &str) -> usize {
    let mut count = 0;
    walk(layer, &mut |path, part| match part {
        Part::Parameter(p) if path_is_below(pattern, path) => {
            p.set_trainable(false);
            count += 1;
        }
        Part::Mode(mode) if path_is_below(pattern, path) => mode.set(false),
        _ => {}
    });
    count
}

/// Converts every floating point parameter and buffer; f64 computes with the reference kernels.
///
/// # Errors
/// A copy cannot be allocated.
pub fn to_dtype(layer: &dyn Layer, dtype: DType) -> Result<()> {
    let mut result = Ok(());
    walk(layer, &mut |_, part| {
        let converted = match part {
            Part::Parameter(p) => p.to_dtype(dtype),
            Part::Buffer(b) => b.to_dtype(dtype),
            Part::Mode(_) | Part::Slot(_) | Part::Recompute(_) => Ok(()),
        };
        if result.is_ok() {
            result = converted;
        }
    });
    result
}
