//! Feature pyramid network: what a coarse map knows is added, step by step, to the finer ones.
//!
//! ```text
//! m_i = conv1x1(x_i) + up(m_i+1)              from the coarsest on; up by nearest neighbours
//! y_i = conv3x3(m_i)
//! extra levels: every second place of y_last, or P6 = conv3x3(y_last or x_last), P7 = conv3x3(relu(P6)), stride 2
//! ```
//!
//! Paper: Lin, Dollar, Girshick, He, Hariharan, Belongie, *Feature Pyramid Networks for Object Detection*, CVPR 2017,
//! arXiv:1612.03144; P6 and P7 are those of RetinaNet, arXiv:1708.02002.
//! Departures: none; as torchvision, P6 reads `y_last` where that has as many channels as `x_last`.
//! Parameters of `n` levels with `D` channels out: `sum C_i*D + n(9*D*D + 2D)`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, PoolOptions, Result, Tensor};

use super::{add_resized, check_channels, sizes};
use crate::util::at_least_one;
use crate::{Conv2d, Conv2dConfig, Init, Layer, Module, VarBuilder, Visitor};

const LAYER: &str = "Fpn";

/// Levels beyond the coarsest map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraLevels {
    /// None.
    None,
    /// One more: every second place of the last, as Faster R-CNN has it.
    MaxPool,
    /// Two more by strided convolutions, as RetinaNet has them.
    P6P7,
}

/// How to build an [`Fpn`].
#[derive(Clone, Debug)]
pub struct FpnConfig {
    /// Channels of each map, the finest first.
    pub in_channels: Vec<usize>,
    /// Channels of every output.
    pub out_channels: usize,
    /// Levels beyond the coarsest.
    pub extra: ExtraLevels,
}

impl FpnConfig {
    /// 256 channels on every level and none beyond the coarsest.
    #[must_use]
    pub fn new(in_channels: impl Into<Vec<usize>>) -> Self {
        Self {
            in_channels: in_channels.into(),
            out_channels: 256,
            extra: ExtraLevels::None,
        }
    }

    /// Sets the channels of every output.
    #[must_use]
    pub fn out_channels(mut self, channels: usize) -> Self {
        self.out_channels = channels;
        self
    }

    /// Sets the levels beyond the coarsest.
    #[must_use]
    pub fn extra(mut self, extra: ExtraLevels) -> Self {
        self.extra = extra;
        self
    }

    /// Builds the layers `inner_blocks.i.0`, `layer_blocks.i.0` and `extra_blocks.{p6,p7}`, as torchvision.
    ///
    /// # Errors
    /// There is no map, or a number of channels is 0.
    pub fn build(&self, vb: &VarBuilder) -> Result<Fpn> {
        let check = || {
            check_channels(LAYER, &self.in_channels, 1)?;
            at_least_one(LAYER, "out_channels", self.out_channels)
        };
        check().map_err(|e| e.at(vb.path()))?;
        let out = self.out_channels;
        let level = |(i, &c): (usize, &usize)| {
            Ok(Level {
                inner: conv(c, out, 1).build(&(vb / "inner_blocks" / i / 0))?,
                layer: conv(out, out, 3).build(&(vb / "layer_blocks" / i / 0))?,
            })
        };
        let last = self.in_channels.last().copied().unwrap_or_default();
        let extra = match self.extra {
            ExtraLevels::None => Extra::None,
            ExtraLevels::MaxPool => Extra::MaxPool,
            ExtraLevels::P6P7 => {
                let vb = vb / "extra_blocks";
                let p6 = conv(last, out, 3).stride(2).build(&(&vb / "p6"))?;
                let p7 = conv(out, out, 3).stride(2).build(&(&vb / "p7"))?;
                Extra::P6P7 {
                    of_output: last == out,
                    convs: Box::new([p6, p7]),
                }
            }
        };
        Ok(Fpn {
            path: Arc::clone(vb.path()),
            levels: self
                .in_channels
                .iter()
                .enumerate()
                .map(level)
                .collect::<Result<_>>()?,
            extra,
        })
    }
}

/// A convolution that starts as torchvision's: `kaiming_uniform` with `a = 1`, and no bias.
fn conv(in_channels: usize, out_channels: usize, kernel: usize) -> Conv2dConfig {
    let fan_in = in_channels as f64 * (kernel * kernel) as f64;
    let bound = (3.0 / fan_in).sqrt();
    Conv2dConfig::new(in_channels, out_channels, kernel)
        .same_padding()
        .init(Init::Uniform { bound })
        .bias_init(Init::ZEROS)
}

/// A feature pyramid network.
#[derive(Debug)]
pub struct Fpn {
    path: Arc<str>,
    levels: Vec<Level>,
    extra: Extra,
}

