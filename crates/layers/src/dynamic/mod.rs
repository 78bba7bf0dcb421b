//! Convolutions whose weights, or the places they look at, depend on the input.

mod caconv;
mod camconv;
mod condconv;
mod convolution;
mod dynamic_conv;
mod experts;
mod involution;
mod kernel_attention;
mod odconv;
mod receptive_field;
mod rfaconv;
mod rfcaconv;
mod rfcbamconv;
mod temperature;

pub use caconv::{CaConv, CaConvConfig};
pub use camconv::{CamConv, CamConvConfig};
pub use condconv::{CondConv2d, CondConv2dConfig, CondConvExperts, condconv_key_maps};
pub use convolution::Convolution;
pub use dynamic_conv::{
    DynamicConv, DynamicConv1d, DynamicConv1dConfig, DynamicConv2d, DynamicConv2dConfig,
    DynamicConv3d, DynamicConv3dConfig, DynamicConvConfig, dynamic_conv_key_maps,
};
pub use involution::{Involution, InvolutionConfig, involution_key_maps};
pub use odconv::{OdConv2d, OdConv2dConfig};
pub use rfaconv::{RfaConv, RfaConvConfig, rfaconv_key_maps};
pub use rfcaconv::{RfCaConv, RfCaConvConfig};
pub use rfcbamconv::{RfCbamConv, RfCbamConvConfig};
pub use temperature::{Temperature, TemperatureSchedule};
