//! Modules in which every place sees every other.

mod ccnet;
mod danet;
mod double_attention;
mod nonlocal;
mod places;

pub use ccnet::{CrissCross, CrissCrossConfig, ccnet_key_maps};
pub use danet::{Danet, DanetConfig, danet_key_maps};
pub use double_attention::{DoubleAttention, DoubleAttentionConfig};
pub use nonlocal::{
    Affinity, AffinityScale, NonLocal, NonLocalConfig, PoolPosition, nonlocal_key_maps,
};
