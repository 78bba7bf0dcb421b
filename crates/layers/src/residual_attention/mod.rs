//! Attention by a branch with an hourglass, and the blocks it is made of.

mod attention_module;
mod preact_bottleneck;
mod unit;

pub use attention_module::{
    AttentionLearning, AttentionMask, AttentionModule, AttentionModuleConfig, AttentionPool,
    AttentionSkips, attention_module_key_maps,
};
pub use preact_bottleneck::{PreActBottleneck, PreActBottleneckConfig};
pub use unit::AttentionUnit;
