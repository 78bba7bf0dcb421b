//! The receptive field block of ASFF's detector: four branches of plain convolutions, side by side.
//!
//! ```text
//! y = [1x1 | 1x1, 3x3 | 1x1, 3x3, atrous_2 | 1x1, 5x5, atrous_3] (+ x)        a quarter of the channels each
//! ```
//!
//! Paper: Liu, Huang, Wang, *Learning Spatial Fusion for Single-Shot Object Detection*, arXiv:1911.09516; the
//! idea is RFB's, arXiv:1711.07767. Departures: none; `RFBblock` of the paper's code.
//! Parameters with `i = C/4`: `4(C*i + i) + 61*i*i + 5i`, of which 61 = 9 + 9 + 9 + 25 + 9.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::util::invalid;
use crate::{Conv2dConfig, Layer, Module, Sequential, VarBuilder, Visitor};

/// How to build an [`RfbAsff`].
#[derive(Clone, Debug)]
pub struct RfbAsffConfig {
    /// Channels of the input and of the output.
    pub in_channels: usize,
    /// Whether the input is added.
    pub residual: bool,
}

impl RfbAsffConfig {
    /// Without the input.
    #[must_use]
    pub fn new(in_channels: usize) -> Self {
        Self {
            in_channels,
            residual: false,
        }
    }

    /// Adds the input or leaves it out.
    #[must_use]
    pub fn residual(mut self, residual: bool) -> Self {
        self.residual = residual;
        self
    }

    /// Builds the layers `branch_b.k`, all with biases.
    ///
    /// # Errors
    /// The channels are no multiple of 4, or there are none.
    pub fn build(&self, vb: &VarBuilder) -> Result<RfbAsff> {
        let c = self.in_channels;
        if c == 0 || !c.is_multiple_of(4) {
            let rule = "it must be a multiple of 4, one part a branch";
            return Err(invalid("RfbAsff", "in_channels", c, rule).at(vb.path()));
        }
        let branch = |(b, convs): (usize, &[(usize, usize)])| {
            let vb = vb / format_args!("branch_{b}");
            let point = Conv2dConfig::new(c, c / 4, 1).build(&(&vb / 0))?;
            let mut branch = Sequential::new().push(point);
            for (k, &(kernel, dilation)) in convs.iter().enumerate() {
                let conv = Conv2dConfig::new(c / 4, c / 4, kernel)
                    .dilation(dilation)
                    .same_padding();
                branch = branch.push(conv.build(&(&vb / (k + 1)))?);
            }
            Ok(branch)
        };
        let kernels: [&[(usize, usize)]; 4] =
            [&[], &[(3, 1)], &[(3, 1), (3, 2)], &[(5, 1), (3, 3)]];
        let branches = kernels.into_iter().enumerate().map(branch);
        Ok(RfbAsff {
            path: Arc::clone(vb.path()),
            branches: branches.collect::<Result<_>>()?,
            residual: self.residual,
        })
    }
}

/// Plain convolutions of several receptive fields, side by side.
#[derive(Debug)]
pub struct RfbAsff {
    path: Arc<str>,
    branches: Vec<Sequential>,
    residual: bool,
}

impl Layer for RfbAsff {
    fn visit(&self, v: &mut dyn Visitor) {
        for (b, branch) in self.branches.iter().enumerate() {
            v.child(&format!("branch_{b}"), branch);
        }
    }
}

impl Module for RfbAsff {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let seen = self.branches.iter().map(|branch| branch.forward(x));
            let seen = seen.collect::<Result<Vec<_>>>()?;
            let y = Tensor::cat(&seen.iter().collect::<Vec<_>>(), 1)?;
            if self.residual { y.add(x) } else { Ok(y) }
        })
    }
}
