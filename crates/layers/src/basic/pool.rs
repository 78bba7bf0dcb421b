//! Pooling layers. None has parameters.

use striate_tensor::{Divisor, PoolOptions, Result, Tensor};

use crate::{Layer, Module, Pair, Visitor};

/// The greatest value of each window; padding counts as minus infinity.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d(PoolOptions);

impl MaxPool2d {
    /// Windows of `options`.
    #[must_use]
    pub fn new(options: PoolOptions) -> Self {
        Self(options)
    }
}

impl Layer for MaxPool2d {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for MaxPool2d {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H', W']`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.max_pool2d(self.0)
    }
}

/// The mean of each window.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool2d {
    options: PoolOptions,
    divisor: Divisor,
}

impl AvgPool2d {
    /// Windows of `options`. As in PyTorch, padding counts as zeros of the window.
    #[must_use]
    pub fn new(options: PoolOptions) -> Self {
        Self {
            options,
            divisor: Divisor::IncludePad,
        }
    }

    /// Sets what the sums are divided by.
    #[must_use]
    pub fn divisor(mut self, divisor: Divisor) -> Self {
        self.divisor = divisor;
        self
    }
}

impl Layer for AvgPool2d {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for AvgPool2d {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H', W']`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.avg_pool2d(self.options, self.divisor)
    }
}

/// Means over a fixed number of cells, whatever the input's size.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool2d([usize; 2]);

impl AdaptiveAvgPool2d {
    /// An output of this size.
    #[must_use]
    pub fn new(output: impl Into<Pair>) -> Self {
        Self(output.into().0)
    }
}

impl Layer for AdaptiveAvgPool2d {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for AdaptiveAvgPool2d {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, output]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.adaptive_avg_pool2d(self.0)
    }
}

/// Greatest values of a fixed number of cells, whatever the input's size.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveMaxPool2d([usize; 2]);

impl AdaptiveMaxPool2d {
    /// An output of this size.
    #[must_use]
    pub fn new(output: impl Into<Pair>) -> Self {
        Self(output.into().0)
    }
}

impl Layer for AdaptiveMaxPool2d {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for AdaptiveMaxPool2d {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, output]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.adaptive_max_pool2d(self.0)
    }
}

/// The mean of each channel.
#[derive(Clone, Copy, Debug, Default)]
pub struct GlobalAvgPool;

impl Layer for GlobalAvgPool {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for GlobalAvgPool {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.dims4()?;
        x.mean(&[2, 3], false)
    }
}
