//! Backbones with typed slots for plug-ins.
//!
//! A network is a config with PyTorch's names: [`ResNetSmallConfig`], [`SkNetCifarConfig`]. The
//! registry ([`list`], [`build`]) has them by name.
#![forbid(unsafe_code)]

mod attention;
mod basic_block;
mod registry;
mod resnet_small;
mod sknet_cifar;

pub use attention::{Attention, CbamSlot, SeSlot, SkSlot};
pub use registry::{DEFAULT, ModelInfo, Options, build, find, list};
pub use resnet_small::{ResNetSmall, ResNetSmallConfig};
pub use sknet_cifar::{SkNetCifar, SkNetCifarConfig};
