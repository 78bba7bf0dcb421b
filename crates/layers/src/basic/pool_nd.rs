//! Pooling of sequences and volumes. None has parameters.

use striate_tensor::{Divisor, Pool1dOptions, Pool3dOptions, Result, Tensor};

use crate::{Layer, Module, Triple, Visitor};

/// The greatest value of each window; padding counts as minus infinity.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool1d(Pool1dOptions);

impl MaxPool1d {
    /// Windows of `options`.
    #[must_use]
    pub fn new(options: Pool1dOptions) -> Self {
        Self(options)
    }
}

impl Layer for MaxPool1d {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for MaxPool1d {
    /// # Shapes
    /// `[N, C, L] -> [N, C, L']`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.max_pool1d(self.0)
    }
}

/// The mean of each window. As in PyTorch, padding counts as zeros of the window.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool1d(Pool1dOptions);

impl AvgPool1d {
    /// Windows of `options`.
    #[must_use]
    pub fn new(options: Pool1dOptions) -> Self {
        Self(options)
    }
}

impl Layer for AvgPool1d {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for AvgPool1d {
    /// # Shapes
    /// `[N, C, L] -> [N, C, L']`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.avg_pool1d(self.0, Divisor::IncludePad)
    }
}

/// Means over a fixed number of cells, whatever the input's length.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool1d(usize);

impl AdaptiveAvgPool1d {
    /// An output of this length.
    #[must_use]
    pub fn new(output: usize) -> Self {
        Self(output)
    }
}

impl Layer for AdaptiveAvgPool1d {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for AdaptiveAvgPool1d {
    /// # Shapes
    /// `[N, C, L] -> [N, C, output]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.adaptive_avg_pool1d(self.0)
    }
}

/// The greatest value of each window; padding counts as minus infinity.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool3d(Pool3dOptions);

impl MaxPool3d {
    /// Windows of `options`.
    #[must_use]
    pub fn new(options: Pool3dOptions) -> Self {
        Self(options)
    }
}

impl Layer for MaxPool3d {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for MaxPool3d {
    /// # Shapes
    /// `[N, C, T, H, W] -> [N, C, T', H', W']`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.max_pool3d(self.0)
    }
}

/// The mean of each window. As in PyTorch, padding counts as zeros of the window.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool3d(Pool3dOptions);

impl AvgPool3d {
    /// Windows of `options`.
    #[must_use]
    pub fn new(options: Pool3dOptions) -> Self {
        Self(options)
    }
}

impl Layer for AvgPool3d {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for AvgPool3d {
    /// # Shapes
    /// `[N, C, T, H, W] -> [N, C, T', H', W']`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.avg_pool3d(self.0, Divisor::IncludePad)
    }
}

/// Means over a fixed number of cells, whatever the input's size.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool3d(Triple);

impl AdaptiveAvgPool3d {
    /// An output of this size.
    #[must_use]
    pub fn new(output: impl Into<Triple>) -> Self {
        Self(output.into())
    }
}

impl Layer for AdaptiveAvgPool3d {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for AdaptiveAvgPool3d {
    /// # Shapes
    /// `[N, C, T, H, W] -> [N, C, output]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.adaptive_avg_pool3d(self.0)
    }
}
