//! Global context: one attention-weighed mean of all pixels, transformed and given to every pixel.
//!
//! ```text
//! c = sum over pixels of softmax(w . x) x      the context, C numbers
//! t = W2 relu(layer_norm(W1 c + b1)) + b2
//! y = x + t   or   y = x * sigmoid(t)
//! ```
//!
//! Paper: Cao, Xu, Lin, Wei, Hu, *GCNet: Non-Local Networks Meet Squeeze-Excitation Networks and
//! Beyond*, ICCV 2019 workshops, arXiv:1904.11492. Departures: none; two dialects differ in names,
//! widths and the norm's `eps`.
//! Parameters of one transform: `C + 1 + 2*C*R + 3*R + C`, `R = C / reduction`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::probe::{self, ProbeKind};
use crate::util::reduced_channels;
use crate::{
    Conv2d, Conv2dConfig, Init, Layer, LayerNorm, LayerNormConfig, Module, Rounding, VarBuilder,
    Visitor,
};

/// How the transformed context meets the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextFusion {
    /// `x + t(c)`: the paper's.
    Add,
    /// `x * sigmoid(t(c))`
    Mul,
    /// `x * sigmoid(t1(c)) + t2(c)`, a transform for each.
    MulAdd,
}

/// Whose names and numbers a [`GlobalContext`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextDialect {
    /// mmcv's `ContextBlock`, the authors': `conv_mask`, `channel_add_conv.{0,1,3}`,
    /// `channel_mul_conv.{0,1,3}`, a norm with `eps` 1e-5, last maps that start as zeros.
    Mmcv,
    /// timm's `GlobalContext`: `conv_attn`, `mlp_add.{fc1,norm,fc2}`, `mlp_scale.{fc1,norm,fc2}`, a
    /// norm with `eps` 1e-6, a last weight of the sum that starts as zeros.
    Timm,
}

/// The names of a transform's layers.
const MMCV: [&str; 3] = ["0", "1", "3"];
const TIMM: [&str; 3] = ["fc1", "norm", "fc2"];

/// How to build a [`GlobalContext`].
#[derive(Clone, Debug)]
pub struct GlobalContextConfig {
    /// Number of channels.
    pub channels: usize,
    /// How many times fewer channels the bottleneck has.
    pub reduction: usize,
    /// How the context meets the map.
    pub fusion: ContextFusion,
    /// Whether pixels are weighed; otherwise the context is their mean.
    pub attention: bool,
    /// Names, rounding of the width, `eps` of the norm and initial values.
    pub dialect: ContextDialect,
}

impl GlobalContextConfig {
    /// The paper's, in mmcv's dialect: reduction 16, added.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            reduction: 16,
            fusion: ContextFusion::Add,
            attention: true,
            dialect: ContextDialect::Mmcv,
        }
    }

    /// timm's: reduction 8, multiplied.
    #[must_use]
    pub fn timm(channels: usize) -> Self {
        Self {
            reduction: 8,
            fusion: ContextFusion::Mul,
            dialect: ContextDialect::Timm,
            ..Self::new(channels)
        }
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets how the context meets the map.
    #[must_use]
    pub fn fusion(mut self, fusion: ContextFusion) -> Self {
        self.fusion = fusion;
        self
    }

    /// Weighs the pixels of the context, or takes their mean.
    #[must_use]
    pub fn attention(mut self, attention: bool) -> Self {
        self.attention = attention;
        self
    }

    /// Builds the module under the names of its dialect.
    ///
    /// # Errors
    /// A number is 0, or the reduced width would be.
    pub fn build(&self, vb: &VarBuilder) -> Result<GlobalContext> {
        let mmcv = self.dialect == ContextDialect::Mmcv;
        let (rounding, names) = if mmcv {
            (
                Rounding::Floor,
                ["conv_mask", "channel_mul_conv", "channel_add_conv"],
            )
        } else {
            (
                Rounding::DivisibleBy(1),
                ["conv_attn", "mlp_scale", "mlp_add"],
            )
        };
        let width = reduced_channels("GlobalContext", self.channels, self.reduction, rounding)
            .map_err(|e| e.at(vb.path()))?;
        let mask = || {
            let std = (2.0 / self.channels as f64).sqrt();
            let mask = Conv2dConfig::new(self.channels, 1, 1).init(Init::Normal { std });
            let mask = if mmcv {
                mask.bias_init(Init::ZEROS)
            } else {
                mask
            };
            mask.build(&(vb / names[0]))
        };
        let has = |fusions: [ContextFusion; 2]| fusions.contains(&self.fusion);
        let mul = has([ContextFusion::Mul, ContextFusion::MulAdd])
            .then(|| self.transform(width, mmcv, &(vb / names[1])));
        let add = has([ContextFusion::Add, ContextFusion::MulAdd])
            .then(|| self.transform(width, true, &(vb / names[2])));
        Ok(GlobalContext {
            path: Arc::clone(vb.path()),
            names,
            mask: self.attention.then(mask).transpose()?,
            mul: mul.transpose()?,
            add: add.transpose()?,
        })
    }

    fn transform(&self, width: usize, zero: bool, vb: &VarBuilder) -> Result<Transform> {
        let mmcv = self.dialect == ContextDialect::Mmcv;
        let names = if mmcv { MMCV } else { TIMM };
        let mut last = Conv2dConfig::new(width, self.channels, 1);
        if zero {
            last = last.init(Init::ZEROS);
        }
        if mmcv {
            last = last.bias_init(Init::ZEROS);
        }
        let norm = if mmcv {
            LayerNormConfig::new([width, 1, 1])
        } else {
            LayerNormConfig::new([width]).eps(1e-6)
        };
        Ok(Transform {
            names,
            reduce: Conv2dConfig::new(self.channels, width, 1).build(&(vb / names[0]))?,
            norm: norm.build(&(vb / names[1]))?,
            expand: last.build(&(vb / names[2]))?,
        })
    }
}

