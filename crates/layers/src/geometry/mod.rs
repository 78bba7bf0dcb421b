//! Modules that know or move positions.

mod coord_conv;

pub use coord_conv::{CoordConv, CoordConvConfig};
