//! What most programs need: `use striate::prelude::*;`.
//!
//! [`Result`](crate::Result) and [`Error`](crate::Error) are not part of it, so that the standard library's names stay.

pub use striate_layers::{
    Activation, AdaptiveAvgPool2d, AvgPool2d, BatchNormConfig, CbamConfig, Conv2dConfig,
    ConvNormActConfig, ConvTranspose2dConfig, Dropout, GlobalAvgPool, Layer, LinearConfig, Loading,
    MaxPool2d, Module, Parameter, Sequential, SkConvConfig, SqueezeExciteConfig, StateDict,
    VarBuilder, Visitor, load_state_dict, parameter_count, set_trainable, set_training, state_dict,
};
pub use striate_models::{Attention, ResNetSmallConfig};
pub use striate_tensor::{
    Conv2dOptions, ConvTranspose2dOptions, DType, Function, Gradients, Philox, PoolOptions, Tensor,
    no_grad,
};
pub use striate_train::loss::cross_entropy;
pub use striate_train::optim::{AdamWConfig, Optimizer, OptimizerConfig, SgdConfig};
