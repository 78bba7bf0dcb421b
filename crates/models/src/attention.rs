//! The slot for attention in a residual block.

use striate_layers::{
    CbamConfig, Kernels, SePosition, SkConvConfig, SpatialGateConfig, SqueezeExciteConfig, nearest,
};
use striate_tensor::{Error, Result};

/// What stands in the attention slot of every residual block.
#[derive(Clone, Debug, PartialEq)]
pub enum Attention {
    /// Nothing.
    None,
    /// Squeeze-and-excitation.
    Se(SeSlot),
    /// A selective-kernel convolution instead of the first 3x3 convolution.
    Sk(SkSlot),
    /// CBAM behind the last batch norm of the branch.
    Cbam(CbamSlot),
}

/// Squeeze-and-excitation in a residual block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeSlot {
    /// Where in the block.
    pub position: SePosition,
    /// How many times fewer channels its bottleneck has.
    pub reduction: usize,
    /// Whether its linear maps have biases.
    pub bias: bool,
}

impl SeSlot {
    /// Behind the last batch norm of the branch, with biases.
    #[must_use]
    pub fn new(reduction: usize) -> Self {
        Self {
            position: SePosition::Standard,
            reduction,
            bias: true,
        }
    }

    /// Sets where in the block.
    #[must_use]
    pub fn position(mut self, position: SePosition) -> Self {
        self.position = position;
        self
    }

    /// Adds or leaves out the biases.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    pub(crate) fn config(&self, channels: usize) -> SqueezeExciteConfig {
        SqueezeExciteConfig::new(channels)
            .reduction(self.reduction)
            .bias(self.bias)
    }
}

/// A selective-kernel convolution in a residual block.
#[derive(Clone, Debug, PartialEq)]
pub struct SkSlot {
    /// The paper's `M`.
    pub branches: usize,
    /// The kernels of the branches.
    pub kernels: Kernels,
    /// The paper's `G`.
    pub groups: usize,
    /// The paper's `r`.
    pub reduction: usize,
    /// The paper's `L`.
    pub min_dim: usize,
}

impl SkSlot {
    /// Two dilated branches of 8 groups, `r = 4`, `L = 16`: sizes that suit narrow networks.
    #[must_use]
    pub fn new() -> Self {
        Self {
            branches: 2,
            kernels: Kernels::Dilated,
            groups: 8,
            reduction: 4,
            min_dim: 16,
        }
    }

    pub(crate) fn config(&self, in_channels: usize, out_channels: usize) -> SkConvConfig {
        SkConvConfig::new(in_channels, out_channels)
            .branches(self.branches)
            .kernels(self.kernels.clone())
            .groups(self.groups)
            .reduction(self.reduction)
            .min_dim(self.min_dim)
    }
}

impl Default for SkSlot {
    fn default() -> Self {
        Self::new()
    }
}

/// CBAM in a residual block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CbamSlot {
    /// How many times fewer channels the bottleneck of the channel gate has.
    pub reduction: usize,
    /// Kernel of the spatial gate, odd.
    pub kernel: usize,
}

impl CbamSlot {
    /// Kernel 7.
    #[must_use]
    pub fn new(reduction: usize) -> Self {
        Self {
            reduction,
            kernel: 7,
        }
    }

    pub(crate) fn config(&self, channels: usize) -> CbamConfig {
        let mut config = CbamConfig::new(channels).reduction(self.reduction);
        config.spatial = SpatialGateConfig::new().kernel(self.kernel);
        config
    }
}

/// Names of the presets, with the reduction that suits narrow networks.
const PRESETS: [&str; 8] = [
    "none",
    "se",
    "se_pre",
    "se_post",
    "se_identity",
    "se_conv3x3",
    "sk",
    "cbam",
];

impl Attention {
    /// Names that [`Attention::parse`] knows.
    #[must_use]
    pub fn names() -> &'static [&'static str] {
        &PRESETS
    }

    /// The preset of that name: `none`, `se` and its other positions, `sk`, `cbam`.
    ///
    /// # Errors
    /// There is none; the text lists those there are.
    pub fn parse(name: &str) -> Result<Self> {
        let se = |position| Ok(Self::Se(SeSlot::new(8).position(position)));
        match name {
            "none" => Ok(Self::None),
            "se" => se(SePosition::Standard),
            "se_pre" => se(SePosition::Pre),
            "se_post" => se(SePosition::Post),
            "se_identity" => se(SePosition::Identity),
            "se_conv3x3" => se(SePosition::Conv3x3),
            "sk" => Ok(Self::Sk(SkSlot::new())),
            "cbam" => Ok(Self::Cbam(CbamSlot::new(8))),
            _ => {
                let near =
                    nearest(name, PRESETS).map_or(String::new(), |n| format!("; nearest: {n}"));
                let known = PRESETS.join(", ");
                Err(Error::msg(format!(
                    "no attention is called {name:?}{near}; there are {known}"
                )))
            }
        }
    }
}
