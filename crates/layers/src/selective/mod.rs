//! Modules that choose between branches or kernels.

mod select;
mod sk;
mod sk_unit;
mod split_attention;

pub use select::{fuse, select};
pub use sk::{Kernels, SkConv, SkConvConfig, SkInit, sk_key_maps};
pub use sk_unit::{SkUnit, SkUnitConfig};
pub use split_attention::{SplitAttention, SplitAttentionConfig};
