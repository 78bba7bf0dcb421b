<<<<<<< HEAD
//! Convolutions that train in one form and run in another.

mod doconv;
mod std_conv;

pub use doconv::{DoConv2d, DoConv2dConfig, doconv_key_maps};
pub use std_conv::{StdConv2d, StdConv2dConfig};
=======
//! Blocks that train as several convolutions and fold into one.

mod acnet;
mod dbb;
mod fold;
mod rep_vgg;

pub use acnet::{AcBlock, AcBlockConfig};
pub use dbb::{DiverseBranchBlock, DiverseBranchBlockConfig};
pub use rep_vgg::{RepVgg, RepVggConfig, repvgg_key_maps};
>>>>>>> 4020239 (layers: light convolutions, Inception and Res2Net blocks, blocks that fold)