#[derive(Debug)]
struct Level {
    inner: Conv2d,
    layer: Conv2d,
}

#[derive(Debug)]
enum Extra {
    None,
    MaxPool,
    P6P7 {
        /// Whether P6 reads the last output; otherwise the last input.
        of_output: bool,
        convs: Box<[Conv2d; 2]>,
    },
}

impl Layer for Fpn {
    fn visit(&self, v: &mut dyn Visitor) {
        for (i, level) in self.levels.iter().enumerate() {
            v.child(&format!("inner_blocks.{i}.0"), &level.inner);
        }
        for (i, level) in self.levels.iter().enumerate() {
            v.child(&format!("layer_blocks.{i}.0"), &level.layer);
        }
        if let Extra::P6P7 { convs, .. } = &self.extra {
            let [p6, p7] = &**convs;
            v.child("extra_blocks.p6", p6);
            v.child("extra_blocks.p7", p7);
        }
    }
}

impl Fpn {
    /// The pyramid, the finest map first in both, with the extra levels at its end.
    ///
    /// # Shapes
    /// `[N, C_i, H_i, W_i]` to `[N, out, H_i, W_i]`; an extra level has half the size, rounded up.
    ///
    /// # Errors
    /// There are not as many maps as configured, or one does not fit.
    pub fn forward(&self, maps: &[Tensor]) -> Result<Vec<Tensor>> {
        scope(&self.path, || {
            sizes(LAYER, maps, self.levels.len())?;
            let mut above: Option<Tensor> = None;
            let mut outputs = Vec::new();
            for (level, map) in self.levels.iter().zip(maps).rev() {
                let mut inner = level.inner.forward(map)?;
                if let Some(above) = above {
                    inner = add_resized(&inner, &above)?;
                }
                outputs.push(level.layer.forward(&inner)?);
                above = Some(inner);
            }
            outputs.reverse();
            let (Some(x), Some(y)) = (maps.last(), outputs.last()) else {
                return Err(Error::msg("Fpn: no level"));
            };
            let extra = self.extra.forward(x, y)?;
            outputs.extend(extra);
            Ok(outputs)
        })
    }
}

impl Extra {
    /// The levels beyond the last, of which `x` came in and `y` goes out.
    fn forward(&self, x: &Tensor, y: &Tensor) -> Result<Vec<Tensor>> {
        Ok(match self {
            Self::None => vec![],
            Self::MaxPool => vec![y.max_pool2d(PoolOptions::new(1).stride(2))?],
            Self::P6P7 { of_output, convs } => {
                let [p6, p7] = &**convs;
                let p6 = p6.forward(if *of_output { y } else { x })?;
                let p7 = p7.forward(&p6.relu()?)?;
                vec![p6, p7]
            }
        })
    }
}

/// How other implementations name the same weights.
pub mod fpn_key_maps {
    use crate::KeyMap;

    /// torchvision before 0.14: `inner_blocks.i.weight` without the position in a `Sequential`.
    #[must_use]
    pub fn torchvision_before_014() -> KeyMap {
        ["inner_blocks", "layer_blocks"]
            .iter()
            .fold(KeyMap::new(), |map, blocks| {
                ["weight", "bias"].iter().fold(map, |map, t| {
                    map.rename(&format!("{blocks}.*.{t}"), &format!("{blocks}.*.0.{t}"))
                })
            })
    }

    /// mmdetection: `lateral_convs.i.conv` and `fpn_convs.i.conv`, for an FPN without extra convolutions.
    #[must_use]
    pub fn mmdetection() -> KeyMap {
        KeyMap::new()
            .rename("lateral_convs.*.conv", "inner_blocks.*.0")
            .rename("fpn_convs.*.conv", "layer_blocks.*.0")
    }

    /// detectron2, whose levels are numbered from the second stage: `fpn_lateral2`, `fpn_output2`,
    /// `top_block.p6`.
    #[must_use]
    pub fn detectron2() -> KeyMap {
        let levels = KeyMap::new().rename_with(|name| {
            let (layer, tensor) = name.rsplit_once('.')?;
            let (prefix, layer) = layer.rsplit_once('.').map_or(("", layer), |(p, l)| (p, l));
            let (blocks, stage) = match layer.strip_prefix("fpn_lateral") {
                Some(stage) => ("inner_blocks", stage),
                None => ("layer_blocks", layer.strip_prefix("fpn_output")?),
            };
            let i = stage.parse::<usize>().ok()?.checked_sub(2)?;
            let dot = if prefix.is_empty() { "" } else { "." };
            Some(format!("{prefix}{dot}{blocks}.{i}.0.{tensor}"))
        });
        levels.rename("top_block", "extra_blocks")
    }
}
