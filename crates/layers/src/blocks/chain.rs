//! What the Inception blocks are made of: chains of convolutions beside each other.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::{
    Conv2dConfig, ConvNormActConfig, Init, Layer, Module, Pair, Parallel, Sequential, VarBuilder,
    Visitor,
};

/// How the convolutions of a block are built: batch norm and ReLU follow each.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// What the batch norms add to the variance.
    pub eps: f64,
    /// Whether the convolutions have biases.
    pub bias: bool,
    /// Where the weights start.
    pub init: Init,
}

/// One branch of a block, as it is built.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    vb: VarBuilder,
    style: &'a Style,
    channels: usize,
    layers: Sequential,
}

impl<'a> Chain<'a> {
    /// A branch whose input has so many channels.
    pub(super) fn new(vb: &VarBuilder, style: &'a Style, channels: usize) -> Self {
        Self {
            vb: vb.clone(),
            style,
            channels,
            layers: Sequential::new(),
        }
    }

    /// Appends a convolution that keeps the size of the map.
    pub(super) fn conv(self, name: &str, channels: usize, kernel: impl Into<Pair>) -> Result<Self> {
        let config = Conv2dConfig::new(self.channels, channels, kernel).same_padding();
        self.push(name, config)
    }

    /// Appends a 3x3 convolution with a stride.
    pub(super) fn strided(
        self,
        name: &str,
        channels: usize,
        stride: usize,
        padding: usize,
    ) -> Result<Self> {
        let config = Conv2dConfig::new(self.channels, channels, 3)
            .stride(stride)
            .padding(padding);
        self.push(name, config)
    }

    fn push(mut self, name: &str, config: Conv2dConfig) -> Result<Self> {
        self.channels = config.out_channels;
        let config = ConvNormActConfig::new(config.init(self.style.init))
            .conv_bias(self.style.bias)
            .eps(self.style.eps);
        let layer = config.build(&(&self.vb / name))?;
        self.layers = self.layers.push_named(name, layer);
        Ok(self)
    }

    /// Appends a layer without parameters, or one that was built apart.
    pub(super) fn then(mut self, layer: impl Module + 'static) -> Self {
        self.layers = self.layers.push_named("", layer);
        self
    }

    /// Channels of what it gives so far.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// The branch.
    pub(super) fn end(self) -> Sequential {
        self.layers
    }
}

/// Branches that read the same map and whose outputs are joined along the channels.
#[derive(Debug)]
pub struct InceptionBlock {
    path: Arc<str>,
    branches: Parallel,
}

impl InceptionBlock {
    pub(super) fn new(vb: &VarBuilder, branches: Parallel) -> Self {
        Self {
            path: Arc::clone(vb.path()),
            branches,
        }
    }
}

impl Layer for InceptionBlock {
    fn visit(&self, v: &mut dyn Visitor) {
        self.branches.visit(v);
    }
}

impl Module for InceptionBlock {
    /// # Shapes
    /// `[N, in, H, W] -> [N, sum of the branches, H', W']`; only blocks that reduce change the size.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            x.dims_array::<4>("InceptionBlock")?;
            self.branches.forward(x)
        })
    }
}
