//! Row-column convolution: a column of taps, then a row of taps, instead of a square.
//!
//! `y = conv_1xk(conv_kx1(x)) + b`
//!
//! A kernel that is a column times a row is computed exactly: [`RankOne`](super::RankOne) takes it
//! apart. There is nothing between the two convolutions.
//!
//! Paper: Rigamonti, Sironi, Lepetit, Fua, *Learning Separable Filters*, CVPR 2013; Szegedy et al.,
//! *Rethinking the Inception Architecture*, CVPR 2016, arXiv:1512.00567, for asymmetric pairs.
//! Departures: none.
//! Parameters: `k*C*M + k*M*O`, and `O` with a bias; `M` is the width between them.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::util::odd;
use crate::{Conv2d, Conv2dConfig, Layer, Module, VarBuilder, Visitor};

/// How to build a [`RowColConv`].
#[derive(Clone, Debug)]
pub struct RowColConvConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Number of taps of the column and of the row, odd.
    pub kernel: usize,
    /// Channels between the two; those of the output if not set.
    pub mid_channels: Option<usize>,
    /// Stride.
    pub stride: usize,
    /// Groups of both convolutions.
    pub groups: usize,
    /// Whether the second convolution has a bias; the first has none.
    pub bias: bool,
}

impl RowColConvConfig {
    /// Three taps each, stride 1, a bias.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: 3,
            mid_channels: None,
            stride: 1,
            groups: 1,
            bias: true,
        }
    }

    /// Sets the number of taps of each.
    #[must_use]
    pub fn kernel(mut self, kernel: usize) -> Self {
        self.kernel = kernel;
        self
    }

    /// Sets the channels between the two.
    #[must_use]
    pub fn mid_channels(mut self, channels: usize) -> Self {
        self.mid_channels = Some(channels);
        self
    }

    /// Sets the stride.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the groups of both; as many as there are channels filters each channel by itself.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Adds or leaves out the bias.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Builds the module: `conv_col` and `conv_row`.
    ///
    /// # Errors
    /// A number is 0, the kernel is even, or the groups do not divide the channels.
    pub fn build(&self, vb: &VarBuilder) -> Result<RowColConv> {
        odd("RowColConv", "kernel", self.kernel).map_err(|e| e.at(vb.path()))?;
        let (k, s) = (self.kernel, self.stride);
        let width = self.mid_channels.unwrap_or(self.out_channels);
        let column = Conv2dConfig::new(self.in_channels, width, [k, 1])
            .stride([s, 1])
            .same_padding()
            .groups(self.groups)
            .bias(false);
        let row = Conv2dConfig::new(width, self.out_channels, [1, k])
            .stride([1, s])
            .same_padding()
            .groups(self.groups)
            .bias(self.bias);
        Ok(RowColConv {
            path: Arc::clone(vb.path()),
            column: column.build(&(vb / "conv_col"))?,
            row: row.build(&(vb / "conv_row"))?,
        })
    }
}

/// A `k x 1` and a `1 x k` convolution.
#[derive(Debug)]
pub struct RowColConv {
    path: Arc<str>,
    column: Conv2d,
    row: Conv2d,
}

impl Layer for RowColConv {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("conv_col", &self.column);
        v.child("conv_row", &self.row);
    }
}

impl Module for RowColConv {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || self.row.forward(&self.column.forward(x)?))
    }
}