/// `W2 relu(layer_norm(W1 c + b1)) + b2`
#[derive(Debug)]
struct Transform {
    names: [&'static str; 3],
    reduce: Conv2d,
    norm: LayerNorm,
    expand: Conv2d,
}

impl Layer for Transform {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child(self.names[0], &self.reduce);
        v.child(self.names[1], &self.norm);
        v.child(self.names[2], &self.expand);
    }
}

impl Module for Transform {
    fn forward(&self, context: &Tensor) -> Result<Tensor> {
        let z = self.reduce.forward(context)?;
        let [n, width, _, _] = z.dims4()?;
        let z = if self.names == TIMM {
            let z = self.norm.forward(&z.reshape([n, width])?)?;
            z.reshape([n, width, 1, 1])?
        } else {
            self.norm.forward(&z)?
        };
        self.expand.forward(&z.relu()?)
    }
}

/// The global context block. Emits the weights of the pixels as [`ProbeKind::SpatialMap`], and a
/// factor as [`ProbeKind::ChannelGate`].
#[derive(Debug)]
pub struct GlobalContext {
    path: Arc<str>,
    names: [&'static str; 3],
    mask: Option<Conv2d>,
    mul: Option<Transform>,
    add: Option<Transform>,
}

impl GlobalContext {
    /// The context of each sample, `[N, C, 1, 1]`.
    fn context(&self, x: &Tensor) -> Result<Tensor> {
        let [n, c, h, w] = x.dims_array("GlobalContext")?;
        let Some(mask) = &self.mask else {
            return x.mean(&[2, 3], true);
        };
        if probe::is_recording() {
            let weights = mask.forward(x)?.flatten(2, 3)?.softmax(2)?;
            let map = weights.reshape([n, 1, h, w])?;
            probe::emit(&self.path, ProbeKind::SpatialMap, &map);
        }
        let query = mask.weight().tensor().reshape(mask.weight().numel())?;
        let bias = match mask.bias() {
            Some(bias) => bias.tensor(),
            None => Tensor::zeros(1, x.dtype())?,
        };
        x.attention_pool(&query, &bias)?.reshape([n, c, 1, 1])
    }
}

impl Layer for GlobalContext {
    fn visit(&self, v: &mut dyn Visitor) {
        if let Some(mask) = &self.mask {
            v.child(self.names[0], mask);
        }
        if let Some(mul) = &self.mul {
            v.child(self.names[1], mul);
        }
        if let Some(add) = &self.add {
            v.child(self.names[2], add);
        }
    }
}

impl Module for GlobalContext {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let context = self.context(x)?;
            let mut y = x.clone();
            if let Some(mul) = &self.mul {
                let gate = mul.forward(&context)?.sigmoid()?;
                probe::emit_channels(&self.path, &gate)?;
                y = y.mul(&gate)?;
            }
            match &self.add {
                Some(add) => y.add(&add.forward(&context)?),
                None => Ok(y),
            }
        })
    }
}

/// How other implementations name the same weights.
pub mod gc_key_maps {
    use crate::KeyMap;

    /// The transforms, in mmcv's words and in timm's.
    const TRANSFORMS: [[&str; 2]; 2] = [
        ["channel_add_conv", "mlp_add"],
        ["channel_mul_conv", "mlp_scale"],
    ];

    /// From mmcv's names to timm's. The norms differ in `eps`, 1e-5 and 1e-6.
    #[must_use]
    pub fn to_timm() -> KeyMap {
        let map = KeyMap::new().rename("conv_mask", "conv_attn");
        TRANSFORMS.into_iter().fold(map, |map, [mmcv, timm]| {
            map.rename(&format!("{mmcv}.0"), &format!("{timm}.fc1"))
                .rename(&format!("{mmcv}.1"), &format!("{timm}.norm"))
                .rename(&format!("{mmcv}.3"), &format!("{timm}.fc2"))
                .transform(&format!("{timm}.norm"), |t| t.reshape(t.numel()))
        })
    }

    /// From timm's names to mmcv's.
    #[must_use]
    pub fn from_timm() -> KeyMap {
        let map = KeyMap::new().rename("conv_attn", "conv_mask");
        TRANSFORMS.into_iter().fold(map, |map, [mmcv, timm]| {
            map.rename(&format!("{timm}.fc1"), &format!("{mmcv}.0"))
                .rename(&format!("{timm}.norm"), &format!("{mmcv}.1"))
                .rename(&format!("{timm}.fc2"), &format!("{mmcv}.3"))
                .transform(&format!("{mmcv}.1"), |t| t.reshape([t.numel(), 1, 1]))
        })
    }
}
