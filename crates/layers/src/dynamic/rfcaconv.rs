//! Coordinate attention on the windows of a convolution: every row and every column of every window has a factor.
//!
//! ```text
//! F = relu(bn(conv_kxk(x)))                   k*k features a channel and window, laid out as k x k blocks
//! f = hardswish(bn1(conv1([mean_w(F), mean_h(F)])))
//! y = conv(F * sigmoid(conv_h(f of the rows)) * sigmoid(conv_w(f of the columns)), stride k)
//! ```
//!
//! Paper: Zhang, Liu, Zhang, Song, Ding, *RFAConv: Innovating Spatial Attention and Standard Convolutional Operation*,
//! 2023, arXiv:2304.03198. Departures: the blocks are channels of a 1x1 convolution, with the same result.
//! Parameters: `C*k^4 + 2*C*k^2 + 3*C*m + 3*m + 2*C + C*out*k^2 + out`, `m = max(8, C / reduction)`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::receptive_field::{ReceptiveField, Windows};
use crate::util::at_least_one;
use crate::{CoordAttention, CoordAttentionConfig, Layer, Module, VarBuilder, Visitor};

const LAYER: &str = "RfCaConv";

/// How to build an [`RfCaConv`].
#[derive(Clone, Debug)]
pub struct RfCaConvConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Size of the windows, odd.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// How many times fewer channels the attention's bottleneck has, which are 8 at least.
    pub reduction: usize,
}

impl RfCaConvConfig {
    /// 3x3 windows, stride 1, reduction 32.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: 3,
            stride: 1,
            reduction: 32,
        }
    }

    /// Sets the size of the windows.
    #[must_use]
    pub fn kernel(mut self, kernel: usize) -> Self {
        self.kernel = kernel;
        self
    }

    /// Sets the step between windows.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Builds the module under the released code's names: `generate.{0,1}`, `conv1`, `bn1`, `conv_h`, `conv_w`, `conv.0`.
    ///
    /// # Errors
    /// A number is 0 or the kernel is even.
    pub fn build(&self, vb: &VarBuilder) -> Result<RfCaConv> {
        at_least_one(LAYER, "reduction", self.reduction).map_err(|e| e.at(vb.path()))?;
        let windows = Windows {
            layer: LAYER,
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            kernel: self.kernel,
            stride: self.stride,
        };
        Ok(RfCaConv {
            path: Arc::clone(vb.path()),
            field: ReceptiveField::build(&windows, "generate", vb)?,
            attention: CoordAttentionConfig::new(self.in_channels)
                .rd_channels((self.in_channels / self.reduction).max(8))
                .build(vb)?,
        })
    }
}

/// The convolution with coordinate attention on its windows.
#[derive(Debug)]
pub struct RfCaConv {
    path: Arc<str>,
    field: ReceptiveField,
    attention: CoordAttention,
}

impl Layer for RfCaConv {
    fn visit(&self, v: &mut dyn Visitor) {
        self.field.visit(v);
        self.attention.visit(v);
    }
}

impl Module for RfCaConv {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [_, _, _, _] = x.dims_array(LAYER)?;
            let features = self.field.features(x)?;
            let [n, c, k, _, h, w] = features.dims_array(LAYER)?;
            // Row `i` of window `j` is row `j*k + i` of the larger map, and columns likewise.
            let rows = features.mean(&[3, 5], false)?.transpose(2, 3)?;
            let columns = features.mean(&[2, 4], false)?.transpose(2, 3)?;
            let rows = rows.reshape([n, c, h * k, 1])?;
            let columns = columns.reshape([n, c, 1, w * k])?;
            let [rows, columns] = self.attention.gates(&rows, &columns)?;
            let rows = rows.reshape([n, c, h, k])?.transpose(2, 3)?;
            let columns = columns.reshape([n, c, w, k])?.transpose(2, 3)?;
            let weighed = features
                .mul(&rows.reshape([n, c, k, 1, h, 1])?)?
                .mul(&columns.reshape([n, c, 1, k, 1, w])?)?;
            self.field.convolve(&weighed)
        })
    }
}
