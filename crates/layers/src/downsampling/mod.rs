//! Down-sampling without aliases.

mod blur_conv;
mod blur_pool;
mod max_blur_pool;

pub use blur_conv::{BlurConv, BlurConvConfig};
pub use blur_pool::{BlurPool, BlurPoolConfig};
pub use max_blur_pool::{MaxBlurPool, MaxBlurPoolConfig};
