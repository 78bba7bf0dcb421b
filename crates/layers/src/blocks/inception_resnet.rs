//! The blocks of Inception-ResNet-v2: Inception branches, joined by a 1x1 convolution into a small
//! correction of the input.
//!
//! ```text
//! y = relu(x + scale * conv1([branches of x]))      conv1 with a bias, no batch norm
//!
//! Block35  [1, 1-3, 1-3-3]            scale 0.17
//! Block17  [1, 1-(1x7)-(7x1)]         scale 0.10
//! Block8   [1, 1-(1x3)-(3x1)]         scale 0.20; the last of them: scale 1, no ReLU
//! ```
//!
//! Paper: Szegedy, Ioffe, Vanhoucke, Alemi, *Inception-v4, Inception-ResNet and the Impact of Residual
//! Connections on Learning*, AAAI 2017, arXiv:1602.07261. Departures: none.
//! Parameters: of each convolution of a branch `in*out*kh*kw + 2*out`, and `joined*C + C`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::chain::{Chain, Style};
use crate::util::{at_least_one, invalid};
use crate::{
    Conv2d, Conv2dConfig, Init, Layer, Module, Parallel, Place, Slot, VarBuilder, Visitor,
};

/// Which block of Inception-ResNet-v2, after the size of its maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InceptionResNetKind {
    /// 3x3 convolutions; 320 channels in the network.
    Block35,
    /// Rows and columns of 7; 1088 channels.
    Block17,
    /// Rows and columns of 3; 2080 channels.
    Block8,
}

/// How to build an [`InceptionResNetBlock`].
#[derive(Clone, Debug)]
pub struct InceptionResNetConfig {
    /// Number of channels.
    pub channels: usize,
    /// Which block.
    pub kind: InceptionResNetKind,
    /// Factor of the correction.
    pub scale: f64,
    /// Whether a ReLU follows the sum.
    pub relu: bool,
    /// What the widths of the branches are divided by, for narrower networks.
    pub narrow: usize,
}

impl InceptionResNetConfig {
    /// The network's scale for the kind, and a ReLU.
    #[must_use]
    pub fn new(channels: usize, kind: InceptionResNetKind) -> Self {
        let scale = match kind {
            InceptionResNetKind::Block35 => 0.17,
            InceptionResNetKind::Block17 => 0.10,
            InceptionResNetKind::Block8 => 0.20,
        };
        Self {
            channels,
            kind,
            scale,
            relu: true,
            narrow: 1,
        }
    }

    /// Divides the widths of the branches by this number, rounding down, to 1 at least.
    #[must_use]
    pub fn narrow(mut self, by: usize) -> Self {
        self.narrow = by;
        self
    }

    /// Sets the factor of the correction.
    #[must_use]
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self
    }

    /// Adds or leaves out the ReLU; the network's last block has none.
    #[must_use]
    pub fn relu(mut self, relu: bool) -> Self {
        self.relu = relu;
        self
    }

    /// Builds the block under timm's names: `branch0`, `branch1.0`, ..., and `conv2d`.
    ///
    /// # Errors
    /// A number is 0, or the scale is not finite.
    pub fn build(&self, vb: &VarBuilder) -> Result<InceptionResNetBlock> {
        let check = || {
            at_least_one("InceptionResNet", "narrow", self.narrow)?;
            if self.scale.is_finite() {
                return Ok(());
            }
            let rule = "it must be finite";
            Err(invalid("InceptionResNet", "scale", self.scale, rule))
        };
        check().map_err(|e| e.at(vb.path()))?;
        let style = Style {
            eps: 1e-3,
            bias: false,
            init: Init::KaimingUniform,
        };
        // Width and kernel of each convolution of each branch.
        let branches: &[&[(usize, [usize; 2])]] = match self.kind {
            InceptionResNetKind::Block35 => &[
                &[(32, [1, 1])],
                &[(32, [1, 1]), (32, [3, 3])],
                &[(32, [1, 1]), (48, [3, 3]), (64, [3, 3])],
            ],
            InceptionResNetKind::Block17 => &[
                &[(192, [1, 1])],
                &[(128, [1, 1]), (160, [1, 7]), (192, [7, 1])],
            ],
            InceptionResNetKind::Block8 => &[
                &[(192, [1, 1])],
                &[(192, [1, 1]), (224, [1, 3]), (256, [3, 1])],
            ],
        };
        let (mut all, mut joined) = (Parallel::new(), 0);
        for (i, convs) in branches.iter().enumerate() {
            let name = format!("branch{i}");
            let mut chain = Chain::new(vb, &style, self.channels);
            for (j, &(width, kernel)) in convs.iter().enumerate() {
                let width = (width / self.narrow).max(1);
                // A branch of one convolution has its name.
                chain = match convs.len() {
                    1 => chain.conv(&name, width, kernel)?,
                    _ => chain.conv(&format!("{name}.{j}"), width, kernel)?,
                };
            }
            joined += chain.channels();
            all = all.push("", chain.end());
        }
        Ok(InceptionResNetBlock {
            path: Arc::clone(vb.path()),
            branches: all,
            join: Conv2dConfig::new(joined, self.channels, 1).build(&(vb / "conv2d"))?,
            slot: Slot::new(Place::Standard, self.channels, vb),
            scale: self.scale,
            relu: self.relu,
        })
    }
}

/// Inception branches as a correction of the input.
#[derive(Debug)]
pub struct InceptionResNetBlock {
    path: Arc<str>,
    branches: Parallel,
    join: Conv2d,
    slot: Slot,
    scale: f64,
    relu: bool,
}

impl InceptionResNetBlock {
    /// The place for attention: on the correction, before its factor.
    #[must_use]
    pub fn slot(&self) -> &Slot {
        &self.slot
    }
}

impl Layer for InceptionResNetBlock {
    fn visit(&self, v: &mut dyn Visitor) {
        self.branches.visit(v);
        v.child("conv2d", &self.join);
        self.slot.visit(v);
    }
}

impl Module for InceptionResNetBlock {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            x.dims_array::<4>("InceptionResNet")?;
            let correction = self.join.forward(&self.branches.forward(x)?)?;
            let correction = self.slot.forward(&correction)?.mul_scalar(self.scale)?;
            if self.relu {
                x.add_relu(&correction)
            } else {
                x.add(&correction)
            }
        })
    }
}
