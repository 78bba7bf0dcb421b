//! Normalisations.

mod filter_response;
mod global_response;
mod instance_norm;
mod layer_norm_2d;
mod switchable;

pub use filter_response::{FilterResponseNorm, FilterResponseNormConfig};
pub use global_response::{GlobalResponseNorm, GlobalResponseNormConfig};
pub use instance_norm::{InstanceNorm2d, InstanceNorm2dConfig};
pub use layer_norm_2d::{LayerNorm2d, LayerNorm2dConfig};
pub use switchable::{SwitchableNorm, SwitchableNormConfig};

use striate_tensor::{Error, Result, Tensor};

use crate::util::{at_least_one, invalid};

/// Checks what all of them have.
fn check(layer: &'static str, channels: usize, eps: f64) -> Result<()> {
    at_least_one(layer, "channels", channels)?;
    if eps > 0.0 && eps.is_finite() {
        return Ok(());
    }
    Err(invalid(layer, "eps", eps, "it must be positive and finite"))
}

/// The shape of a map with the channels the layer was built for.
fn dims(layer: &'static str, channels: usize, x: &Tensor) -> Result<[usize; 4]> {
    let dims @ [_, c, _, _] = x.dims_array(layer)?;
    if c == channels {
        return Ok(dims);
    }
    let detail = format!("built for {channels} channels, got shape {:?}", x.shape());
    Err(Error::shape(layer, detail))
}
