//! Asymmetric convolution block: a square kernel strengthened on its cross by a column and a row.
//!
//! ```text
//! y = bn(conv_kxk(x)) + bn(conv_kx1(x)) + bn(conv_1xk(x))
//!   = conv_kxk'(x) + b'                                     after folding
//! ```
//!
//! Paper: Ding, Guo, Ding, Han, *ACNet: Strengthening the Kernel Skeletons for Powerful CNN via
//! Asymmetric Convolution Blocks*, ICCV 2019, arXiv:1908.03930. Departures: none.
//! Parameters: `(k*k + 2*k)*C*O/g + 6*O`; folded `k*k*C*O/g + O`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::fold::{Kernel, folding};
use crate::util::odd;
use crate::{
    Activation, Conv2d, Conv2dConfig, ConvNormAct, ConvNormActConfig, Layer, Module, VarBuilder,
    Visitor,
};

/// How to build an [`AcBlock`].
#[derive(Clone, Debug)]
pub struct AcBlockConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Size of the square kernel, odd.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Groups of all three convolutions.
    pub groups: usize,
}

impl AcBlockConfig {
    /// Kernel 3, stride 1, one group.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: 3,
            stride: 1,
            groups: 1,
        }
    }

    /// Sets the size of the square kernel.
    #[must_use]
    pub fn kernel(mut self, kernel: usize) -> Self {
        self.kernel = kernel;
        self
    }

    /// Sets the stride.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the groups of all three convolutions.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Builds the block under the released code's names: `square_conv`, `square_bn`, `ver_conv`,
    /// `ver_bn`, `hor_conv`, `hor_bn`.
    ///
    /// # Errors
    /// A number is 0, the kernel is even, or the groups do not divide the channels.
    pub fn build(&self, vb: &VarBuilder) -> Result<AcBlock> {
        odd("AcBlock", "kernel", self.kernel).map_err(|e| e.at(vb.path()))?;
        let branch = |kernel: [usize; 2], name: &str| {
            let conv = Conv2dConfig::new(self.in_channels, self.out_channels, kernel)
                .stride(self.stride)
                .same_padding()
                .groups(self.groups);
            ConvNormActConfig::new(conv)
                .act(Activation::Identity)
                .names(format!("{name}_conv"), format!("{name}_bn"))
                .build(vb)
        };
        let k = self.kernel;
        Ok(AcBlock {
            path: Arc::clone(vb.path()),
            square: branch([k, k], "square")?,
            cross: [branch([k, 1], "ver")?, branch([1, k], "hor")?],
            config: self.clone(),
        })
    }
}

/// A square, a column and a row that fold into one convolution.
#[derive(Debug)]
pub struct AcBlock {
    path: Arc<str>,
    square: ConvNormAct,
    /// The column and the row.
    cross: [ConvNormAct; 2],
    config: AcBlockConfig,
}

impl AcBlock {
    /// The one convolution, with a bias, that the block is in evaluation.
    ///
    /// # Errors
    /// Memory is out.
    pub fn fold(&self) -> Result<Conv2d> {
        folding(|| {
            let mut sum = Kernel::from(self.square.folded()?);
            for branch in &self.cross {
                sum = sum.plus(&Kernel::from(branch.folded()?).widened(self.config.kernel)?)?;
            }
            sum.into_conv(self.config.stride, self.config.groups)
        })
    }
}

impl Layer for AcBlock {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("", &self.square);
        for branch in &self.cross {
            v.child("", branch);
        }
    }
}

impl Module for AcBlock {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            // Each sum is part of a branch's last step.
            let mut sum = self.square.forward(x)?;
            for branch in &self.cross {
                sum = branch.forward_onto(&sum, Activation::Identity, x)?;
            }
            Ok(sum)
        })
    }
}
