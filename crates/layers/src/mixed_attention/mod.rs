//! Modules that weigh channels and places.

mod bam;
mod cbam;
mod cbam_timm;
mod channel_gate;
mod coord_attention;
mod dca_cbam;
mod polarized_attention;
mod scse;
mod sge;
mod shuffle_attention;
mod simam;
mod spatial_gate;
mod triplet;

pub use bam::{Bam, BamCombine, BamConfig};
pub use cbam::{Arrangement, Cbam, CbamConfig, cbam_key_maps};
pub use cbam_timm::{CbamTimm, CbamTimmConfig};
pub use channel_gate::{ChannelGate, ChannelGateConfig, ChannelPool};
pub use coord_attention::{CoordAttention, CoordAttentionConfig};
pub use dca_cbam::{DcaCbam, DcaCbamConfig};
pub use polarized_attention::{PolarizedAttention, PolarizedAttentionConfig, PolarizedLayout};
pub use scse::{ScSe, ScSeCombine, ScSeConfig};
pub use sge::{SpatialGroupEnhance, SpatialGroupEnhanceConfig};
pub use shuffle_attention::{ShuffleAttention, ShuffleAttentionConfig};
pub use simam::{SimAm, SimAmConfig};
pub use spatial_gate::{MapOrder, SpatialGate, SpatialGateConfig};
pub use triplet::{TripletAttention, TripletAttentionConfig};
