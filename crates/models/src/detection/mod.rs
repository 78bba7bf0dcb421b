//! What detectors are made of: pyramids of maps, and the network of receptive field blocks with its heads.

mod pyramid;
mod rfb_net;

pub use pyramid::{PyramidNet, PyramidNetConfig};
pub use rfb_net::{RfbNet, RfbNetConfig, RfbNetSize};
