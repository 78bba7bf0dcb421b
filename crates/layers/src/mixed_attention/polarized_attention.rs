//! Polarized self-attention: a gate for every channel and a gate for every pixel, each computed at
//! full resolution of its own axis while the other is summed away.
//!
//! ```text
//! channel: g_c = sigmoid(layer_norm(Wz (Wv x . softmax_hw(wq x))))
//! spatial: g_s = sigmoid(softmax_c(mean_hw(Vq x)) . Vv x)
//! y = x * g_c + x * g_s   or, one after the other,   y = (x * g_c) * g_s(x * g_c)
//! ```
//!
//! Paper: Liu, Liu, Fan, Huang, *Polarized Self-Attention: Towards High-quality Pixel-wise
//! Regression*, 2021, arXiv:2107.00782. Departures: a linear map of a weighed mean of pixels is the
//! weighed mean of the maps, and weights that sum to 1 leave a bias alone; so `Wv` and `Vq` run once a
//! sample on the mean, and `Vv` is contracted with its weights before it meets the pixels. The
//! numbers are the same and `3*C*C/2` multiply-adds a pixel are saved.
//! Parameters: `2*C*C + C + 1 + 3*C/2 + 3*C`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::probe::{self, ProbeKind};
use crate::util::invalid;
use crate::{Conv2d, Conv2dConfig, Layer, LayerNorm, LayerNormConfig, Module, VarBuilder, Visitor};

const LAYER: &str = "PolarizedAttention";

/// How the two halves are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolarizedLayout {
    /// Both halves see the input, and their outputs are added.
    Parallel,
    /// The channel half, then the spatial half.
    Sequential,
}

/// How to build a [`PolarizedAttention`].
#[derive(Clone, Debug)]
pub struct PolarizedAttentionConfig {
    /// Number of channels, at least 2.
    pub channels: usize,
    /// How the halves are combined.
    pub layout: PolarizedLayout,
}

impl PolarizedAttentionConfig {
    /// Both halves in parallel.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            layout: PolarizedLayout::Parallel,
        }
    }

    /// Sets how the halves are combined.
    #[must_use]
    pub fn layout(mut self, layout: PolarizedLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Builds the module: `ch_wv`, `ch_wq`, `ch_wz`, `ln`, `sp_wv` and `sp_wq`.
    ///
    /// # Errors
    /// There are less than 2 channels.
    pub fn build(&self, vb: &VarBuilder) -> Result<PolarizedAttention> {
        let c = self.channels;
        if c < 2 {
            let rule = "it must be at least 2, of which half is the width of the branches";
            return Err(invalid(LAYER, "channels", c, rule).at(vb.path()));
        }
        let conv = |i, o, name| Conv2dConfig::new(i, o, 1).build(&(vb / name));
        Ok(PolarizedAttention {
            path: Arc::clone(vb.path()),
            ch_wv: conv(c, c / 2, "ch_wv")?,
            ch_wq: conv(c, 1, "ch_wq")?,
            ch_wz: conv(c / 2, c, "ch_wz")?,
            ln: LayerNormConfig::new([c]).build(&(vb / "ln"))?,
            sp_wv: conv(c, c / 2, "sp_wv")?,
            sp_wq: conv(c, c / 2, "sp_wq")?,
            layout: self.layout,
        })
    }
}

/// The attention module. Emits its gates as [`ProbeKind::ChannelGate`] and [`ProbeKind::SpatialMap`].
#[derive(Debug)]
pub struct PolarizedAttention {
    path: Arc<str>,
    ch_wv: Conv2d,
    ch_wq: Conv2d,
    ch_wz: Conv2d,
    ln: LayerNorm,
    sp_wv: Conv2d,
    sp_wq: Conv2d,
    layout: PolarizedLayout,
}

impl Layer for PolarizedAttention {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("ch_wv", &self.ch_wv);
        v.child("ch_wq", &self.ch_wq);
        v.child("ch_wz", &self.ch_wz);
        v.child("ln", &self.ln);
        v.child("sp_wv", &self.sp_wv);
        v.child("sp_wq", &self.sp_wq);
    }
}

impl PolarizedAttention {
    /// The factors of the channels, `[N, C, 1, 1]`.
    fn channel_gate(&self, x: &Tensor) -> Result<Tensor> {
        let [n, c, _, _] = x.dims4()?;
        let weights = self.ch_wq.forward(x)?.flatten(2, 3)?.softmax(2)?;
        let mean = x.flatten(2, 3)?.matmul(&weights.transpose(1, 2)?)?;
        let value = self.ch_wv.forward(&mean.reshape([n, c, 1, 1])?)?;
        let logits = self.ch_wz.forward(&value)?.reshape([n, c])?;
        let gate = self.ln.forward(&logits)?.sigmoid()?;
        gate.reshape([n, c, 1, 1])
    }

    /// The factors of the pixels, `[N, 1, H, W]`.
    fn spatial_gate(&self, x: &Tensor) -> Result<Tensor> {
        let [n, c, h, w] = x.dims4()?;
        let query = self.sp_wq.forward(&x.mean(&[2, 3], true)?)?;
        let query = query.reshape([n, c / 2])?.softmax(1)?;
        // query . (V x + b) = (query V) . x + query . b
        let value = self.sp_wv.weight().tensor().reshape([c / 2, c])?;
        let row = query.matmul(&value)?.reshape([n, 1, c])?;
        let mut logits = row.matmul(&x.flatten(2, 3)?)?;
        if let Some(bias) = self.sp_wv.bias() {
            let shift = query.matmul(&bias.tensor().reshape([c / 2, 1])?)?;
            logits = logits.add(&shift.reshape([n, 1, 1])?)?;
        }
        logits.sigmoid()?.reshape([n, 1, h, w])
    }
}

impl Module for PolarizedAttention {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            x.dims_array::<4>(LAYER)?;
            let channel = self.channel_gate(x)?;
            probe::emit_channels(&self.path, &channel)?;
            let seen = match self.layout {
                PolarizedLayout::Parallel => x.clone(),
                PolarizedLayout::Sequential => x.mul(&channel)?,
            };
            let spatial = self.spatial_gate(&seen)?;
            probe::emit(&self.path, ProbeKind::SpatialMap, &spatial);
            match self.layout {
                PolarizedLayout::Parallel => x.mul(&channel.add(&spatial)?),
                PolarizedLayout::Sequential => seen.mul(&spatial),
            }
        })
    }
}
