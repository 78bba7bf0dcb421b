//! Diverse branch block: a convolution that trains with a 1x1, a 1x1 before a second one, and a 1x1
//! before a mean beside it.
//!
//! ```text
//! y = bn(conv_kxk(x)) + bn(conv_1x1(x)) + bn(conv_kxk(bnpad((I + D) x))) + bn(mean_kxk(bnpad(conv_1x1(x))))
//!   = conv_kxk'(x) + b'                                                        after folding
//! ```
//! `bnpad` is a batch norm whose map then gets a border of what the norm, with its running statistics,
//! makes of 0: so a 1x1 and a kxk in a row fold at the border too. `D` starts at 0; with other than `C`
//! channels inside, a plain 1x1 stands for `I + D`. A depthwise block lacks the
//! branch of the 1x1 alone, and its mean is of `x` itself.
//!
//! Paper: Ding, Zhang, Han, Ding, *Diverse Branch Block: Building a Convolution as an Inception-like
//! Unit*, CVPR 2021, arXiv:2103.13425.
//! Departures: gradients also flow through the border, whose value the released code detaches.
//! Parameters, with `M = C` inside: `k*k*C*O + C*O + C*C + k*k*C*O + C*O + 10*O + 2*C`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Conv2dOptions, Divisor, PadMode, PoolOptions, Result, Tensor};

use super::fold::{Kernel, folding};
use crate::util::{invalid, odd};
use crate::{
    Activation, BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvNormAct, ConvNormActConfig,
    Init, Layer, Module, VarBuilder, Visitor,
};

/// How to build a [`DiverseBranchBlock`].
#[derive(Clone, Debug)]
pub struct DiverseBranchBlockConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Size of the kernel, odd.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Groups of all convolutions.
    pub groups: usize,
    /// Channels between the 1x1 and the kxk; as many as the input has if not set, twice as many in
    /// depthwise blocks.
    pub internal_channels: Option<usize>,
}

impl DiverseBranchBlockConfig {
    /// Kernel 3, stride 1, one group.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: 3,
            stride: 1,
            groups: 1,
            internal_channels: None,
        }
    }

    /// Sets the size of the kernel.
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

    /// Sets the groups of all convolutions.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Sets the channels between the 1x1 and the kxk.
    #[must_use]
    pub fn internal_channels(mut self, channels: usize) -> Self {
        self.internal_channels = Some(channels);
        self
    }

    /// Builds the block under the released code's names: `dbb_origin`, `dbb_1x1`, `dbb_avg`,
    /// `dbb_1x1_kxk`.
    ///
    /// # Errors
    /// A number is 0, the kernel is even, the groups do not divide the channels, or a depthwise block
    /// changes their number.
    pub fn build(&self, vb: &VarBuilder) -> Result<DiverseBranchBlock> {
        const LAYER: &str = "DiverseBranchBlock";
        let [i, o, k] = [self.in_channels, self.out_channels, self.kernel];
        let depthwise = self.groups == o;
        let check = || {
            odd(LAYER, "kernel", k)?;
            if depthwise && i != o {
                let rule = format!("a depthwise block keeps the {i} channels");
                return Err(invalid(LAYER, "out_channels", o, rule));
            }
            Ok(())
        };
        check().map_err(|e| e.at(vb.path()))?;
        let conv = |i, o, kernel: usize| {
            let config = Conv2dConfig::new(i, o, kernel);
            config.groups(self.groups).bias(false)
        };
        let plain = |kernel, name| {
            let conv = conv(i, o, kernel).stride(self.stride).same_padding();
            let config = ConvNormActConfig::new(conv).act(Activation::Identity);
            config.build(&(vb / name))
        };
        let origin = plain(k, "dbb_origin")?;
        let vb_avg = vb / "dbb_avg";
        let mixed = (!depthwise).then(|| -> Result<_> {
            let small = plain(1, "dbb_1x1")?;
            let first = PaddedMix {
                name: "conv",
                conv: conv(i, o, 1).build(&(&vb_avg / "conv"))?,
                keeps_input: false,
                norm_name: "bn",
                norm: BatchNormConfig::new(o).build_2d(&(&vb_avg / "bn" / "bn"))?,
                padding: k / 2,
                groups: self.groups,
            };
            Ok(Mixed { small, first })
        });
        let width = if depthwise { i.saturating_mul(2) } else { i };
        let width = self.internal_channels.unwrap_or(width);
        let vb_deep = vb / "dbb_1x1_kxk";
        let keeps_input = width == i;
        let (name, init) = if keeps_input {
            ("idconv1", Init::ZEROS)
        } else {
            ("conv1", Init::KaimingUniform)
        };
        let deep = ConvNormActConfig::new(conv(width, o, k).stride(self.stride))
            .act(Activation::Identity)
            .names("conv2", "bn2");
        Ok(DiverseBranchBlock {
            path: Arc::clone(vb.path()),
            origin,
            mixed: mixed.transpose()?,
            avg_norm: BatchNormConfig::new(o).build_2d(&(&vb_avg / "avgbn"))?,
            first: PaddedMix {
                name,
                conv: conv(i, width, 1).init(init).build(&(&vb_deep / name))?,
                keeps_input,
                norm_name: "bn1",
                norm: BatchNormConfig::new(width).build_2d(&(&vb_deep / "bn1" / "bn"))?,
                padding: k / 2,
                groups: self.groups,
            },
            deep: deep.build(&vb_deep)?,
            config: self.clone(),
        })
    }
}

