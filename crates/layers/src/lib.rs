//! Layers and every plug-in module of the CNN literature.
//!
//! A [`Layer`] names its parameters, buffers and children; a [`Module`] maps a tensor to a tensor.
//! Configs are plain data with PyTorch's defaults, and names in a state dict are those of the
//! implementation that people have weights from.
//!
//! ```
//! use striate_layers::{Conv2dConfig, Module, SqueezeExciteConfig, VarBuilder, state_dict};
//! use striate_tensor::{DType, Result, Tensor};
//!
//! # fn main() -> Result<()> {
//! let vb = VarBuilder::seeded(0);
//! let conv = Conv2dConfig::new(3, 32, 3).padding(1).build(&(&vb / "conv"))?;
//! let attention = SqueezeExciteConfig::new(32).reduction(8).build(&(&vb / "se"))?;
//!
//! let images = Tensor::zeros([2, 3, 16, 16], DType::F32)?;
//! let y = attention.forward(&conv.forward(&images)?)?;
//! assert_eq!(y.shape(), [2, 32, 16, 16]);
//! let names: Vec<_> = state_dict(&attention).names().map(str::to_owned).collect();
//! assert_eq!(names, ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]);
//! # Ok(())
//! # }
//! ```
//!
//! # Where things are
//!
//! - [`basic`]: convolution, linear, norms, pooling, activations, dropout.
//! - [`channel_attention`], [`selective`], [`mixed_attention`]: the plug-ins, a file each.
//! - [`catalog`]: all of them by name, with worked numbers; its tests are theirs.
//! - [`weights`], [`safetensors`], [`KeyMap`]: weights in files, and under other names.
//! - [`probe`], [`GateStatistics`]: what attention decides. [`summary`]: what a network costs.
//!
//! A new module starts in training mode, as in PyTorch: see [`set_training`] and [`evaluating`].
//!
//! # Adding a module
//!
//! Write a file with a config, its `build`, and `forward` inside a
//! [`scope`](striate_tensor::autograd::scope) of its path, which puts the path into errors and summaries.
//! Then add a line to its family in `catalog`: that gives it tests of shapes, gradients, parameter
//! counts, state dicts, thread counts and invalid configurations, and runs its reference cases.
#![forbid(unsafe_code)]

pub mod basic;
pub mod blocks;
pub mod catalog;
pub mod channel_attention;
mod checkpointed;
pub mod deformable;
pub mod downsampling;
pub mod dynamic;
pub mod fusion;
mod gate_statistics;
pub mod geometry;
mod init;
pub mod key_map;
pub mod light;
pub mod long_range;
pub mod mixed_attention;
pub mod module;
pub mod multi_scale;
mod nearest;
pub mod norms;
mod param;
mod pattern;
pub mod probe;
pub mod regularization;
pub mod reparameterized;
pub mod residual_attention;
pub mod safetensors;
pub mod selective;
mod slot;
mod state_dict;
mod summary;
pub mod temporal;
pub mod util;
mod var_builder;
pub mod weights;

pub use basic::*;
pub use blocks::*;
pub use channel_attention::*;
pub use checkpointed::{Checkpointed, Recompute, set_checkpointing};
pub use deformable::*;
pub use downsampling::*;
pub use dynamic::*;
pub use fusion::*;
pub use gate_statistics::{GateStatistics, Gates, paper_name};
pub use geometry::*;
pub use init::Init;
pub use key_map::KeyMap;
pub use light::*;
pub use long_range::*;
pub use mixed_attention::*;
pub use module::{
    Fusible, Layer, Module, Visitor, evaluating, freeze, named_buffers, named_parameters,
    parameter_count, set_trainable, set_training, to_dtype,
};
pub use multi_scale::*;
pub use nearest::nearest;
pub use norms::*;
pub use param::{Buffer, Mode, Parameter};
pub use pattern::{path_is_below, path_matches};
pub use regularization::*;
pub use reparameterized::*;
pub use residual_attention::*;
pub use selective::*;
pub use slot::{Place, Slot};
pub use state_dict::{
    LoadReport, Loading, MisShaped, StateDict, Unmatched, load_state_dict, state_dict,
};
pub use striate_tensor::{Pair, Triple};
pub use summary::{LayerSummary, Summary, summary};
pub use temporal::*;
pub use util::{Rounding, make_divisible, reduced_channels};
pub use var_builder::VarBuilder;
