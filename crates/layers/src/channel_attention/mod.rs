//! Modules that weigh channels.

mod se;
mod se_block;

pub use se::{
    Gate, NoSqueezeExcite, Squeeze, SqueezeExcite, SqueezeExciteConfig, se_extra_params,
    se_key_maps,
};
pub(crate) use se_block::projection;
pub use se_block::{SeBottleneck, SeBottleneckConfig, SePosition};
