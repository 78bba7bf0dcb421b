//! Max pooling without aliases: the maximum of every window, blurred, and only then with a stride.
//!
//! `y = blur(max over the window of x)`
//!
//! Paper: Zhang, *Making Convolutional Networks Shift-Invariant Again*, ICML 2019, arXiv:1904.11486.
//! Departures: none.
//! Parameters: none.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{PoolOptions, Result, Tensor};

use crate::util::{at_least_one, invalid};
use crate::{BlurPool, BlurPoolConfig, Layer, Module, VarBuilder, Visitor};

/// How to build a [`MaxBlurPool`].
#[derive(Clone, Debug)]
pub struct MaxBlurPoolConfig {
    /// Rows and columns of the window of the maximum.
    pub kernel_size: usize,
    /// Padding of the maximum on each side.
    pub padding: usize,
    /// The blur, which has the stride.
    pub blur: BlurPoolConfig,
}

impl MaxBlurPoolConfig {
    /// Windows of 2x2 without padding, blurred with four taps at stride 2.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            kernel_size: 2,
            padding: 0,
            blur: BlurPoolConfig::new(channels),
        }
    }

    /// Sets the window of the maximum and its padding; timm's stem has 3 and 1.
    #[must_use]
    pub fn window(mut self, kernel_size: usize, padding: usize) -> Self {
        self.kernel_size = kernel_size;
        self.padding = padding;
        self
    }

    /// Sets the blur.
    #[must_use]
    pub fn blur(mut self, blur: BlurPoolConfig) -> Self {
        self.blur = blur;
        self
    }

    /// Builds the module; the blur is called `1`, as in the paper's implementation.
    ///
    /// # Errors
    /// The window is empty, or those of [`BlurPoolConfig::build`].
    pub fn build(&self, vb: &VarBuilder) -> Result<MaxBlurPool> {
        const LAYER: &str = "MaxBlurPool";
        let options = PoolOptions::new(self.kernel_size)
            .stride(1)
            .padding(self.padding);
        at_least_one(LAYER, "kernel_size", self.kernel_size).map_err(|e| e.at(vb.path()))?;
        if 2 * self.padding.min(usize::MAX / 2) > self.kernel_size {
            let rule = "a window may not lie in the padding";
            return Err(invalid(LAYER, "padding", self.padding, rule).at(vb.path()));
        }
        Ok(MaxBlurPool {
            path: Arc::clone(vb.path()),
            window: options,
            blur: self.blur.build(&(vb / 1))?,
        })
    }
}

/// The maximum at every place, then a blur with a stride.
#[derive(Debug)]
pub struct MaxBlurPool {
    path: Arc<str>,
    window: PoolOptions,
    blur: BlurPool,
}

impl Layer for MaxBlurPool {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("1", &self.blur);
    }
}

impl Module for MaxBlurPool {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H', W']`, of the maximum's size over the stride, rounded up
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            self.blur.check(x)?;
            x.max_blur_pool2d(self.window, self.blur.options())
        })
    }
}
