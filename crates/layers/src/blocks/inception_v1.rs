//! The block of GoogLeNet: 1x1, 3x3 and 5x5 convolutions and a pooling beside each other, with 1x1
//! convolutions that narrow what the large ones read.
//!
//! ```text
//! y = [conv1(x), conv3(conv1(x)), conv5(conv1(x)), conv1(maxpool3(x))]     every conv: BN, ReLU
//! ```
//!
//! Paper: Szegedy et al., *Going Deeper with Convolutions*, CVPR 2015, arXiv:1409.4842.
//! Departures: batch norms, and a 3x3 for the 5x5, as torchvision has them and its weights want;
//! [`InceptionV1Config::large_kernel`] sets the paper's 5.
//! Parameters: `C*(a + r3 + r5 + p) + 9*r3*b + k*k*r5*c`, and twice every convolution's outputs.

use striate_tensor::{PoolOptions, Result};

use super::chain::{Chain, InceptionBlock, Style};
use crate::util::odd;
use crate::{Init, MaxPool2d, Parallel, VarBuilder};

/// How to build the block of GoogLeNet.
#[derive(Clone, Debug)]
pub struct InceptionV1Config {
    /// Channels of the input.
    pub in_channels: usize,
    /// Outputs of the 1x1 branch.
    pub ch1x1: usize,
    /// Width before, and outputs of, the 3x3 branch.
    pub ch3x3: [usize; 2],
    /// Width before, and outputs of, the large branch.
    pub ch5x5: [usize; 2],
    /// Outputs of the pooled branch.
    pub pool_proj: usize,
    /// Size of the large branch's kernel, odd.
    pub large_kernel: usize,
    /// What the batch norms add to the variance.
    pub eps: f64,
    /// Where the weights of the convolutions start.
    pub init: Init,
}

impl InceptionV1Config {
    /// torchvision's: a 3x3 in the large branch, `eps` 1e-3.
    #[must_use]
    pub fn new(
        in_channels: usize,
        ch1x1: usize,
        ch3x3: [usize; 2],
        ch5x5: [usize; 2],
        pool_proj: usize,
    ) -> Self {
        Self {
            in_channels,
            ch1x1,
            ch3x3,
            ch5x5,
            pool_proj,
            large_kernel: 3,
            eps: 1e-3,
            init: Init::KaimingUniform,
        }
    }

    /// Sets the size of the large branch's kernel: 5 as in the paper.
    #[must_use]
    pub fn large_kernel(mut self, kernel: usize) -> Self {
        self.large_kernel = kernel;
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

    /// Builds the block under torchvision's names: `branch1`, `branch2.0`, `branch2.1`, `branch3.0`,
    /// `branch3.1`, `branch4.1`, each `conv` and `bn`.
    ///
    /// # Errors
    /// A number is 0, or the kernel is even.
    pub fn build(&self, vb: &VarBuilder) -> Result<InceptionBlock> {
        odd("InceptionV1", "large_kernel", self.large_kernel).map_err(|e| e.at(vb.path()))?;
        let style = Style {
            eps: self.eps,
            bias: false,
            init: self.init,
        };
        let chain = |vb: &VarBuilder| Chain::new(vb, &style, self.in_channels);
        let reduced = |name: &str, [width, out]: [usize; 2], kernel: usize| -> Result<_> {
            let chain = chain(&(vb / name)).conv("0", width, 1)?;
            Ok(chain.conv("1", out, kernel)?.end())
        };
        let pool = MaxPool2d::new(PoolOptions::new(3).stride(1).padding(1));
        let pooled = chain(&(vb / "branch4")).then(pool);
        let branches = Parallel::new()
            .push("", chain(vb).conv("branch1", self.ch1x1, 1)?.end())
            .push("branch2", reduced("branch2", self.ch3x3, 3)?)
            .push(
                "branch3",
                reduced("branch3", self.ch5x5, self.large_kernel)?,
            )
            .push("branch4", pooled.conv("1", self.pool_proj, 1)?.end());
        Ok(InceptionBlock::new(vb, branches))
    }
}
