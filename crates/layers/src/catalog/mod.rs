//! Every plug-in module, listed once.
//!
//! An [`Entry`] gives a module its name, its constructor from a JSON object (the arguments of a
//! reference case, by the names used in PyTorch), shapes to try it on and worked numbers. The
//! tests go through the list: shapes, gradients, parameter counts, reference cases, state dicts,
//! invalid configurations; `striate parity` and `striate modules` read it too.

mod channel_attention;
mod mixed_attention;
mod options;
mod replay;
mod selective;

use serde_json::Value;
use striate_tensor::{Error, Result, Tensor};

use crate::{Layer, Module, VarBuilder, nearest};

pub use options::Options;
pub use replay::{Replay, Replayed};

/// A module that the catalogue has built: any number of inputs and outputs.
pub trait Catalogued: Layer {
    /// Applies the module to its inputs in order.
    ///
    /// # Errors
    /// Their number or a shape does not fit.
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>>;
}

impl<M: Module> Catalogued for M {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        match inputs {
            [x] => Ok(vec![self.forward(x)?]),
            _ => Err(Error::msg(format!(
                "the module takes 1 input, got {}",
                inputs.len()
            ))),
        }
    }
}

/// Builds a module from the options of a configuration.
type Make = fn(&Options<'_>, &VarBuilder) -> Result<Box<dyn Catalogued>>;

/// A module in the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name, also that of its reference cases.
    pub name: &'static str,
    /// What it does, in one line.
    pub description: &'static str,
    /// Where it comes from.
    pub paper: &'static str,
    /// Small configurations with shapes that fit them.
    pub examples: &'static [Example],
    /// Configurations and their published or worked parameter counts.
    pub counts: &'static [(&'static str, usize)],
    /// Configurations that must be refused.
    pub invalid: &'static [&'static str],
    make: Make,
}

/// A configuration and shapes that fit it.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// A JSON object with the constructor's arguments; those left out have their defaults.
    pub config: &'static str,
    /// Shapes of the inputs.
    pub inputs: &'static [&'static [usize]],
    /// Shapes of the outputs.
    pub outputs: &'static [&'static [usize]],
    /// Whether it is tried in training mode; otherwise in evaluation mode.
    pub training: bool,
}

impl Example {
    /// One input and one output, in training.
    const fn new(
        config: &'static str,
        input: &'static [&'static [usize]],
        output: &'static [&'static [usize]],
    ) -> Self {
        Self {
            config,
            inputs: input,
            outputs: output,
            training: true,
        }
    }

    /// In evaluation, for one value a channel.
    const fn eval(mut self) -> Self {
        self.training = false;
        self
    }
}

impl Entry {
    /// Builds the module from a JSON object with its arguments.
    ///
    /// # Errors
    /// An argument is unknown, has the wrong type or is missing, or the module refuses it.
    pub fn build(&self, config: &Value, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
        let options = Options::new(self.name, config)?;
        let module = (self.make)(&options, vb)?;
        options.finish()?;
        Ok(module)
    }

    /// [`Entry::build`] from the text of the JSON object.
    ///
    /// # Errors
    /// It is no JSON, or as [`Entry::build`].
    pub fn build_str(&self, config: &str, vb: &VarBuilder) -> Result<Box<dyn Catalogued>> {
        let config = serde_json::from_str(config);
        let config = config.map_err(|e| Error::msg(format!("{}: config: {e}", self.name)))?;
        self.build(&config, vb)
    }
}

const FAMILIES: [&[Entry]; 3] = [
    channel_attention::ENTRIES,
    selective::ENTRIES,
    mixed_attention::ENTRIES,
];

/// Every module there is, family by family.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    FAMILIES.into_iter().flatten()
}

/// The module of that name.
///
/// # Errors
/// There is none; the text names the nearest.
pub fn find(name: &str) -> Result<&'static Entry> {
    entries().find(|e| e.name == name).ok_or_else(|| {
        let near = nearest(name, entries().map(|e| e.name));
        let near = near.map_or(String::new(), |n| format!("; nearest: {n}"));
        Error::msg(format!("no module is called {name:?}{near}"))
    })
}
