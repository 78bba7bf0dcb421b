//! Convolutions that train in one form, or as several, and run in another.

mod acnet;
mod dbb;
mod doconv;
mod fold;
mod rep_vgg;
mod std_conv;

pub use acnet::{AcBlock, AcBlockConfig};
pub use dbb::{DiverseBranchBlock, DiverseBranchBlockConfig};
pub use doconv::{DoConv2d, DoConv2dConfig, doconv_key_maps};
pub use rep_vgg::{RepVgg, RepVggConfig, repvgg_key_maps};
pub use std_conv::{StdConv2d, StdConv2dConfig};
