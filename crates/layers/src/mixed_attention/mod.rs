//! Modules that weigh channels and places.

mod cbam;
mod cbam_timm;
mod channel_gate;
mod spatial_gate;

pub use cbam::{Arrangement, Cbam, CbamConfig, cbam_key_maps};
pub use cbam_timm::{CbamTimm, CbamTimmConfig};
pub use channel_gate::{ChannelGate, ChannelGateConfig, ChannelPool};
pub use spatial_gate::{MapOrder, SpatialGate, SpatialGateConfig};