/// A 1x1 convolution and a batch norm whose map gets the border that lets it fold.
#[derive(Debug)]
struct PaddedMix {
    name: &'static str,
    conv: Conv2d,
    /// Whether the weight is what comes on top of the identity.
    keeps_input: bool,
    norm_name: &'static str,
    norm: BatchNorm2d,
    padding: usize,
    groups: usize,
}

impl PaddedMix {
    /// The weight of the 1x1 convolution.
    fn weight(&self) -> Result<Tensor> {
        let weight = self.conv.weight().tensor();
        if !self.keeps_input {
            return Ok(weight);
        }
        let channels = weight.shape()[0];
        weight.add(&Kernel::identity(channels, self.groups, 1, weight.dtype())?.weight)
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let weight = self.weight()?;
        let conv = |padding: usize| {
            let options = Conv2dOptions::default().padding([padding; 2]);
            x.conv2d(&weight, None, options.groups(self.groups))
        };
        let p = self.padding;
        if p == 0 || !self.norm.training() {
            // In evaluation the norm makes the border of the zeros around the map.
            return self.norm.forward(&conv(p)?);
        }
        let inside = self.norm.forward(&conv(0)?)?;
        let [_, _, h, w] = inside.dims4()?;
        let around = Tensor::ones([1, 1, h, w], inside.dtype())?;
        let around = around.pad2d([p; 4], PadMode::Zeros)?.affine(-1.0, 1.0)?;
        let border = self.norm.of_zero()?.mul(&around)?;
        inside.pad2d([p; 4], PadMode::Zeros)?.add(&border)
    }

    fn folded(&self) -> Result<Kernel> {
        let weight = self.weight()?;
        let bias = Tensor::zeros(weight.shape()[0], weight.dtype())?;
        Kernel { weight, bias }.then_affine(self.norm.scale_and_shift(None, 1.0)?)
    }
}

impl Layer for PaddedMix {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child(self.name, &self.conv);
        // The released code wraps the norm.
        v.child(&format!("{}.bn", self.norm_name), &self.norm);
    }
}

/// What depthwise blocks lack.
#[derive(Debug)]
struct Mixed {
    /// The 1x1 branch.
    small: ConvNormAct,
    /// What is averaged.
    first: PaddedMix,
}

/// Four branches that fold into one convolution.
#[derive(Debug)]
pub struct DiverseBranchBlock {
    path: Arc<str>,
    origin: ConvNormAct,
    mixed: Option<Mixed>,
    avg_norm: BatchNorm2d,
    first: PaddedMix,
    deep: ConvNormAct,
    config: DiverseBranchBlockConfig,
}

impl DiverseBranchBlock {
    /// The one convolution, with a bias, that the block is in evaluation.
    ///
    /// # Errors
    /// Memory is out.
    pub fn fold(&self) -> Result<Conv2d> {
        folding(|| {
            let (k, groups) = (self.config.kernel, self.config.groups);
            let mut sum = Kernel::from(self.origin.folded()?);
            let mean = Kernel::mean(self.config.out_channels, groups, k, sum.weight.dtype())?;
            let mean = match &self.mixed {
                Some(mixed) => {
                    sum = sum.plus(&Kernel::from(mixed.small.folded()?).widened(k)?)?;
                    mixed.first.folded()?.then(&mean, groups)?
                }
                None => mean,
            };
            sum = sum.plus(&mean.then_affine(self.avg_norm.scale_and_shift(None, 1.0)?)?)?;
            let deep = Kernel::from(self.deep.folded()?);
            sum = sum.plus(&self.first.folded()?.then(&deep, groups)?)?;
            sum.into_conv(self.config.stride, groups)
        })
    }
}

impl Layer for DiverseBranchBlock {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("dbb_origin", &self.origin);
        if let Some(mixed) = &self.mixed {
            v.child("dbb_avg", &mixed.first);
        }
        v.child("dbb_avg.avgbn", &self.avg_norm);
        if let Some(mixed) = &self.mixed {
            v.child("dbb_1x1", &mixed.small);
        }
        v.child("dbb_1x1_kxk", &self.first);
        v.child("dbb_1x1_kxk", &self.deep);
    }
}

impl Module for DiverseBranchBlock {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            x.dims_array::<4>("DiverseBranchBlock")?;
            let mut sum = self.origin.forward(x)?;
            let window = PoolOptions::new(self.config.kernel).stride(self.config.stride);
            let mean = match &self.mixed {
                Some(mixed) => {
                    sum = mixed.small.forward_onto(&sum, Activation::Identity, x)?;
                    let first = mixed.first.forward(x)?;
                    first.avg_pool2d(window, Divisor::IncludePad)?
                }
                None => {
                    let window = window.padding(self.config.kernel / 2);
                    x.avg_pool2d(window, Divisor::IncludePad)?
                }
            };
            let sum = sum.add(&self.avg_norm.forward(&mean)?)?;
            let first = self.first.forward(x)?;
            self.deep.forward_onto(&sum, Activation::Identity, &first)
        })
    }
}
