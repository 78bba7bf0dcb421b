//! Networks for small machines: depthwise convolutions between pointwise ones.

mod block;
mod cond_block;
mod efficientnet;
mod ghostnet;
mod v1;
mod v2;
mod v3;

pub use efficientnet::{EfficientNetConfig, EfficientNetPadding};
pub use ghostnet::GhostNetConfig;
pub use v1::MobileNetV1Config;
pub use v2::MobileNetV2Config;
pub use v3::MobileNetV3Config;
