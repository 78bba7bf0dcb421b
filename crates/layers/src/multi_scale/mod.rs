//! Modules with several receptive fields: dilated pyramids, pooled pyramids, receptive field blocks.

mod aspp_v2;
mod aspp_v3;
mod deeplab_head;
mod psp;
mod rfb;
mod rfb_asff;
mod rfb_e;
mod rfb_mobile;
mod rfb_s;
mod spp;

use striate_tensor::Result;

pub use aspp_v2::{AsppV2, AsppV2Config};
pub use aspp_v3::{AsppV3, AsppV3Config, aspp_key_maps};
pub use deeplab_head::{DeepLabV3Head, DeepLabV3HeadConfig};
pub use psp::{PyramidPooling, PyramidPoolingConfig};
pub use rfb::{Rfb, RfbConfig};
pub use rfb_asff::{RfbAsff, RfbAsffConfig};
pub use rfb_e::{RfbEConfig, RfbEVariant};
pub use rfb_mobile::{RfbMobileConfig, RfbSMobileConfig};
pub use rfb_s::{RfbSConfig, RfbSVariant};
pub use spp::{Spp, SppBins, Sppf};

use crate::util::invalid;

/// Checks the dilations of parallel branches.
fn check_rates(layer: &'static str, rates: &[usize]) -> Result<()> {
    if rates.is_empty() || rates.contains(&0) {
        let rule = "there must be at least one rate, and all must be at least 1";
        return Err(invalid(layer, "rates", rates, rule));
    }
    Ok(())
}
