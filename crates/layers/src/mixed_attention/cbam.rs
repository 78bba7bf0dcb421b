//! Convolutional block attention: a channel gate, then a spatial gate.
//!
//! Paper: Woo, Park, Lee, Kweon, *CBAM: Convolutional Block Attention Module*, ECCV 2018,
//! arXiv:1807.06521. In a residual block it stands behind the last batch norm of the branch.
//! Departures: the spatial gate has a batch norm, as in the released code.
//! Parameters: `2*C*R + R + C + 2*k*k + 2`, `R = C / reduction`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::channel_gate::{ChannelGate, ChannelGateConfig};
use super::spatial_gate::{SpatialGate, SpatialGateConfig};
use crate::{Layer, Module, VarBuilder, Visitor};

/// How the two gates are combined; the paper compares them (its table 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// Channel gate, then spatial gate: the paper's choice.
    ChannelThenSpatial,
    /// Spatial gate, then channel gate.
    SpatialThenChannel,
    /// Both gates of the input, multiplied.
    Parallel,
    /// The channel gate alone (the released code's `no_spatial`).
    ChannelOnly,
    /// The spatial gate alone.
    SpatialOnly,
}

/// How to build a [`Cbam`].
#[derive(Clone, Debug)]
pub struct CbamConfig {
    /// The channel gate.
    pub channel: ChannelGateConfig,
    /// The spatial gate.
    pub spatial: SpatialGateConfig,
    /// How they are combined.
    pub arrangement: Arrangement,
}

impl CbamConfig {
    /// The released code's: reduction 16, mean and maximum, kernel 7, channel before spatial.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channel: ChannelGateConfig::new(channels),
            spatial: SpatialGateConfig::new(),
            arrangement: Arrangement::ChannelThenSpatial,
        }
    }

    /// Sets the reduction of the channel gate.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.channel.reduction = reduction;
        self
    }

    /// Sets the kernel of the spatial gate.
    #[must_use]
    pub fn kernel(mut self, kernel: usize) -> Self {
        self.spatial.kernel = kernel;
        self
    }

    /// Sets how the gates are combined.
    #[must_use]
    pub fn arrangement(mut self, arrangement: Arrangement) -> Self {
        self.arrangement = arrangement;
        self
    }

    /// Builds the module: `ChannelGate` and `SpatialGate`, as in the released code.
    ///
    /// # Errors
    /// Those of the two gates.
    pub fn build(&self, vb: &VarBuilder) -> Result<Cbam> {
        let channel = (self.arrangement != Arrangement::SpatialOnly)
            .then(|| self.channel.build(&(vb / "ChannelGate")));
        let spatial = (self.arrangement != Arrangement::ChannelOnly)
            .then(|| self.spatial.build(&(vb / "SpatialGate")));
        Ok(Cbam {
            path: Arc::clone(vb.path()),
            channel: channel.transpose()?,
            spatial: spatial.transpose()?,
            arrangement: self.arrangement,
        })
    }
}

/// The attention module. Its gates emit their factors.
#[derive(Debug)]
pub struct Cbam {
    path: Arc<str>,
    channel: Option<ChannelGate>,
    spatial: Option<SpatialGate>,
    arrangement: Arrangement,
}

impl Layer for Cbam {
    fn visit(&self, v: &mut dyn Visitor) {
        if let Some(gate) = &self.channel {
            v.child("ChannelGate", gate);
        }
        if let Some(gate) = &self.spatial {
            v.child("SpatialGate", gate);
        }
    }
}

impl Module for Cbam {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || match (&self.channel, &self.spatial) {
            (Some(channel), Some(spatial)) => match self.arrangement {
                Arrangement::SpatialThenChannel => channel.forward(&spatial.forward(x)?),
                Arrangement::Parallel => x.mul(&channel.gate(x)?)?.mul(&spatial.gate(x)?),
                _ => spatial.forward(&channel.forward(x)?),
            },
            (Some(channel), None) => channel.forward(x),
            (None, Some(spatial)) => spatial.forward(x),
            (None, None) => Ok(x.clone()),
        })
    }
}

/// How other implementations name the same weights.
pub mod cbam_key_maps {
    use crate::KeyMap;
    use crate::key_map::swap_input_channels;

    /// From the released code's names and channel order to timm's. timm's perceptron has biases
    /// only with `mlp_bias`.
    #[must_use]
    pub fn to_timm() -> KeyMap {
        KeyMap::new()
            .rename("ChannelGate.mlp.1", "channel.fc1")
            .rename("ChannelGate.mlp.3", "channel.fc2")
            .rename("SpatialGate.spatial.conv", "spatial.conv.conv")
            .rename("SpatialGate.spatial.bn", "spatial.conv.bn")
            .transform("spatial.conv.conv.weight", swap_input_channels)
    }

    /// From timm's names and channel order to the released code's.
    #[must_use]
    pub fn from_timm() -> KeyMap {
        KeyMap::new()
            .rename("channel.fc1", "ChannelGate.mlp.1")
            .rename("channel.fc2", "ChannelGate.mlp.3")
            .rename("spatial.conv.conv", "SpatialGate.spatial.conv")
            .rename("spatial.conv.bn", "SpatialGate.spatial.bn")
            .transform("SpatialGate.spatial.conv.weight", swap_input_channels)
    }
}
