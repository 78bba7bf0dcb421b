//! The layers that everything else is made of.

mod activation;
mod batch_norm;
mod conv2d;
mod conv_norm_act;
mod conv_transpose2d;
mod dropout;
mod linear;
mod norm;
mod pool;
mod sequential;
mod shape;

pub use activation::Activation;
pub use batch_norm::{BatchNorm1d, BatchNorm2d, BatchNormConfig};
pub use conv_norm_act::{ConvNormAct, ConvNormActConfig, conv_norm_act};
pub use conv_transpose2d::{ConvTranspose2d, ConvTranspose2dConfig};
pub use conv2d::{Conv2d, Conv2dConfig};
pub use dropout::{DropPath, Dropout};
pub use linear::{Linear, LinearConfig};
pub use norm::{GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig};
pub use pool::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, GlobalAvgPool, MaxPool2d};
pub use sequential::Sequential;
pub use shape::{Flatten, Identity};
