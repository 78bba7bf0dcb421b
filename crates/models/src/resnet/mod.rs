//! Residual networks: ResNet, ResNeXt, SENet, SKNet, ResNeSt and their kin.
//!
//! Papers: He, Zhang, Ren, Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016,
//! arXiv:1512.03385; Xie et al., *Aggregated Residual Transformations*, CVPR 2017, arXiv:1611.05431;
//! He et al., *Bag of Tricks*, CVPR 2019, arXiv:1812.01187 (the deep stem and the pooled shortcut).

mod block;
mod config;
mod presets;
mod stem;

pub use config::{AntiAlias, Block, Convs, Dialect, Plugged, ResNetConfig, Shortcut, Stages};
pub use stem::{Stem, StemPool};
