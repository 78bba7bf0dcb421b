//! Gather-excite: a gate for every region, from a summary of each neighbourhood.
//!
//! `y = x * sigmoid(resize(excite(gather(x))))`, resized to the input by nearest neighbours.
//!
//! | variant | gather | excite |
//! |---|---|---|
//! | theta- | means of windows of `2e-1` at stride `e`, or of the whole map | nothing |
//! | theta | depthwise 3x3 convolutions of stride 2, `log2(e)` of them, each with a batch norm, ReLU between them; of the whole map, one depthwise convolution as large as it | nothing |
//! | theta+ | as theta | `W2 relu(W1 . + b1) + b2` |
//!
//! Paper: Hu, Shen, Albanie, Sun, Vedaldi, *Gather-Excite: Exploiting Feature Context in
//! Convolutional Neural Networks*, NeurIPS 2018, arXiv:1810.12348. Departures: the gate is computed
//! before it is resized, which gives the same numbers. Names are timm's.
//! Parameters: `11*C` for each 3x3, `C*(H*W + 2)` for the whole map; `2*C*R + R + C` for the excite.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Divisor, Interpolation, Pair, PoolOptions, Result, Tensor};

use crate::basic::Perceptron;
use crate::probe::{self, ProbeKind};
use crate::util::{at_least_one, invalid, reduced_channels};
use crate::{
    Activation, BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Layer, Module, Rounding,
    VarBuilder, Visitor, conv_norm_act,
};

const LAYER: &str = "GatherExcite";

/// How to build a [`GatherExcite`].
#[derive(Clone, Debug)]
pub struct GatherExciteConfig {
    /// Number of channels.
    pub channels: usize,
    /// How far the gather reaches: even, or 0 for the whole map.
    pub extent: usize,
    /// Whether the gather has parameters (theta).
    pub extra_params: bool,
    /// Whether a perceptron follows it (theta+).
    pub use_mlp: bool,
    /// How many times fewer channels the perceptron has inside.
    pub reduction: usize,
    /// Size of the map, which a gather with parameters over the whole map must know.
    pub feat_size: Option<Pair>,
}

impl GatherExciteConfig {
    /// GE-theta-minus over the whole map: no parameters.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            extent: 0,
            extra_params: false,
            use_mlp: false,
            reduction: 16,
            feat_size: None,
        }
    }

    /// Sets how far the gather reaches: even, or 0 for the whole map.
    #[must_use]
    pub fn extent(mut self, extent: usize) -> Self {
        self.extent = extent;
        self
    }

    /// Gathers with parameters (theta), or with means (theta-minus).
    #[must_use]
    pub fn extra_params(mut self, extra_params: bool) -> Self {
        self.extra_params = extra_params;
        self
    }

    /// Adds or leaves out the perceptron (theta-plus).
    #[must_use]
    pub fn use_mlp(mut self, use_mlp: bool) -> Self {
        self.use_mlp = use_mlp;
        self
    }

    /// Sets the reduction of the perceptron.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets the size of the map.
    #[must_use]
    pub fn feat_size(mut self, size: impl Into<Pair>) -> Self {
        self.feat_size = Some(size.into());
        self
    }

    /// The depthwise convolutions of the gather.
    fn convs(&self) -> Result<Vec<Conv2dConfig>> {
        at_least_one(LAYER, "channels", self.channels)?;
        if self.extent % 2 == 1 {
            let rule = "it must be even, or 0 for the whole map";
            return Err(invalid(LAYER, "extent", self.extent, rule));
        }
        if !self.extra_params {
            return Ok(Vec::new());
        }
        let depthwise = |kernel: Pair| {
            Conv2dConfig::new(self.channels, self.channels, kernel)
                .groups(self.channels)
                .bias(false)
        };
        if self.extent > 0 {
            if !self.extent.is_power_of_two() {
                let rule = "a gather with parameters halves the map, so it must be a power of two";
                return Err(invalid(LAYER, "extent", self.extent, rule));
            }
            let half = depthwise(3.into()).stride(2).padding(1);
            return Ok(vec![half; self.extent.ilog2() as usize]);
        }
        let size = self.feat_size.ok_or_else(|| {
            let rule = "a gather with parameters over the whole map must know its size";
            invalid(LAYER, "feat_size", self.feat_size, rule)
        })?;
        Ok(vec![depthwise(size)])
    }

    /// Builds the module: `gather.conv1`, `gather.norm1`, ..., and `mlp.fc1`, `mlp.fc2`.
    ///
    /// # Errors
    /// A number is 0, the extent is odd, or no power of two with parameters; parameters over the whole
    /// map without its size; or the reduced width would be 0.
    pub fn build(&self, vb: &VarBuilder) -> Result<GatherExcite> {
        let convs = self.convs().map_err(|e| e.at(vb.path()))?;
        let gather = vb / "gather";
        let step = |(i, conv): (usize, Conv2dConfig)| {
            let names = [format!("conv{}", i + 1), format!("norm{}", i + 1)];
            Ok(Step {
                conv: conv.build(&(&gather / &names[0]))?,
                norm: BatchNormConfig::new(self.channels).build_2d(&(&gather / &names[1]))?,
                names,
            })
        };
        let mlp = || {
            let (c, r) = (self.channels, self.reduction);
            let width = reduced_channels(LAYER, c, r, Rounding::Floor);
            let width = width.map_err(|e| e.at(vb.path()))?;
            Perceptron::pointwise([c, width], true, ["fc1", "fc2"], &(vb / "mlp"))
        };
        Ok(GatherExcite {
            path: Arc::clone(vb.path()),
            extent: self.extent,
            gather: Gather(
                convs
                    .into_iter()
                    .enumerate()
                    .map(step)
                    .collect::<Result<_>>()?,
            ),
            mlp: self.use_mlp.then(mlp).transpose()?,
        })
    }
}

