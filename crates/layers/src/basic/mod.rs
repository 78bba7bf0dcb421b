//! The layers that everything else is made of.

mod activation;
mod batch_norm;
mod conv1d;
mod conv2d;
mod conv3d;
mod conv_norm_act;
mod conv_transpose2d;
mod dropout;
mod linear;
mod norm;
mod norm_affine;
mod parallel;
mod perceptron;
mod pool;
mod pool_nd;
mod prelu;
mod sequential;
mod shape;

pub use activation::Activation;
pub use batch_norm::{BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormConfig};
pub use conv_norm_act::{
    ConvNormAct, ConvNormActConfig, conv_norm_act, conv_norm_attend_onto, norm_act,
};
pub use conv_transpose2d::{ConvTranspose2d, ConvTranspose2dConfig};
pub use conv1d::{Conv1d, Conv1dConfig};
pub use conv2d::{Conv2d, Conv2dConfig};
pub use conv3d::{Conv3d, Conv3dConfig};
pub use dropout::{DropPath, Dropout};
pub use linear::{Linear, LinearConfig};
pub use norm::{GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig};
pub use parallel::Parallel;
pub(crate) use perceptron::Perceptron;
pub use pool::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, GlobalAvgPool, MaxPool2d};
pub use pool_nd::{
    AdaptiveAvgPool1d, AdaptiveAvgPool3d, AvgPool1d, AvgPool3d, MaxPool1d, MaxPool3d,
};
pub use prelu::{PRelu, PReluConfig};
pub use sequential::Sequential;
pub use shape::{Flatten, Identity, channel_shuffle};
