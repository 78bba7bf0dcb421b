//! The blocks of Inception-v3: large kernels as stacks of small ones, then as columns and rows.
//!
//! ```text
//! A  [1, 1-5, 1-3-3, avg-1]
//! B  [3s2, 1-3-3s2, maxs2]                               halves the map
//! C  [1, 1-(1x7)-(7x1), 1-(7x1)-(1x7)-(7x1)-(1x7), avg-1]
//! D  [1-3s2, 1-(1x7)-(7x1)-3s2, maxs2]                   halves the map
//! E  [1, 1-[1x3, 3x1], 1-3-[1x3, 3x1], avg-1]
//! ```
//! Each number is a convolution of that size with batch norm and ReLU, brackets are joined along the
//! channels.
//!
//! Paper: Szegedy et al., *Rethinking the Inception Architecture for Computer Vision*, CVPR 2016,
//! arXiv:1512.00567. Departures: none; widths are those of torchvision, with TensorFlow's weights.
//! Parameters: of each convolution `in*out*kh*kw + 2*out`.

use striate_tensor::{PoolOptions, Result};

use super::chain::{Chain, InceptionBlock, Style};
use crate::util::at_least_one;
use crate::{AvgPool2d, Init, MaxPool2d, Parallel, VarBuilder};

/// Which block of Inception-v3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InceptionV3Kind {
    /// With a 5x5 branch.
    A {
        /// Outputs of the pooled branch: 32, 64 and 64 in the network.
        pool_features: usize,
    },
    /// The first that halves the map.
    B,
    /// With columns and rows of 7.
    C {
        /// Width of the branches inside: 128, 160, 160 and 192 in the network.
        width: usize,
    },
    /// The second that halves the map.
    D,
    /// With columns and rows beside each other.
    E,
}

/// How to build a block of Inception-v3.
#[derive(Clone, Debug)]
pub struct InceptionV3Config {
    /// Channels of the input.
    pub in_channels: usize,
    /// Which block.
    pub kind: InceptionV3Kind,
    /// What the batch norms add to the variance.
    pub eps: f64,
    /// Where the weights of the convolutions start.
    pub init: Init,
    /// What the fixed widths are divided by, for narrower networks.
    pub narrow: usize,
}

impl InceptionV3Config {
    /// torchvision's, `eps` 1e-3.
    #[must_use]
    pub fn new(in_channels: usize, kind: InceptionV3Kind) -> Self {
        Self {
            in_channels,
            kind,
            eps: 1e-3,
            init: Init::KaimingUniform,
            narrow: 1,
        }
    }

    /// Divides the fixed widths by this number, rounding down, to 1 at least.
    #[must_use]
    pub fn narrow(mut self, by: usize) -> Self {
        self.narrow = by;
        self
    }

    /// Sets what the batch norms add to the variance.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Sets where the weights of the convolutions start.
    #[must_use]
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Builds the block under torchvision's names, each layer `conv` and `bn`.
    ///
    /// # Errors
    /// A number is 0.
    pub fn build(&self, vb: &VarBuilder) -> Result<InceptionBlock> {
        at_least_one("InceptionV3", "narrow", self.narrow).map_err(|e| e.at(vb.path()))?;
        let fixed = |width: usize| (width / self.narrow).max(1);
        let style = Style {
            eps: self.eps,
            bias: false,
            init: self.init,
        };
        let chain = || Chain::new(vb, &style, self.in_channels);
        let pooled = |channels| -> Result<_> {
            let means = AvgPool2d::new(PoolOptions::new(3).stride(1).padding(1));
            let chain = chain().then(means).conv("branch_pool", channels, 1)?;
            Ok(chain.end())
        };
        let maxima = || MaxPool2d::new(PoolOptions::new(3).stride(2));
        // 1x3 and 3x1 of the same 384 channels.
        let fork = |prefix: &str| -> Result<_> {
            let chain = || Chain::new(vb, &style, fixed(384));
            let row = chain().conv(&format!("{prefix}a"), fixed(384), [1, 3])?;
            let column = chain().conv(&format!("{prefix}b"), fixed(384), [3, 1])?;
            let both = Parallel::new().push("", row.end()).push("", column.end());
            Ok(both)
        };
        let branches = match self.kind {
            InceptionV3Kind::A { pool_features } => vec![
                chain().conv("branch1x1", fixed(64), 1)?.end(),
                chain()
                    .conv("branch5x5_1", fixed(48), 1)?
                    .conv("branch5x5_2", fixed(64), 5)?
                    .end(),
                chain()
                    .conv("branch3x3dbl_1", fixed(64), 1)?
                    .conv("branch3x3dbl_2", fixed(96), 3)?
                    .conv("branch3x3dbl_3", fixed(96), 3)?
                    .end(),
                pooled(pool_features)?,
            ],
            InceptionV3Kind::B => vec![
                chain().strided("branch3x3", fixed(384), 2, 0)?.end(),
                chain()
                    .conv("branch3x3dbl_1", fixed(64), 1)?
                    .conv("branch3x3dbl_2", fixed(96), 3)?
                    .strided("branch3x3dbl_3", fixed(96), 2, 0)?
                    .end(),
                chain().then(maxima()).end(),
            ],
            InceptionV3Kind::C { width } => vec![
                chain().conv("branch1x1", fixed(192), 1)?.end(),
                chain()
                    .conv("branch7x7_1", width, 1)?
                    .conv("branch7x7_2", width, [1, 7])?
                    .conv("branch7x7_3", fixed(192), [7, 1])?
                    .end(),
                chain()
                    .conv("branch7x7dbl_1", width, 1)?
                    .conv("branch7x7dbl_2", width, [7, 1])?
                    .conv("branch7x7dbl_3", width, [1, 7])?
                    .conv("branch7x7dbl_4", width, [7, 1])?
                    .conv("branch7x7dbl_5", fixed(192), [1, 7])?
                    .end(),
                pooled(fixed(192))?,
            ],
            InceptionV3Kind::D => vec![
                chain()
                    .conv("branch3x3_1", fixed(192), 1)?
                    .strided("branch3x3_2", fixed(320), 2, 0)?
                    .end(),
                chain()
                    .conv("branch7x7x3_1", fixed(192), 1)?
                    .conv("branch7x7x3_2", fixed(192), [1, 7])?
                    .conv("branch7x7x3_3", fixed(192), [7, 1])?
                    .strided("branch7x7x3_4", fixed(192), 2, 0)?
                    .end(),
                chain().then(maxima()).end(),
            ],
            InceptionV3Kind::E => vec![
                chain().conv("branch1x1", fixed(320), 1)?.end(),
                chain()
                    .conv("branch3x3_1", fixed(384), 1)?
                    .then(fork("branch3x3_2")?)
                    .end(),
                chain()
                    .conv("branch3x3dbl_1", fixed(448), 1)?
                    .conv("branch3x3dbl_2", fixed(384), 3)?
                    .then(fork("branch3x3dbl_3")?)
                    .end(),
                pooled(fixed(192))?,
            ],
        };
        let joined = Parallel::new();
        let joined = branches.into_iter().fold(joined, |all, b| all.push("", b));
        Ok(InceptionBlock::new(vb, joined))
    }
}
