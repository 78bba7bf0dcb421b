//! Modules that weigh channels.

mod dca_se;
mod eca;
mod ese;
mod gather_excite;
mod gc;
mod se;
mod se_block;

pub use dca_se::{DcaSe, DcaSeConfig};
pub use eca::{CircularEca, Eca, EcaConfig};
pub use ese::{EffectiveSe, EffectiveSeConfig};
pub use gather_excite::{GatherExcite, GatherExciteConfig};
pub use gc::{ContextDialect, ContextFusion, GlobalContext, GlobalContextConfig, gc_key_maps};
pub use se::{
    Gate, NoSqueezeExcite, Squeeze, SqueezeExcite, SqueezeExciteConfig, se_extra_params,
    se_key_maps,
};
pub(crate) use se_block::projection;
pub use se_block::{SeBottleneck, SeBottleneckConfig, SePosition};
