//! Dual attention: places gather from places that look alike, and channels from channels that do not.
//!
//! ```text
//! position: p_i = sum_j softmax_j(q_i . k_j) v_j        q, k, v: 1x1 convolutions of x
//! channel:  c_a = sum_b softmax_b(-x_a . x_b) x_b        over whole maps
//! y = (gamma_p p + x) + (gamma_c c + x)
//! ```
//!
//! Paper: Fu et al., *Dual Attention Network for Scene Segmentation*, CVPR 2019, arXiv:1809.02983.
//! Departures: none from the released code, whose channel weights are a softmax of `max - x_a . x_b`.
//! Parameters: `2*(C*R + R) + C*C + C + 2`, `R = C / reduction`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::places::{emit_middle, places};
use crate::util::reduced_channels;
use crate::{Conv2d, Conv2dConfig, Init, Layer, Module, Parameter, Rounding, VarBuilder, Visitor};

/// How to build a [`Danet`].
#[derive(Clone, Debug)]
pub struct DanetConfig {
    /// Number of channels.
    pub channels: usize,
    /// How many times fewer channels queries and keys have.
    pub reduction: usize,
}

impl DanetConfig {
    /// The released code's: reduction 8.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            reduction: 8,
        }
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Builds the module: `sa` with `query_conv`, `key_conv`, `value_conv` and `gamma`, and `sc` with `gamma`.
    ///
    /// # Errors
    /// A number is 0, or the reduced width would be 0.
    pub fn build(&self, vb: &VarBuilder) -> Result<Danet> {
        Ok(Danet {
            path: Arc::clone(vb.path()),
            sa: Projections::build("Danet", self.channels, self.reduction, &(vb / "sa"))?,
            sc: (vb / "sc").parameter("gamma", &[1], Init::ZEROS)?,
        })
    }
}

/// Queries, keys and values of every place, and the weight of what is gathered.
#[derive(Debug)]
pub(super) struct Projections {
    query: Conv2d,
    key: Conv2d,
    value: Conv2d,
    gamma: Parameter,
}

impl Projections {
    pub(super) fn build(
        layer: &'static str,
        channels: usize,
        reduction: usize,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let width = reduced_channels(layer, channels, reduction, Rounding::Floor)
            .map_err(|e| e.at(vb.path()))?;
        let conv = |out, name| Conv2dConfig::new(channels, out, 1).build(&(vb / name));
        Ok(Self {
            query: conv(width, "query_conv")?,
            key: conv(width, "key_conv")?,
            value: conv(channels, "value_conv")?,
            gamma: vb.parameter("gamma", &[1], Init::ZEROS)?,
        })
    }

    /// Queries, keys and values.
    pub(super) fn forward(&self, x: &Tensor) -> Result<[Tensor; 3]> {
        Ok([
            self.query.forward(x)?,
            self.key.forward(x)?,
            self.value.forward(x)?,
        ])
    }

    /// What is gathered, weighted, which starts as nothing.
    pub(super) fn weigh(&self, y: &Tensor) -> Result<Tensor> {
        y.mul(&self.gamma.tensor())
    }
}

impl Layer for Projections {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("gamma", &self.gamma);
        v.child("query_conv", &self.query);
        v.child("key_conv", &self.key);
        v.child("value_conv", &self.value);
    }
}

/// The dual attention module, which starts as `2 x`. Emits what the place in the middle of the map gathers from each
/// other as [`SpatialMap`](crate::probe::ProbeKind::SpatialMap).
#[derive(Debug)]
pub struct Danet {
    path: Arc<str>,
    sa: Projections,
    sc: Parameter,
}

impl Layer for Danet {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("sa", &self.sa);
        v.parameter("sc.gamma", &self.sc);
    }
}

impl Module for Danet {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [n, c, h, w] = x.dims_array("Danet")?;
            let map = |y: Tensor| y.transpose(1, 2)?.reshape([n, c, h, w]);
            let [q, k, v] = self.sa.forward(x)?;
            emit_middle(&self.path, &q, &k, 1.0)?;
            let gathered = places(&q)?.attention(&places(&k)?, &places(&v)?, 1.0)?;
            let position = self.sa.weigh(&map(gathered)?)?;
            // The softmax of max - e is that of -e.
            let rows = places(x)?;
            let unlike = rows.transpose(1, 2)?.matmul(&rows)?.neg()?.softmax(2)?;
            let gathered = map(rows.matmul(&unlike.transpose(1, 2)?)?)?;
            let channel = gathered.mul(&self.sc.tensor())?;
            position.add(x)?.add(&channel.add(x)?)
        })
    }
}

/// How other implementations name the same weights.
pub mod danet_key_maps {
    use crate::KeyMap;

    /// mmsegmentation's head: `pam` and `cam`, projections, and scalars as weights.
    #[must_use]
    pub fn mmseg() -> KeyMap {
        KeyMap::new()
            .rename("pam", "sa")
            .rename("cam", "sc")
            .rename("query_project", "query_conv")
            .rename("key_project", "key_conv")
            .rename("value_project", "value_conv")
            .transform("gamma.scale", |gamma| gamma.reshape(1))
            .rename("gamma.scale", "gamma")
    }
}
