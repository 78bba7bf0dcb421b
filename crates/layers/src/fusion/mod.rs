//! Modules that join maps of several sizes.

mod asff;
mod bifpn_node;
mod deeplabv3plus;
mod fpn;
mod pan;
mod weighted;

use striate_tensor::{Error, Interpolation, Result, Tensor};

pub use asff::{Asff, AsffConfig, asff_key_maps};
pub use bifpn_node::{BifpnNode, BifpnNodeConfig, bifpn_key_maps};
pub use deeplabv3plus::{DeepLabV3PlusDecoder, DeepLabV3PlusDecoderConfig, decoder_key_maps};
pub use fpn::{ExtraLevels, Fpn, FpnConfig, fpn_key_maps};
pub use pan::{Pan, PanConfig};
pub use weighted::{WeightedFusion, WeightedFusionConfig};

use crate::util::{at_least_one, invalid};

/// Checks the channels of a pyramid's maps.
fn check_channels(layer: &'static str, channels: &[usize], least: usize) -> Result<()> {
    if channels.len() < least {
        let rule = format!("there must be at least {least} maps");
        return Err(invalid(layer, "in_channels", channels, rule));
    }
    channels
        .iter()
        .try_for_each(|&c| at_least_one(layer, "in_channels", c))
}

/// Checks how many maps there are and that they are maps; gives height and width of each.
fn sizes(layer: &'static str, maps: &[Tensor], count: usize) -> Result<Vec<[usize; 2]>> {
    if maps.len() != count {
        let detail = format!("takes {count} maps, got {}", maps.len());
        return Err(Error::shape(layer, detail));
    }
    let size = |map: &Tensor| map.dims_array(layer).map(|[_, _, h, w]| [h, w]);
    maps.iter().map(size).collect()
}

/// A coarser map at the size of a finer one, by nearest neighbours, added to it.
fn add_resized(fine: &Tensor, coarse: &Tensor) -> Result<Tensor> {
    let [_, _, h, w] = fine.dims4()?;
    fine.add(&coarse.interpolate([h, w], Interpolation::Nearest)?)
}
