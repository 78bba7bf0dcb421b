//! Convolutions with less arithmetic.

mod dwsep;
mod ghost;
mod ghost_bottleneck;
mod inverted_residual;
mod mix_conv;
mod partial_conv;
mod rank_one;
mod row_col;

pub use dwsep::{DepthwiseSeparable, DepthwiseSeparableConfig, dwsep_key_maps};
pub use ghost::{GhostModule, GhostModuleConfig};
pub use ghost_bottleneck::{GhostBottleneck, GhostBottleneckConfig};
pub use inverted_residual::{InvertedResidual, InvertedResidualConfig, invres_key_maps};
pub use mix_conv::{MixConv, MixConvConfig};
pub use partial_conv::{PartialConv, PartialConvConfig};
pub use rank_one::RankOne;
pub use row_col::{RowColConv, RowColConvConfig};
