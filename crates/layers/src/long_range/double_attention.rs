//! Double attention: a few features are gathered from all places, and each place takes its mixture of them.
//!
//! ```text
//! G = A softmax_places(B)^T        [M, K]
//! Z = G softmax_K(V)               [M, places]        y = W Z
//! ```
//!
//! Paper: Chen et al., *A^2-Nets: Double Attention Networks*, NeurIPS 2018, arXiv:1810.11579.
//! Departures: none. The result is a map; a residual block adds it to its input.
//! Parameters: `C*M + M + 2*(C*K + K) + M*C + C`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::places::places;
use crate::probe::{self, ProbeKind};
use crate::util::at_least_one;
use crate::{Conv2d, Conv2dConfig, Layer, Module, VarBuilder, Visitor};

/// How to build a [`DoubleAttention`].
#[derive(Clone, Debug)]
pub struct DoubleAttentionConfig {
    /// Number of channels.
    pub channels: usize,
    /// Length of a feature.
    pub c_m: usize,
    /// Number of features.
    pub c_n: usize,
}

impl DoubleAttentionConfig {
    /// 128 features of length 128.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            c_m: 128,
            c_n: 128,
        }
    }

    /// Sets the length of a feature.
    #[must_use]
    pub fn c_m(mut self, length: usize) -> Self {
        self.c_m = length;
        self
    }

    /// Sets the number of features.
    #[must_use]
    pub fn c_n(mut self, count: usize) -> Self {
        self.c_n = count;
        self
    }

    /// Builds the module: `convA`, `convB`, `convV`, `conv_reconstruct`.
    ///
    /// # Errors
    /// A number is 0.
    pub fn build(&self, vb: &VarBuilder) -> Result<DoubleAttention> {
        const LAYER: &str = "DoubleAttention";
        let sizes = [
            ("channels", self.channels),
            ("c_m", self.c_m),
            ("c_n", self.c_n),
        ];
        for (field, size) in sizes {
            at_least_one(LAYER, field, size).map_err(|e| e.at(vb.path()))?;
        }
        let conv = |i, o, name| Conv2dConfig::new(i, o, 1).build(&(vb / name));
        Ok(DoubleAttention {
            path: Arc::clone(vb.path()),
            features: conv(self.channels, self.c_m, "convA")?,
            gather: conv(self.channels, self.c_n, "convB")?,
            distribute: conv(self.channels, self.c_n, "convV")?,
            back: conv(self.c_m, self.channels, "conv_reconstruct")?,
        })
    }
}

/// The double attention block. Emits which feature each place takes, as [`ProbeKind::FullGate`] of the features.
#[derive(Debug)]
pub struct DoubleAttention {
    path: Arc<str>,
    features: Conv2d,
    gather: Conv2d,
    distribute: Conv2d,
    back: Conv2d,
}

impl Layer for DoubleAttention {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("convA", &self.features);
        v.child("convB", &self.gather);
        v.child("convV", &self.distribute);
        v.child("conv_reconstruct", &self.back);
    }
}

impl Module for DoubleAttention {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, _, h, w] = x.dims_array("DoubleAttention")?;
            let map = |y: &Tensor| y.transpose(1, 2)?.reshape([n, y.shape()[2], h, w]);
            let gather = places(&self.gather.forward(x)?)?.softmax(1)?;
            let distribute = places(&self.distribute.forward(x)?)?.softmax(2)?;
            if probe::is_recording() {
                probe::emit(&self.path, ProbeKind::FullGate, &map(&distribute)?);
            }
            let features = places(&self.features.forward(x)?)?;
            let features = gather.transpose(1, 2)?.matmul(&features)?;
            self.back.forward(&map(&distribute.matmul(&features)?)?)
        })
    }
}
