//! Sampling at learned offsets, and pooling of regions.

mod deform_conv;
mod deform_psroi_pool;
mod deform_roi_pool;
mod roi;

pub use deform_conv::{DeformConv2d, DeformConv2dConfig, deform_conv_key_maps};
pub use deform_psroi_pool::{DeformPsRoiPool, DeformPsRoiPoolConfig};
pub use deform_roi_pool::{DeformRoiPool, DeformRoiPoolConfig, OffsetHead};
pub use roi::{PsRoiAlign, PsRoiPool, RoiAlign, RoiPool};
