//! Layers and every plug-in module of the CNN literature.
//!
//! A layer names its parts ([`Layer`]), a module maps a tensor to a tensor ([`Module`]). Configs
//! are plain data with PyTorch's defaults; `build` takes a [`VarBuilder`], which is a path and
//! a source of tensors: a seed or a state dict.
#![forbid(unsafe_code)]

pub mod basic;
pub mod catalog;
pub mod channel_attention;
mod gate_statistics;
mod init;
pub mod key_map;
pub mod mixed_attention;
pub mod module;
mod nearest;
mod param;
pub mod probe;
pub mod safetensors;
pub mod selective;
mod state_dict;
mod summary;
pub mod util;
mod var_builder;

pub use basic::*;
pub use channel_attention::*;
pub use gate_statistics::{GateStatistics, Gates, paper_name};
pub use init::Init;
pub use key_map::KeyMap;
pub use mixed_attention::*;
pub use module::{
    Layer, Module, Visitor, evaluating, named_buffers, named_parameters, parameter_count,
    set_trainable, set_training, to_dtype,
};
pub use nearest::nearest;
pub use param::{Buffer, Mode, Parameter};
pub use selective::*;
pub use state_dict::{
    LoadReport, Loading, MisShaped, StateDict, Unmatched, load_state_dict, state_dict,
};
pub use striate_tensor::Pair;
pub use summary::{LayerSummary, Summary, summary};
pub use util::{Rounding, make_divisible, reduced_channels};
pub use var_builder::VarBuilder;
