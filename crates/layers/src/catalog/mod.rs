//! Every plug-in module, listed once.
//!
//! An [`Entry`] gives a module its name, its constructor from a JSON object (the arguments of a
//! reference case, by the names used in PyTorch), shapes to try it on and worked numbers. The
//! tests go through the list: shapes, gradients, parameter counts, reference cases, state dicts,
//! invalid configurations; `striate parity` and `striate modules` read it too.

mod blocks;
mod channel_attention;
mod deformable;
mod downsampling;
mod dynamic;
mod fusion;
mod geometry;
mod light;
mod long_range;
mod mixed_attention;
mod multi_scale;
mod norms;
mod options;
mod regularization;
mod reparameterized;
mod replay;
mod residual_attention;
mod selective;
mod temporal;

use serde_json::Value;
use striate_tensor::{DType, Error, Result, Tensor};

use crate::{Layer, Module, Summary, VarBuilder, evaluating, nearest};

pub use options::{Argument, Options};
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
    /// What it computes, in a line or a few.
    pub formula: &'static str,
    /// Where it comes from.
    pub paper: &'static str,
    /// Its page in `docs/modules`, which variants share.
    pub page: &'static str,
    /// A configuration and inputs as in the paper's networks, at which costs are told.
    pub typical: Typical,
    /// Small configurations with shapes that fit them.
    pub examples: &'static [Example],
    /// Configurations and their published or worked parameter counts.
    pub counts: &'static [(&'static str, usize)],
    /// Configurations that must be refused.
    pub invalid: &'static [&'static str],
    make: Make,
}

/// A configuration as networks have it, and shapes of its inputs.
#[derive(Clone, Copy, Debug)]
pub struct Typical {
    /// A JSON object with the constructor's arguments.
    pub config: &'static str,
    /// Shapes of the inputs.
    pub inputs: &'static [&'static [usize]],
}

/// A small configuration to test, and shapes that fit it.
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

    /// Whether that input is regions of interest of the first, `[R, 5]` of `(image, x1, y1, x2, y2)`: they get
    /// no gradient.
    #[must_use]
    pub fn is_regions(&self, input: usize) -> bool {
        input == 1 && matches!(self.inputs, [[_, _, _, _], [_, 5], ..])
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

    /// What the typical configuration costs, in evaluation; shapes are those of the first input and
    /// output.
    ///
    /// # Errors
    /// Memory is out.
    pub fn summary(&self) -> Result<Summary> {
        let module = self.build_str(self.typical.config, &VarBuilder::seeded(0))?;
        let shapes = self.typical.inputs;
        let inputs = shapes
            .iter()
            .map(|&shape| Tensor::zeros(shape, DType::F32)?.requires_grad(true))
            .collect::<Result<Vec<_>>>()?;
        let outputs = evaluating(&module, || module.run(&inputs))?;
        Ok(Summary::of(
            &module,
            shapes.first().copied().unwrap_or_default(),
            &outputs,
        ))
    }

    /// The arguments that the typical configuration has or could have, with their defaults.
    ///
    /// # Errors
    /// As [`Entry::build`].
    pub fn arguments(&self) -> Result<Vec<Argument>> {
        let config = serde_json::from_str(self.typical.config);
        let config: Value =
            config.map_err(|e| Error::msg(format!("{}: config: {e}", self.name)))?;
        let options = Options::new(self.name, &config)?;
        (self.make)(&options, &VarBuilder::seeded(0))?;
        Ok(options.arguments())
    }
}

/// Modules of one kind; a folder of this crate has them.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Name of the folder.
    pub name: &'static str,
    /// What they have in common.
    pub description: &'static str,
    /// The modules.
    pub entries: &'static [Entry],
}

const FAMILIES: &[Family] = &[
    Family {
        name: "channel_attention",
        description: "weigh channels",
        entries: channel_attention::ENTRIES,
    },
    Family {
        name: "mixed_attention",
        description: "weigh channels and places",
        entries: mixed_attention::ENTRIES,
    },
    Family {
        name: "selective",
        description: "choose between branches",
        entries: selective::ENTRIES,
    },
    Family {
        name: "long_range",
        description: "relate every place to every other",
        entries: long_range::ENTRIES,
    },
    Family {
        name: "dynamic",
        description: "convolve with weights that depend on the input",
        entries: dynamic::ENTRIES,
    },
    Family {
        name: "reparameterized",
        description: "train as several convolutions and fold into one",
        entries: reparameterized::ENTRIES,
    },
    Family {
        name: "light",
        description: "convolve with less arithmetic",
        entries: light::ENTRIES,
    },
    Family {
        name: "blocks",
        description: "build well-known networks",
        entries: blocks::ENTRIES,
    },
    Family {
        name: "norms",
        description: "normalise",
        entries: norms::ENTRIES,
    },
    Family {
        name: "regularization",
        description: "drop parts of a map in training",
        entries: regularization::ENTRIES,
    },
    Family {
        name: "multi_scale",
        description: "see at several scales at once",
        entries: multi_scale::ENTRIES,
    },
    Family {
        name: "fusion",
        description: "join maps of several sizes",
        entries: fusion::ENTRIES,
    },
    Family {
        name: "residual_attention",
        description: "attend by a branch with an hourglass",
        entries: residual_attention::ENTRIES,
    },
    Family {
        name: "downsampling",
        description: "down-sample without aliases",
        entries: downsampling::ENTRIES,
    },
    Family {
        name: "geometry",
        description: "know or move positions",
        entries: geometry::ENTRIES,
    },
    Family {
        name: "deformable",
        description: "sample at learned offsets",
        entries: deformable::ENTRIES,
    },
    Family {
        name: "temporal",
        description: "run over sequences",
        entries: temporal::ENTRIES,
    },
];

/// The families of modules.
#[must_use]
pub fn families() -> &'static [Family] {
    FAMILIES
}

/// Every module there is, family by family.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    families().iter().flat_map(|f| f.entries)
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
