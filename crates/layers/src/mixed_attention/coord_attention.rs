//! Coordinate attention: a gate for every row and a gate for every column, so that the attention
//! knows where things are.
//!
//! ```text
//! f = hardswish(bn(conv1([mean_w(x), mean_h(x)])))     rows and columns as one long axis
//! y = x * sigmoid(conv_h(f of the rows)) * sigmoid(conv_w(f of the columns))
//! ```
//!
//! Paper: Hou, Zhou, Feng, *Coordinate Attention for Efficient Mobile Network Design*, CVPR 2021,
//! arXiv:2103.02907. Departures: none.
//! Parameters: `3*C*m + 2*m`, and `m + 2*C` with biases; `m = max(8, C/32)`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::probe::{self, ProbeKind};
use crate::util::{at_least_one, make_divisible};
use crate::{
    Activation, Conv2d, Conv2dConfig, ConvNormAct, ConvNormActConfig, Layer, Module, VarBuilder,
    Visitor,
};

const LAYER: &str = "CoordAttention";

/// How to build a [`CoordAttention`].
#[derive(Clone, Debug)]
pub struct CoordAttentionConfig {
    /// Number of channels.
    pub channels: usize,
    /// Width of the bottleneck, instead of one from the channels.
    pub rd_channels: Option<usize>,
    /// Whether the convolutions have biases.
    pub bias: bool,
    timm: bool,
}

impl CoordAttentionConfig {
    /// The released code's: a width of `max(8, C/32)`, biases.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            rd_channels: None,
            bias: true,
            timm: false,
        }
    }

    /// timm's: a width of `C/24`, rounded to a multiple of 8, no biases.
    #[must_use]
    pub fn timm(channels: usize) -> Self {
        Self {
            bias: false,
            timm: true,
            ..Self::new(channels)
        }
    }

    /// Sets the width of the bottleneck.
    #[must_use]
    pub fn rd_channels(mut self, width: usize) -> Self {
        self.rd_channels = Some(width);
        self
    }

    /// Adds or leaves out the biases.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    fn width(&self) -> Result<usize> {
        at_least_one(LAYER, "channels", self.channels)?;
        match self.rd_channels {
            Some(width) => at_least_one(LAYER, "rd_channels", width).map(|()| width),
            None if self.timm => make_divisible(self.channels as f64 / 24.0, 8, 0.0),
            None => Ok((self.channels / 32).max(8)),
        }
    }

    /// Builds the module: `conv1`, `bn1`, `conv_h`, `conv_w`, as in the released code and in timm.
    ///
    /// # Errors
    /// A number is 0.
    pub fn build(&self, vb: &VarBuilder) -> Result<CoordAttention> {
        let width = self.width().map_err(|e| e.at(vb.path()))?;
        let conv = |i, o, name| {
            Conv2dConfig::new(i, o, 1)
                .bias(self.bias)
                .build(&(vb / name))
        };
        let reduce = ConvNormActConfig::new(Conv2dConfig::new(self.channels, width, 1))
            .conv_bias(self.bias)
            .act(Activation::Hardswish);
        Ok(CoordAttention {
            path: Arc::clone(vb.path()),
            reduce: reduce.names("conv1", "bn1").build(vb)?,
            conv_h: conv(width, self.channels, "conv_h")?,
            conv_w: conv(width, self.channels, "conv_w")?,
        })
    }
}

/// Coordinate attention. Emits the product of its gates as [`ProbeKind::FullGate`].
#[derive(Debug)]
pub struct CoordAttention {
    path: Arc<str>,
    reduce: ConvNormAct,
    conv_h: Conv2d,
    conv_w: Conv2d,
}

impl CoordAttention {
    /// The factors of rows `[N, C, H, 1]` and of columns `[N, C, 1, W]`, from the means of both in these shapes.
    ///
    /// # Errors
    /// The means are no such, or memory is out.
    pub fn gates(&self, rows: &Tensor, columns: &Tensor) -> Result<[Tensor; 2]> {
        scope(&self.path, || {
            let [_, _, h, _] = rows.dims_array(LAYER)?;
            let [_, _, _, w] = columns.dims_array(LAYER)?;
            let both = Tensor::cat(&[rows, &columns.transpose(2, 3)?], 2)?;
            let f = self.reduce.forward(&both)?;
            let columns = f.narrow(2, h, w)?.transpose(2, 3)?;
            Ok([
                self.conv_h.forward(&f.narrow(2, 0, h)?)?.sigmoid()?,
                self.conv_w.forward(&columns)?.sigmoid()?,
            ])
        })
    }
}

impl Layer for CoordAttention {
    fn visit(&self, v: &mut dyn Visitor) {
        self.reduce.visit(v);
        v.child("conv_h", &self.conv_h);
        v.child("conv_w", &self.conv_w);
    }
}

impl Module for CoordAttention {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [_, _, _, _] = x.dims_array(LAYER)?;
            let [rows, columns] = self.gates(&x.mean(&[3], true)?, &x.mean(&[2], true)?)?;
            if probe::is_recording() {
                probe::emit(&self.path, ProbeKind::FullGate, &columns.mul(&rows)?);
            }
            x.mul(&columns)?.mul(&rows)
        })
    }
}
