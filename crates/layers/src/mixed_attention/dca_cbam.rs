//! CBAM whose gates also see what the block before it attended to.
//!
//! ```text
//! q   = relu(bn(conv1x1(p)))                        p: the map behind the channel gate before; conv only where widths differ
//! a_m = relu(layer_norm(v0 pool_m(x) + v1 pool_m(q)))    for mean and maximum; pool_m(x) in the first block
//! u   = x * sigmoid(sum over m of MLP(a_m))
//! k   = relu(bn(p1 [max_c(u), mean_c(u)] + p2 [max_c(r), mean_c(r)]))    r: the output of the block before, as large as x
//! y   = u * sigmoid(bn(conv7x7(k)))
//! ```
//!
//! The block hands `u` and `y` on. Paper: as [`DcaSe`](crate::DcaSe). Departures: none from the
//! released code, whose `r` is reduced to the size of `x` by means of equal windows.
//! Parameters: those of [`Cbam`](super::Cbam), `8 + 2*C` of the connections, `P*C + 3*C` of the
//! projection from `P` channels.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Divisor, PoolOptions, Result, Tensor};

use super::spatial_gate::{MapOrder, SpatialGateConfig};
use crate::basic::Perceptron;
use crate::probe::{self, ProbeKind};
use crate::util::{invalid, reduced_channels};
use crate::{
    BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvNormAct, ConvNormActConfig, Init,
    Layer, LayerNorm, LayerNormConfig, Module, Parameter, Rounding, VarBuilder, Visitor,
};

const LAYER: &str = "DcaCbam";

/// How to build a [`DcaCbam`].
#[derive(Clone, Debug)]
pub struct DcaCbamConfig {
    /// Channels of the map that the block before hands on.
    pub previous_channels: usize,
    /// Number of channels.
    pub channels: usize,
    /// How many times fewer channels the perceptron has inside.
    pub reduction: usize,
    /// Kernel of the spatial gate, odd.
    pub kernel: usize,
    /// Whether there is a block before. The first block of a network has the weights of the connections
    /// too, as in the released code, and does not use them.
    pub connected: bool,
}

impl DcaCbamConfig {
    /// The released code's: reduction 16, kernel 7, connected.
    #[must_use]
    pub fn new(previous_channels: usize, channels: usize) -> Self {
        Self {
            previous_channels,
            channels,
            reduction: 16,
            kernel: 7,
            connected: true,
        }
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets the kernel of the spatial gate.
    #[must_use]
    pub fn kernel(mut self, kernel: usize) -> Self {
        self.kernel = kernel;
        self
    }

    /// Says whether there is a block before.
    #[must_use]
    pub fn connected(mut self, connected: bool) -> Self {
        self.connected = connected;
        self
    }

    /// Builds the module: `ChannelGate` with `mlp`, `att_fc` where the widths differ and `alpha`, and
    /// `SpatialGate` with `p1`, `p2`, `spatial` and `bnrelu`, as in the released code.
    ///
    /// # Errors
    /// A number is 0, the reduced width would be, or the kernel is even.
    pub fn build(&self, vb: &VarBuilder) -> Result<DcaCbam> {
        let (p, c) = (self.previous_channels, self.channels);
        let width = reduced_channels(LAYER, c, self.reduction, Rounding::Floor)
            .map_err(|e| e.at(vb.path()))?;
        let (channel, spatial) = (vb / "ChannelGate", vb / "SpatialGate");
        let project = || {
            let conv = ConvNormActConfig::new(Conv2dConfig::new(p, c, 1)).conv_bias(true);
            conv.names("0", "1").build(&(&channel / "att_fc"))
        };
        let gate = SpatialGateConfig::new().kernel(self.kernel);
        Ok(DcaCbam {
            path: Arc::clone(vb.path()),
            connected: self.connected,
            channel: Channel {
                path: Arc::clone(channel.path()),
                mlp: Perceptron::linear([c, width], ["1", "3"], &(&channel / "mlp"))?,
                project: (p != c).then(project).transpose()?,
                join: Conv2dConfig::new(2, 1, 1)
                    .bias(false)
                    .build(&(&channel / "alpha" / 0))?,
                join_norm: LayerNormConfig::new([c]).build(&(&channel / "alpha" / 1))?,
            },
            spatial: Spatial {
                path: Arc::clone(spatial.path()),
                p1: spatial.parameter("p1", &[1], Init::ONES)?,
                p2: spatial.parameter("p2", &[1], Init::ZEROS)?,
                conv: gate.conv(LAYER, &(&spatial / "spatial"))?,
                norm: BatchNormConfig::new(2).build_2d(&(&spatial / "bnrelu" / 0))?,
            },
        })
    }
}

/// The channel gate.
#[derive(Debug)]
struct Channel {
    path: Arc<str>,
    mlp: Perceptron,
    project: Option<ConvNormAct>,
    join: Conv2d,
    join_norm: LayerNorm,
}

impl Layer for Channel {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("mlp", &self.mlp);
        v.child("att_fc", &self.project);
        v.child("alpha.0", &self.join);
        v.child("alpha.1", &self.join_norm);
    }
}

