//! Blur pooling: a low-pass filter before pixels are dropped, so that what is left hardly depends on which are.
//!
//! `y = sum over k of a_k x[stride * i + k]` along each axis; `a` is a row of Pascal's triangle over its sum.
//!
//! Paper: Zhang, *Making Convolutional Networks Shift-Invariant Again*, ICML 2019, arXiv:1904.11486.
//! Departures: none; written from the formula. timm's filters of even size are padded by one more on top and on the left,
//! and have another size of output.
//! Parameters: none; the filter is a buffer `filt`, as in the paper's implementation, which weights may lack. It says what
//! the configuration says, and nothing is computed from it.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{BlurOptions, Error, PadMode, Result, Tensor};

use crate::util::{at_least_one, invalid};
use crate::{Buffer, Layer, Module, VarBuilder, Visitor};

const LAYER: &str = "BlurPool";

/// How to build a [`BlurPool`].
#[derive(Clone, Debug)]
pub struct BlurPoolConfig {
    /// Number of channels.
    pub channels: usize,
    /// Taps of the filter along an axis, 1 to 7.
    pub filt_size: usize,
    /// Stride along each axis.
    pub stride: usize,
    /// What is around the map.
    pub pad_mode: PadMode,
    /// Padding on each side beside that which keeps the map's size at stride 1.
    pub pad_off: usize,
}

impl BlurPoolConfig {
    /// Four taps, stride 2, reflected at the borders: the paper's choice for images.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            filt_size: 4,
            stride: 2,
            pad_mode: PadMode::Reflect,
            pad_off: 0,
        }
    }

    /// Sets the number of taps along an axis; 3 is usual for sequences, and timm's choice.
    #[must_use]
    pub fn filt_size(mut self, taps: usize) -> Self {
        self.filt_size = taps;
        self
    }

    /// Sets the stride.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets what is around the map.
    #[must_use]
    pub fn pad_mode(mut self, mode: PadMode) -> Self {
        self.pad_mode = mode;
        self
    }

    /// Sets the additional padding on each side.
    #[must_use]
    pub fn pad_off(mut self, pixels: usize) -> Self {
        self.pad_off = pixels;
        self
    }

    /// Builds the module for images: a buffer `filt [C, 1, k, k]`.
    ///
    /// # Errors
    /// A number is 0, or there are more than 7 taps.
    pub fn build(&self, vb: &VarBuilder) -> Result<BlurPool> {
        self.build_along(&[self.filt_size; 2], vb)
    }

    /// Builds the module for sequences `[N, C, L]`: a buffer `filt [C, 1, k]`.
    ///
    /// # Errors
    /// As [`BlurPoolConfig::build`].
    pub fn build_1d(&self, vb: &VarBuilder) -> Result<BlurPool> {
        self.build_along(&[self.filt_size], vb)
    }

    fn build_along(&self, taps: &[usize], vb: &VarBuilder) -> Result<BlurPool> {
        self.check().map_err(|e| e.at(vb.path()))?;
        let row = binomials(self.filt_size);
        let filter: Vec<f64> = match taps.len() {
            1 => row,
            _ => row
                .iter()
                .flat_map(|a| row.iter().map(move |b| a * b))
                .collect(),
        };
        let shape = [&[self.channels, 1], taps].concat();
        let filter = Tensor::from_vec(filter.repeat(self.channels), shape.as_slice())?;
        Ok(BlurPool {
            path: Arc::clone(vb.path()),
            filt: vb.constant("filt", &filter)?,
            axes: taps.len(),
            config: self.clone(),
        })
    }

    fn check(&self) -> Result<()> {
        at_least_one(LAYER, "channels", self.channels)?;
        at_least_one(LAYER, "stride", self.stride)?;
        if !(1..=7).contains(&self.filt_size) {
            let rule = "a filter has 1 to 7 taps";
            return Err(invalid(LAYER, "filt_size", self.filt_size, rule));
        }
        if self.pad_off > 1 << 16 {
            let rule = "it must be a number of pixels";
            return Err(invalid(LAYER, "pad_off", self.pad_off, rule));
        }
        Ok(())
    }
}

/// A row of Pascal's triangle, over its sum.
fn binomials(count: usize) -> Vec<f64> {
    let mut row = vec![1.0];
    for _ in 1..count {
        let pairs = row.windows(2).map(|pair| pair[0] + pair[1]);
        row = [1.0].into_iter().chain(pairs).chain([1.0]).collect();
    }
    let sum: f64 = row.iter().sum();
    row.into_iter().map(|a| a / sum).collect()
}

/// A depthwise low-pass filter with a stride.
#[derive(Debug)]
pub struct BlurPool {
    path: Arc<str>,
    filt: Buffer,
    /// How many of a map's axes are blurred: 1 or 2.
    axes: usize,
    config: BlurPoolConfig,
}

impl Layer for BlurPool {
    fn visit(&self, v: &mut dyn Visitor) {
        v.buffer("filt", &self.filt);
    }
}

impl Module for BlurPool {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, ceil(H/stride), ceil(W/stride)]` without additional padding, and `[N, C, L]` likewise.
    ///
    /// # Errors
    /// The shape does not fit, or a side is not longer than what is reflected into it.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            self.check(x)?;
            match *x.shape() {
                // An image of one row.
                [n, c, l] => x.reshape([n, c, 1, l])?.blur2d(self.options())?.squeeze(2),
                _ => x.blur2d(self.options()),
            }
        })
    }
}

impl BlurPool {
    /// Checks rank and channels.
    pub(super) fn check(&self, x: &Tensor) -> Result<()> {
        let (rank, channels) = (2 + self.axes, self.config.channels);
        if x.shape().len() == rank && x.shape()[1] == channels {
            return Ok(());
        }
        let detail = format!(
            "the input has {rank} dimensions and {channels} channels, got shape {:?}",
            x.shape()
        );
        Err(Error::shape(LAYER, detail))
    }

    /// The filter of an image.
    pub(super) fn options(&self) -> BlurOptions {
        let along = |one, number| match self.axes {
            1 => [one, number],
            _ => [number; 2],
        };
        BlurOptions::new(along(1, self.config.filt_size))
            .stride(along(1, self.config.stride))
            .extra(along(0, self.config.pad_off))
            .pad_mode(self.config.pad_mode)
    }
}
