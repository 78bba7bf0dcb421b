//! Convolutions that train in one form and run in another.

mod doconv;
mod std_conv;

pub use doconv::{DoConv2d, DoConv2dConfig, doconv_key_maps};
pub use std_conv::{StdConv2d, StdConv2dConfig};