/// The mean and the maximum of every map, `[N, C]`.
fn pools(x: &Tensor) -> Result<[Tensor; 2]> {
    let [n, c, _, _] = x.dims_array(LAYER)?;
    let max = x.adaptive_max_pool2d([1, 1])?.reshape([n, c])?;
    Ok([x.mean(&[2, 3], false)?, max])
}

impl Channel {
    fn forward(&self, x: &Tensor, previous: Option<&Tensor>) -> Result<Tensor> {
        let [n, c, _, _] = x.dims_array(LAYER)?;
        let mut pooled = pools(x)?;
        if let Some(previous) = previous {
            let before = match &self.project {
                Some(project) => pools(&project.forward(previous)?)?,
                None => pools(previous)?,
            };
            for (own, before) in pooled.iter_mut().zip(&before) {
                let both = Tensor::stack(&[own, before], 1)?.reshape([n, 2, 1, c])?;
                let joined = self.join.forward(&both)?.reshape([n, c])?;
                *own = self.join_norm.forward(&joined)?.relu()?;
            }
        }
        let [mean, max] = pooled;
        let logits = self.mlp.forward(&mean)?.add(&self.mlp.forward(&max)?)?;
        let gate = logits.sigmoid()?.reshape([n, c, 1, 1])?;
        probe::emit_channels(&self.path, &gate)?;
        x.mul(&gate)
    }
}

/// The spatial gate.
#[derive(Debug)]
struct Spatial {
    path: Arc<str>,
    p1: Parameter,
    p2: Parameter,
    conv: ConvNormAct,
    norm: BatchNorm2d,
}

impl Layer for Spatial {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("p1", &self.p1);
        v.parameter("p2", &self.p2);
        v.child("spatial", &self.conv);
        v.child("bnrelu.0", &self.norm);
    }
}

impl Spatial {
    fn forward(&self, x: &Tensor, previous: Option<&Tensor>) -> Result<Tensor> {
        let mut maps = MapOrder::MaxMean.pool(x)?;
        if let Some(previous) = previous {
            let before = MapOrder::MaxMean.pool(&as_large_as(x, previous)?)?;
            let before = before.mul(&self.p2.tensor())?;
            let joined = maps.mul(&self.p1.tensor())?.add(&before)?;
            maps = self.norm.forward(&joined)?.relu()?;
        }
        let gate = self.conv.forward(&maps)?.sigmoid()?;
        probe::emit(&self.path, ProbeKind::SpatialMap, &gate);
        x.mul(&gate)
    }
}

/// The map of the block before, in windows of equal size where it is larger than `x`.
fn as_large_as(x: &Tensor, previous: &Tensor) -> Result<Tensor> {
    let [_, _, h, w] = x.dims_array(LAYER)?;
    let [_, _, before_h, before_w] = previous.dims_array(LAYER)?;
    if [before_h, before_w] == [h, w] {
        return Ok(previous.clone());
    }
    let window = before_h / h.max(1);
    if window < 2 || before_h / window != h || before_w / window != w {
        let rule = format!("windows of one size must reduce it to {h}x{w}");
        return Err(invalid(LAYER, "previous map", [before_h, before_w], rule));
    }
    previous.avg_pool2d(PoolOptions::new(window), Divisor::IncludePad)
}

/// Connected CBAM. Its gates emit their factors.
#[derive(Debug)]
pub struct DcaCbam {
    path: Arc<str>,
    connected: bool,
    channel: Channel,
    spatial: Spatial,
}

impl Layer for DcaCbam {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("ChannelGate", &self.channel);
        v.child("SpatialGate", &self.spatial);
    }
}

impl DcaCbam {
    /// The map behind both gates and the map behind the channel gate. The next block takes both, the
    /// one behind the channel gate first.
    ///
    /// # Shapes
    /// `[N, C, H, W]`, and of the block before `[N, P, H', W']` behind its channel gate and
    /// `[N, P', H', W']` behind both, to two of `[N, C, H, W]`.
    ///
    /// # Errors
    /// The shapes do not fit, or the maps of a block before are missing or there is no such block.
    pub fn forward(&self, x: &Tensor, previous: Option<[&Tensor; 2]>) -> Result<(Tensor, Tensor)> {
        scope(&self.path, || {
            if previous.is_some() != self.connected {
                let rule =
                    "a connected block takes what the one before hands on, and only such a block";
                return Err(invalid(LAYER, "connected", self.connected, rule));
            }
            let attended = self.channel.forward(x, previous.map(|maps| maps[0]))?;
            let y = self
                .spatial
                .forward(&attended, previous.map(|maps| maps[1]))?;
            Ok((y, attended))
        })
    }
}
