//! The residual block of two 3x3 convolutions, with a slot for attention.
//!
//! Paper: He, Zhang, Ren, Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016,
//! arXiv:1512.03385.

use striate_layers::{
    Activation, BatchNormConfig, Conv2dConfig, Init, Place, SePosition, Sequential, Slot,
    VarBuilder,
};
use striate_tensor::Result;

use crate::Attention;
use crate::residual::{Residual, Skip};

/// How to build a block.
#[derive(Clone, Debug)]
pub(crate) struct BasicBlockConfig<'a> {
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) stride: usize,
    pub(crate) attention: &'a Attention,
}

/// A 3x3 convolution without a bias, as every one in these networks.
pub(crate) fn conv3x3(in_channels: usize, out_channels: usize, stride: usize) -> Conv2dConfig {
    Conv2dConfig::new(in_channels, out_channels, 3)
        .stride(stride)
        .padding(1)
        .bias(false)
        .init(Init::KaimingNormal)
}

impl BasicBlockConfig<'_> {
    pub(crate) fn build(&self, vb: &VarBuilder) -> Result<Residual> {
        let (i, o) = (self.in_channels, self.out_channels);
        let norm = |name: &str| BatchNormConfig::new(o).build_2d(&(vb / name));
        let branch = match self.attention {
            Attention::Sk(slot) => {
                let conv = slot.config(i, o).stride(self.stride);
                Sequential::new().push_named("conv1", conv.build(&(vb / "conv1"))?)
            }
            _ => Sequential::new()
                .push_named("conv1", conv3x3(i, o, self.stride).build(&(vb / "conv1"))?)
                .push_named("bn1", norm("bn1")?)
                .push_named("", Activation::Relu),
        };
        let middle = Slot::new(Place::Conv3x3, o, vb);
        let branch = branch
            .push_named("", middle.clone())
            .push_named("conv2", conv3x3(o, o, 1).build(&(vb / "conv2"))?)
            .push_named("bn2", norm("bn2")?);
        let skip = self.skip(&(vb / "downsample"))?;
        let block = Residual::new([i, o], branch, skip, Activation::Relu, vb);
        let slot = |place| block.slot(place).unwrap_or(&middle);
        match self.attention {
            Attention::None | Attention::Sk(_) => {}
            Attention::Se(config) => {
                let slot = slot(match config.position {
                    SePosition::Standard => Place::Standard,
                    SePosition::Pre => Place::Pre,
                    SePosition::Post => Place::Post,
                    SePosition::Identity => Place::Identity,
                    SePosition::Conv3x3 => Place::Conv3x3,
                });
                let se = config.config(slot.channels()).build(&(vb / "se"))?;
                slot.fill("se", Box::new(se))?;
            }
            Attention::Cbam(config) => {
                let cbam = config.config(o).build(&(vb / "cbam"))?;
                slot(Place::Standard).fill("cbam", Box::new(cbam))?;
            }
        }
        Ok(block)
    }

    fn skip(&self, vb: &VarBuilder) -> Result<Skip> {
        if self.in_channels == self.out_channels && self.stride == 1 {
            return Ok(Skip::Identity);
        }
        let conv = Conv2dConfig::new(self.in_channels, self.out_channels, 1)
            .stride(self.stride)
            .bias(false)
            .init(Init::KaimingNormal)
            .build(&(vb / 0))?;
        let norm = BatchNormConfig::new(self.out_channels).build_2d(&(vb / 1))?;
        Ok(Skip::Projection(
            "downsample",
            Sequential::new().push(conv).push(norm),
        ))
    }
}
