//! Path aggregation network: a feature pyramid, and after it a way back up, so that what fine maps localise
//! reaches the coarse ones in a few steps.
//!
//! ```text
//! m_i = conv1x1(x_i) + up(m_i+1)                          from the coarsest on; up by nearest neighbours
//! p_i = conv3x3(m_i)
//! q_0 = p_0,  q_i+1 = p_i+1 + conv3x3_stride2(q_i)        from the finest on
//! y_0 = q_0,  y_i   = conv3x3(q_i)
//! ```
//!
//! Paper: Liu, Qi, Qin, Shi, Jia, *Path Aggregation Network for Instance Segmentation*, CVPR 2018, arXiv:1803.01534.
//! Departures: those of mmdetection's PAFPN, which has no activations.
//! Parameters of `n` levels with `D` channels out: `sum C_i*D + n*D + (3n - 2)(9*D*D + D)`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Result, Tensor};

use super::{add_resized, check_channels, sizes};
use crate::util::at_least_one;
use crate::{Conv2d, Conv2dConfig, Init, Layer, Module, VarBuilder, Visitor};

const LAYER: &str = "Pan";

/// How to build a [`Pan`].
#[derive(Clone, Debug)]
pub struct PanConfig {
    /// Channels of each map, the finest first.
    pub in_channels: Vec<usize>,
    /// Channels of every output.
    pub out_channels: usize,
}

impl PanConfig {
    /// 256 channels on every level.
    #[must_use]
    pub fn new(in_channels: impl Into<Vec<usize>>) -> Self {
        Self {
            in_channels: in_channels.into(),
            out_channels: 256,
        }
    }

    /// Sets the channels of every output.
    #[must_use]
    pub fn out_channels(mut self, channels: usize) -> Self {
        self.out_channels = channels;
        self
    }

    /// Builds the layers `{lateral,fpn,downsample,pafpn}_convs.i.conv`, as mmdetection.
    ///
    /// # Errors
    /// There is no map, or a number of channels is 0.
    pub fn build(&self, vb: &VarBuilder) -> Result<Pan> {
        let check = || {
            check_channels(LAYER, &self.in_channels, 1)?;
            at_least_one(LAYER, "out_channels", self.out_channels)
        };
        check().map_err(|e| e.at(vb.path()))?;
        let (n, out) = (self.in_channels.len(), self.out_channels);
        let lateral = |(i, &c): (usize, &usize)| {
            conv(c, out, 1, 1).build(&(vb / "lateral_convs" / i / "conv"))
        };
        let row = |count: usize, stride, name: &str| {
            (0..count)
                .map(|i| conv(out, out, 3, stride).build(&(vb / name / i / "conv")))
                .collect::<Result<Vec<_>>>()
        };
        Ok(Pan {
            path: Arc::clone(vb.path()),
            lateral: self
                .in_channels
                .iter()
                .enumerate()
                .map(lateral)
                .collect::<Result<_>>()?,
            top_down: row(n, 1, "fpn_convs")?,
            downsample: row(n - 1, 2, "downsample_convs")?,
            bottom_up: row(n - 1, 1, "pafpn_convs")?,
        })
    }
}

/// A convolution that starts as mmdetection's: `xavier_uniform`, and no bias.
fn conv(in_channels: usize, out_channels: usize, kernel: usize, stride: usize) -> Conv2dConfig {
    let fans = (in_channels as f64 + out_channels as f64) * (kernel * kernel) as f64;
    let bound = (6.0 / fans).sqrt();
    Conv2dConfig::new(in_channels, out_channels, kernel)
        .stride(stride)
        .same_padding()
        .init(Init::Uniform { bound })
        .bias_init(Init::ZEROS)
}

/// A path aggregation network.
#[derive(Debug)]
pub struct Pan {
    path: Arc<str>,
    lateral: Vec<Conv2d>,
    top_down: Vec<Conv2d>,
    downsample: Vec<Conv2d>,
    bottom_up: Vec<Conv2d>,
}

impl Layer for Pan {
    fn visit(&self, v: &mut dyn Visitor) {
        let rows = [
            ("lateral_convs", &self.lateral),
            ("fpn_convs", &self.top_down),
            ("downsample_convs", &self.downsample),
            ("pafpn_convs", &self.bottom_up),
        ];
        for (name, row) in rows {
            for (i, conv) in row.iter().enumerate() {
                v.child(&format!("{name}.{i}.conv"), conv);
            }
        }
    }
}

impl Pan {
    /// The pyramid, the finest map first in both.
    ///
    /// # Shapes
    /// `[N, C_i, H_i, W_i]` to `[N, out, H_i, W_i]`
    ///
    /// # Errors
    /// There are not as many maps as configured, or one has not half the size of the one before, rounded up.
    pub fn forward(&self, maps: &[Tensor]) -> Result<Vec<Tensor>> {
        scope(&self.path, || {
            let sizes = sizes(LAYER, maps, self.lateral.len())?;
            if sizes
                .windows(2)
                .any(|s| (0..2).any(|d| s[0][d].div_ceil(2) != s[1][d]))
            {
                let shapes: Vec<_> = maps.iter().map(Tensor::shape).collect();
                let detail = format!(
                    "each map must have half the height and width of the one before, rounded up, got shapes {shapes:?}"
                );
                return Err(Error::shape(LAYER, detail));
            }
            let mut down: Vec<Tensor> = Vec::new();
            for (lateral, map) in self.lateral.iter().zip(maps).rev() {
                let map = lateral.forward(map)?;
                down.push(match down.last() {
                    Some(above) => add_resized(&map, above)?,
                    None => map,
                });
            }
            let mut outputs: Vec<Tensor> = Vec::new();
            let mut below: Option<Tensor> = None;
            for (i, (conv, map)) in self.top_down.iter().zip(down.iter().rev()).enumerate() {
                let mut map = conv.forward(map)?;
                match below {
                    None => outputs.push(map.clone()),
                    Some(below) => {
                        map = map.add(&self.downsample[i - 1].forward(&below)?)?;
                        outputs.push(self.bottom_up[i - 1].forward(&map)?);
                    }
                }
                below = Some(map);
            }
            Ok(outputs)
        })
    }
}