/// A depthwise convolution of the gather and its norm.
#[derive(Debug)]
struct Step {
    names: [String; 2],
    conv: Conv2d,
    norm: BatchNorm2d,
}

/// The convolutions; none where the gather is a mean.
#[derive(Debug)]
struct Gather(Vec<Step>);

impl Layer for Gather {
    fn visit(&self, v: &mut dyn Visitor) {
        for step in &self.0 {
            v.child(&step.names[0], &step.conv);
            v.child(&step.names[1], &step.norm);
        }
    }
}

impl Gather {
    fn forward(&self, x: &Tensor, extent: usize) -> Result<Tensor> {
        if self.0.is_empty() && extent == 0 {
            return x.mean(&[2, 3], true);
        }
        if self.0.is_empty() {
            let windows = PoolOptions::new(extent.saturating_mul(2) - 1).stride(extent);
            return x.avg_pool2d(windows.padding(extent - 1), Divisor::ExcludePad);
        }
        let mut y = x.clone();
        for (i, step) in self.0.iter().enumerate() {
            let last = i + 1 == self.0.len();
            let act = if last {
                Activation::Identity
            } else {
                Activation::Relu
            };
            y = conv_norm_act(&step.conv, &step.norm, act, &y, None)?;
        }
        Ok(y)
    }
}

/// The gather-excite block. Emits its gate as [`ProbeKind::ChannelGate`] if there is one factor a
/// channel, otherwise as [`ProbeKind::FullGate`].
#[derive(Debug)]
pub struct GatherExcite {
    path: Arc<str>,
    extent: usize,
    gather: Gather,
    mlp: Option<Perceptron>,
}

impl Layer for GatherExcite {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("gather", &self.gather);
        v.child("mlp", &self.mlp);
    }
}

impl Module for GatherExcite {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [_, _, h, w] = x.dims_array(LAYER)?;
            let mut gate = self.gather.forward(x, self.extent)?;
            if let Some(mlp) = &self.mlp {
                gate = mlp.forward(&gate)?;
            }
            gate = gate.sigmoid()?;
            if matches!(gate.shape(), [_, _, 1, 1]) {
                probe::emit_channels(&self.path, &gate)?;
            } else {
                gate = gate.interpolate([h, w], Interpolation::Nearest)?;
                probe::emit(&self.path, ProbeKind::FullGate, &gate);
            }
            x.mul(&gate)
        })
    }
}
