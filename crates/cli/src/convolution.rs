//! A 2-D convolution of either direction on the command line.

use std::num::NonZeroUsize;

use clap::Args;
use striate::kernels::conv_transpose2d::ConvTranspose2dGeometry;
use striate::kernels::conv2d::Conv2dGeometry;
use striate::kernels::geometry::Layout;

use crate::args::count;
use crate::dims;
use crate::failure::Failure;

/// Channels from which on tensors are kept channels-last.
const CHANNELS_LAST_FROM: usize = 8;

#[derive(Args, Clone, Debug)]
pub(crate) struct Convolution {
    /// The input, NxCxHxW
    #[arg(value_name = "NxCxHxW", value_parser = dims::batch)]
    input: [usize; 4],

    /// Output channels
    #[arg(long, value_name = "CHANNELS", value_parser = count)]
    out: NonZeroUsize,

    /// Kernel size, N or HxW
    #[arg(long, value_parser = dims::pair)]
    kernel: [usize; 2],

    /// Step between outputs, N or HxW
    #[arg(long, default_value = "1", value_parser = dims::pair)]
    stride: [usize; 2],

    /// Zeros on each side, N or HxW
    #[arg(long, default_value = "0", value_parser = dims::padding)]
    padding: [usize; 2],

    /// Step between taps, N or HxW
    #[arg(long, default_value = "1", value_parser = dims::pair)]
    dilation: [usize; 2],

    /// Groups of channels
    #[arg(long, default_value = "1", value_parser = count)]
    groups: NonZeroUsize,
}

impl Convolution {
    /// What the kernels call it; an impossible one is wrong usage.
    pub(crate) fn geometry(&self) -> Result<Conv2dGeometry, Failure> {
        let [n, c, h, w] = self.input;
        let [ph, pw] = self.padding;
        Conv2dGeometry::new(
            n,
            c,
            [h, w],
            self.out.get(),
            self.kernel,
            self.stride,
            [ph, ph, pw, pw],
            self.dilation,
            self.groups.get(),
        )
        .map_err(Failure::usage)
    }

    /// The layout that a tensor with its channels has.
    pub(crate) fn layout(&self) -> Layout {
        if self.input[1] >= CHANNELS_LAST_FROM {
            Layout::Nhwc
        } else {
            Layout::Nchw
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TransposedConvolution {
    #[command(flatten)]
    convolution: Convolution,

    /// Rows and columns added below and to the right, N or HxW
    #[arg(long, default_value = "0", value_parser = dims::padding)]
    output_padding: [usize; 2],
}

impl TransposedConvolution {
    /// What the kernels call it; an impossible one is wrong usage.
    pub(crate) fn geometry(&self) -> Result<ConvTranspose2dGeometry, Failure> {
        let c = &self.convolution;
        let [n, channels, h, w] = c.input;
        let [ph, pw] = c.padding;
        ConvTranspose2dGeometry::new(
            n,
            channels,
            [h, w],
            c.out.get(),
            c.kernel,
            c.stride,
            [ph, ph, pw, pw],
            self.output_padding,
            c.dilation,
            c.groups.get(),
        )
        .map_err(Failure::usage)
    }
}
