//! Modules that know or move positions.

mod coord_conv;
mod localization;
mod stn;
mod tps_grid;
mod tps_stn;

pub use coord_conv::{CoordConv, CoordConvConfig};
pub use localization::Localization;
pub use stn::{SpatialTransformer, SpatialTransformerConfig, Transform};
pub use tps_grid::{TpsGrid, TpsGridConfig};
pub use tps_stn::{TpsTransformer, TpsTransformerConfig, tps_key_maps};
