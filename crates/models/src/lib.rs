//! Backbones with typed slots for plug-ins.
//!
//! ```
//! use striate_layers::{Module, VarBuilder, evaluating};
//! use striate_models::{Attention, CbamSlot, ResNetSmallConfig};
//! use striate_tensor::{DType, Result, Tensor};
//!
//! # fn main() -> Result<()> {
//! let config = ResNetSmallConfig::new(3, 10).attention(Attention::Cbam(CbamSlot::new(8)));
//! let net = config.build(&VarBuilder::seeded(0))?;
//! let images = Tensor::zeros([1, 3, 32, 32], DType::F32)?;
//! let logits = evaluating(&net, || net.forward(&images))?;
//! assert_eq!(logits.shape(), [1, 10]);
//! # Ok(())
//! # }
//! ```
//!
//! The registry ([`list`], [`build`]) has the networks by name.
#![forbid(unsafe_code)]

mod attention;
pub mod attention_net;
mod basic_block;
pub mod detection;
mod graft;
pub mod inception;
mod inference;
pub mod mobile;
mod network;
mod plugin;
mod registry;
mod residual;
pub mod resnet;
mod resnet_small;
pub mod segmentation;
mod sknet_cifar;
pub mod vgg;

pub use attention::{Attention, CbamSlot, SeSlot, SkSlot};
pub use attention_net::{AttentionNetConfig, AttentionStage, AttentionStem};
pub use detection::{PyramidNet, PyramidNetConfig, RfbNet, RfbNetConfig, RfbNetSize};
pub use graft::{Grafted, graft, prune, slots};
pub use inception::{
    BnInceptionNetConfig, GoogLeNetConfig, InceptionResNetV2Config, InceptionV3NetConfig,
};
pub use inference::Inference;
pub use mobile::{
    EfficientNetConfig, EfficientNetPadding, GhostNetConfig, MobileNetV1Config, MobileNetV2Config,
    MobileNetV3Config,
};
pub use network::{Network, NetworkBuilder};
pub use plugin::{ConvPlugin, Plugin};
pub use registry::{DEFAULT, ModelInfo, Normalization, Options, Task, build, find, list};
pub use resnet::{
    AntiAlias, Block, Convs, Dialect, Plugged, ResNetConfig, Shortcut, Stages, Stem, StemPool,
};
pub use resnet_small::{ResNetSmall, ResNetSmallConfig};
pub use segmentation::{
    DeepLabV3, DeepLabV3Config, DeepLabV3Plus, DeepLabV3PlusConfig, OutputStride,
};
pub use sknet_cifar::{SkNetCifar, SkNetCifarConfig};
pub use vgg::VggConfig;
