//! The block of BN-Inception: as GoogLeNet's, with two 3x3 convolutions for the 5x5, and variants that
//! halve the map.
//!
//! ```text
//! y = [conv1(x), conv3(conv1(x)), conv3(conv3(conv1(x))), conv1(pool3(x))]     every conv: BN, ReLU
//! ```
//!
//! Paper: Ioffe, Szegedy, *Batch Normalization*, ICML 2015, arXiv:1502.03167 (its figure 5).
//! Departures: widths, poolings and the missing branches of the halving blocks are those of the
//! released Caffe model, which SENet's authors also use.
//! Parameters: `C*(a + r + d + p) + 9*(r*b + d*e + e*f)`, and twice every convolution's outputs.

use striate_tensor::{PoolOptions, Result};

use super::chain::{Chain, InceptionBlock, Style};
use crate::util::invalid;
use crate::{AvgPool2d, Init, MaxPool2d, Parallel, VarBuilder};

/// How the pooled branch pools its 3x3 windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BnPool {
    /// Means; the zeros around the map count.
    Avg,
    /// Maxima.
    Max,
}

/// How to build the block of BN-Inception.
#[derive(Clone, Debug)]
pub struct BnInceptionConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Outputs of the 1x1 branch, if there is one.
    pub ch1x1: Option<usize>,
    /// Width before, and outputs of, the 3x3 branch.
    pub ch3x3: [usize; 2],
    /// Width before, and outputs of both convolutions of, the double branch.
    pub double: [usize; 3],
    /// How the pooled branch pools.
    pub pool: BnPool,
    /// Outputs of the 1x1 convolution of the pooled branch, if there is one.
    pub pool_proj: Option<usize>,
    /// 1, or 2 to halve the map.
    pub stride: usize,
    /// Whether the convolutions have biases; the released model's names have them, all zero.
    pub conv_bias: bool,
}

impl BnInceptionConfig {
    /// A block that keeps the size of the map, with mean pooling.
    #[must_use]
    pub fn new(
        in_channels: usize,
        ch1x1: usize,
        ch3x3: [usize; 2],
        double: [usize; 3],
        pool_proj: usize,
    ) -> Self {
        Self {
            in_channels,
            ch1x1: Some(ch1x1),
            ch3x3,
            double,
            pool: BnPool::Avg,
            pool_proj: Some(pool_proj),
            stride: 1,
            conv_bias: false,
        }
    }

    /// A block that halves the map, which has neither the 1x1 branch nor a convolution after its
    /// maximum pooling.
    #[must_use]
    pub fn halving(in_channels: usize, ch3x3: [usize; 2], double: [usize; 3]) -> Self {
        Self {
            ch1x1: None,
            pool: BnPool::Max,
            pool_proj: None,
            stride: 2,
            ..Self::new(in_channels, 0, ch3x3, double, 0)
        }
    }

    /// A block of the network by its place in it, `3a` to `5b`.
    ///
    /// # Errors
    /// There is no such place.
    pub fn at(place: &str) -> Result<Self> {
        Ok(match place {
            "3a" => Self::new(192, 64, [64, 64], [64, 96, 96], 32),
            "3b" => Self::new(256, 64, [64, 96], [64, 96, 96], 64),
            "3c" => Self::halving(320, [128, 160], [64, 96, 96]),
            "4a" => Self::new(576, 224, [64, 96], [96, 128, 128], 128),
            "4b" => Self::new(576, 192, [96, 128], [96, 128, 128], 128),
            "4c" => Self::new(576, 160, [128, 160], [128, 160, 160], 128),
            "4d" => Self::new(608, 96, [128, 192], [160, 192, 192], 128),
            "4e" => Self::halving(608, [128, 192], [192, 256, 256]),
            "5a" => Self::new(1056, 352, [192, 320], [160, 224, 224], 128),
            "5b" => Self::new(1024, 352, [192, 320], [192, 224, 224], 128).pool(BnPool::Max),
            _ => {
                let rule = "it must be one of 3a, 3b, 3c, 4a, 4b, 4c, 4d, 4e, 5a, 5b";
                return Err(invalid("BnInception", "place", place, rule));
            }
        })
    }

    /// Sets how the pooled branch pools.
    #[must_use]
    pub fn pool(mut self, pool: BnPool) -> Self {
        self.pool = pool;
        self
    }

    /// Gives the convolutions biases, which their batch norms make redundant.
    #[must_use]
    pub fn conv_bias(mut self, bias: bool) -> Self {
        self.conv_bias = bias;
        self
    }

    /// Builds the block: `1x1`, `3x3_reduce`, `3x3`, `double_3x3_reduce`, `double_3x3_1`,
    /// `double_3x3_2`, `pool_proj`, as in the Caffe model, each `conv` and `bn`.
    ///
    /// # Errors
    /// A number is 0, or the stride is neither 1 nor 2.
    pub fn build(&self, vb: &VarBuilder) -> Result<InceptionBlock> {
        if !matches!(self.stride, 1 | 2) {
            let rule = "it must be 1 or 2";
            return Err(invalid("BnInception", "stride", self.stride, rule).at(vb.path()));
        }
        let style = Style {
            eps: 1e-5,
            bias: self.conv_bias,
            init: Init::KaimingUniform,
        };
        let chain = || Chain::new(vb, &style, self.in_channels);
        let mut branches = Parallel::new();
        if let Some(channels) = self.ch1x1 {
            branches = branches.push("", chain().conv("1x1", channels, 1)?.end());
        }
        let [width, out] = self.ch3x3;
        let single = chain().conv("3x3_reduce", width, 1)?;
        branches = branches.push("", single.strided("3x3", out, self.stride, 1)?.end());
        let [width, middle, out] = self.double;
        let double = chain().conv("double_3x3_reduce", width, 1)?;
        let double = double.conv("double_3x3_1", middle, 3)?;
        let double = double.strided("double_3x3_2", out, self.stride, 1)?;
        branches = branches.push("", double.end());
        let window = PoolOptions::new(3).stride(self.stride);
        // Where the map is halved, windows begin inside it and the last may end outside.
        let window = match self.stride {
            1 => window.padding(1),
            _ => window.ceil_mode(true),
        };
        let mut pooled = match self.pool {
            BnPool::Avg => chain().then(AvgPool2d::new(window)),
            BnPool::Max => chain().then(MaxPool2d::new(window)),
        };
        if let Some(channels) = self.pool_proj {
            pooled = pooled.conv("pool_proj", channels, 1)?;
        }
        Ok(InceptionBlock::new(vb, branches.push("", pooled.end())))
    }
}

/// How other implementations name the same weights.
pub mod bn_inception_key_maps {
    use crate::KeyMap;

    /// The Caffe model and Cadene's `bninception`: `inception_3a_3x3_reduce` and
    /// `inception_3a_3x3_reduce_bn` become `inception_3a.3x3_reduce.conv` and `.bn`. Their convolutions
    /// have biases.
    #[must_use]
    pub fn flat() -> KeyMap {
        KeyMap::new().rename_with(|name| {
            let rest = name.strip_prefix("inception_")?;
            let (place, rest) = rest.split_once('_')?;
            let (layer, leaf) = rest.rsplit_once('.')?;
            let (layer, part) = match layer.strip_suffix("_bn") {
                Some(layer) => (layer, "bn"),
                None => (layer, "conv"),
            };
            Some(format!("inception_{place}.{layer}.{part}.{leaf}"))
        })
    }
}
