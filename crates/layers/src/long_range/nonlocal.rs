//! The non-local block: every place gathers from every other, weighted by how they go together.
//!
//! ```text
//! y_i = sum_j f(x_i, x_j) g(x_j) / c_i        z = W y + x
//! ```
//!
//! Paper: Wang, Girshick, Gupta, He, *Non-local Neural Networks*, CVPR 2018, arXiv:1711.07971.
//! Departures: none. The softmax of the first two forms never stores the matrix of pairs. The dot
//! product is summed over places first where that is less work, and the concatenation is a sum of two
//! numbers a pair, gathered by a sweep in sorted order.
//! Parameters: `4*C*R + 3*R + C + 2*C` with embeddings and batch norm, `2*C*R + R + C + 2*C` without
//! embeddings, `2*R` more for the concatenation; `R` is the width of the embedding.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Pool1dOptions, Pool3dOptions, PoolOptions, Result, Tensor};

use super::places::{emit_middle, places};
use crate::util::{at_least_one, invalid};
use crate::{
    Activation, BatchNorm2d, BatchNormConfig, Conv1dConfig, Conv2d, Conv2dConfig, Conv3dConfig,
    Init, Layer, Module, Parameter, Sequential, VarBuilder, Visitor, conv_norm_act,
};

/// How two places go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// `exp(x_i . x_j)`, normalised over `j`: a softmax.
    Gaussian,
    /// `exp(theta(x_i) . phi(x_j))`, normalised over `j`.
    Embedded,
    /// `theta(x_i) . phi(x_j)`, divided by the number of places.
    Dot,
    /// `relu(w . [theta(x_i), phi(x_j)])`, divided by the number of places.
    Concat,
}

/// Where the map that is compared with is sub-sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolPosition {
    /// After the embeddings, as most implementations do.
    After,
    /// Before them, as the paper's code does: the maximum does not commute with a linear map.
    Before,
}

/// A factor of the products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AffinityScale {
    /// The inverse square root of the embedding's width.
    InvSqrtInter,
    /// The inverse square root of the number of channels, as timm has it.
    InvSqrtIn,
}

/// How to build a [`NonLocal`].
#[derive(Clone, Debug)]
pub struct NonLocalConfig {
    /// 1 for sequences, 2 for images, 3 for volumes.
    pub dims: usize,
    /// Number of channels.
    pub channels: usize,
    /// Width of the embedding; half of the channels if not set.
    pub inter_channels: Option<usize>,
    /// How places go together.
    pub affinity: Affinity,
    /// Whether the map that is compared with is halved by a max-pooling, but for its depth.
    pub sub_sample: bool,
    /// Where.
    pub pool_position: PoolPosition,
    /// A factor of the products, if any.
    pub scale: Option<AffinityScale>,
    /// Whether a batch norm ends the branch.
    pub bn_layer: bool,
    /// Where the weights of the embeddings start.
    pub init: Init,
}

impl NonLocalConfig {
    /// The embedded form with half of the channels, a batch norm, and neither sub-sampling nor scale.
    #[must_use]
    pub fn new(dims: usize, channels: usize) -> Self {
        Self {
            dims,
            channels,
            inter_channels: None,
            affinity: Affinity::Embedded,
            sub_sample: false,
            pool_position: PoolPosition::After,
            scale: None,
            bn_layer: true,
            init: Init::KaimingUniform,
        }
    }

    /// Sets the width of the embedding.
    #[must_use]
    pub fn inter_channels(mut self, width: usize) -> Self {
        self.inter_channels = Some(width);
        self
    }

    /// Sets how places go together.
    #[must_use]
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.affinity = affinity;
        self
    }

    /// Sets whether the map that is compared with is halved.
    #[must_use]
    pub fn sub_sample(mut self, yes: bool) -> Self {
        self.sub_sample = yes;
        self
    }

    /// Sets where it is halved.
    #[must_use]
    pub fn pool_position(mut self, position: PoolPosition) -> Self {
        self.pool_position = position;
        self
    }

    /// Sets a factor of the products.
    #[must_use]
    pub fn scale(mut self, scale: AffinityScale) -> Self {
        self.scale = Some(scale);
        self
    }

    /// Sets whether a batch norm ends the branch.
    #[must_use]
    pub fn bn_layer(mut self, yes: bool) -> Self {
        self.bn_layer = yes;
        self
    }

    /// Sets where the weights of the embeddings start; the paper's code has a normal distribution of 0.01.
    #[must_use]
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    fn check(&self) -> Result<()> {
        const LAYER: &str = "NonLocal";
        if !(1..=3).contains(&self.dims) {
            return Err(invalid(LAYER, "dims", self.dims, "it must be 1, 2 or 3"));
        }
        at_least_one(LAYER, "channels", self.channels)?;
        at_least_one(LAYER, "inter_channels", self.inter_channels.unwrap_or(1))?;
        let scaled = !matches!(self.affinity, Affinity::Gaussian | Affinity::Concat);
        match self.scale {
            Some(scale) if !scaled => {
                let rule = format!("the form {:?} has no scale", self.affinity);
                Err(invalid(LAYER, "scale", scale, rule))
            }
            _ => Ok(()),
        }
    }

    /// Builds the module: `g`, `theta` and `phi` with embeddings, `concat_project.0` for the concatenation, `W`;
    /// with sub-sampling `g.0` and `phi.0`, with a batch norm `W.0` and `W.1`. It starts as the identity.
    ///
    /// # Errors
    /// There are no such dimensions, a number is 0, or the form has no scale.
    pub fn build(&self, vb: &VarBuilder) -> Result<NonLocal> {
        self.check().map_err(|e| e.at(vb.path()))?;
        let (c, width) = (self.channels, self.inter_channels);
        let width = width.unwrap_or((c / 2).max(1));
        let embedding = |name: &'static str, pooled: bool| {
            let name = if pooled && self.sub_sample {
                [name, ".0"].concat()
            } else {
                name.to_owned()
            };
            let layer = pointwise(
                self.dims,
                [c, width],
                [Some(self.init), None],
                &(vb / &name),
            )?;
            Ok::<_, Error>(Embedding { name, layer })
        };
        let embedded = self.affinity != Affinity::Gaussian;
        let concat = vb / "concat_project.0";
        let concat = (self.affinity == Affinity::Concat)
            .then(|| concat.parameter("weight", &[1, 2 * width, 1, 1], Init::KaimingUniform));
        let scale = self.scale.map_or(1.0, |scale| {
            let width = match scale {
                AffinityScale::InvSqrtInter => width,
                AffinityScale::InvSqrtIn => c,
            };
            1.0 / (width as f64).sqrt()
        });
        Ok(NonLocal {
            path: Arc::clone(vb.path()),
            dims: self.dims,
            channels: c,
            width,
            affinity: self.affinity,
            pool: self.sub_sample.then_some(self.pool_position),
            scale,
            g: embedding("g", true)?,
            theta: embedded.then(|| embedding("theta", false)).transpose()?,
            phi: embedded.then(|| embedding("phi", true)).transpose()?,
            concat: concat.transpose()?,
            back: self.back(width, vb)?,
        })
    }

    /// The way back to all channels, which starts as nothing.
    fn back(&self, width: usize, vb: &VarBuilder) -> Result<Back> {
        let sizes = [width, self.channels];
        if !self.bn_layer {
            let zero = Some(Init::ZEROS);
            return Ok(Back::Any(pointwise(
                self.dims,
                sizes,
                [zero; 2],
                &(vb / "W"),
            )?));
        }
        let [conv, norm] = [vb / "W.0", vb / "W.1"];
        let bn = BatchNormConfig::new(self.channels).weight_init(Init::ZEROS);
        if self.dims == 2 {
            return Ok(Back::Plane {
                conv: Conv2dConfig::new(width, self.channels, 1).build(&conv)?,
                bn: bn.build_2d(&norm)?,
            });
        }
        let conv = pointwise(self.dims, sizes, [None; 2], &conv)?;
        let layers = Sequential::new().push(conv);
        Ok(Back::Any(Box::new(match self.dims {
            1 => layers.push(bn.build_1d(&norm)?),
            _ => layers.push(bn.build_3d(&norm)?),
        })))
    }
}

/// A convolution of one place, from `[in, out]` channels; weights and biases start as PyTorch has them or as told.
fn pointwise(
    dims: usize,
    [i, o]: [usize; 2],
    [weight, bias]: [Option<Init>; 2],
    vb: &VarBuilder,
) -> Result<Box<dyn Module>> {
    let init = weight.unwrap_or(Init::KaimingUniform);
    Ok(match dims {
        1 => {
            let mut config = Conv1dConfig::new(i, o, 1).init(init);
            config.bias_init = bias;
            Box::new(config.build(vb)?)
        }
        2 => {
            let mut config = Conv2dConfig::new(i, o, 1).init(init);
            config.bias_init = bias;
            Box::new(config.build(vb)?)
        }
        _ => {
            let mut config = Conv3dConfig::new(i, o, 1).init(init);
            config.bias_init = bias;
            Box::new(config.build(vb)?)
        }
    })
}

/// A linear map of each place, under its name.
#[derive(Debug)]
struct Embedding {
    name: String,
    layer: Box<dyn Module>,
}

/// What leads back to all channels.
#[derive(Debug)]
enum Back {
    /// In two dimensions, in one pass with the sum.
    Plane { conv: Conv2d, bn: BatchNorm2d },
    /// Otherwise.
    Any(Box<dyn Module>),
}

/// The non-local block. Emits what the place in the middle of the map gathers from each other, as
/// [`SpatialMap`](crate::probe::ProbeKind::SpatialMap), in the forms with a softmax.
#[derive(Debug)]
pub struct NonLocal {
    path: Arc<str>,
    dims: usize,
    channels: usize,
    width: usize,
    affinity: Affinity,
    pool: Option<PoolPosition>,
    scale: f64,
    g: Embedding,
    theta: Option<Embedding>,
    phi: Option<Embedding>,
    concat: Option<Parameter>,
    back: Back,
}

impl Layer for NonLocal {
    fn visit(&self, v: &mut dyn Visitor) {
        let embeddings = [Some(&self.g), self.theta.as_ref(), self.phi.as_ref()];
        for Embedding { name, layer } in embeddings.into_iter().flatten() {
            v.child(name, layer);
        }
        if let Some(weight) = &self.concat {
            v.parameter("concat_project.0.weight", weight);
        }
        match &self.back {
            Back::Plane { conv, bn } => {
                v.child("W.0", conv);
                v.child("W.1", bn);
            }
            Back::Any(layer) => v.child("W", layer),
        }
    }
}

impl Module for NonLocal {
    /// # Shapes
    /// `[N, C, L]`, `[N, C, H, W]` or `[N, C, T, H, W]`, by the number of dimensions, to the same.
    ///
    /// # Errors
    /// The shape is another, or has fewer than two places along an axis that is halved.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            self.check(x)?;
            let small = match self.pool {
                Some(PoolPosition::Before) => self.halve(x)?,
                _ => x.clone(),
            };
            let after = |y: Tensor| match self.pool {
                Some(PoolPosition::After) => self.halve(&y),
                _ => Ok(y),
            };
            let values = after(self.g.layer.forward(&small)?)?;
            let (queries, keys) = match (&self.theta, &self.phi) {
                (Some(theta), Some(phi)) => {
                    let keys = after(phi.layer.forward(&small)?)?;
                    (theta.layer.forward(x)?, keys)
                }
                _ => (x.clone(), after(small)?),
            };
            if matches!(self.affinity, Affinity::Gaussian | Affinity::Embedded) {
                emit_middle(&self.path, &queries, &keys, self.scale)?;
            }
            let y = self.gather(&places(&queries)?, &places(&keys)?, &places(&values)?)?;
            let mut shape = x.shape().to_vec();
            shape[1] = self.width;
            let y = y.transpose(1, 2)?.reshape(shape)?;
            match &self.back {
                Back::Plane { conv, bn } => {
                    conv_norm_act(conv, bn, Activation::Identity, &y, Some(x))
                }
                Back::Any(layer) => layer.forward(&y)?.add(x),
            }
        })
    }
}

impl NonLocal {
    fn check(&self, x: &Tensor) -> Result<()> {
        let shape = x.shape();
        if shape.len() != self.dims + 2 || shape[1] != self.channels {
            let axes = ["L", "H, W", "T, H, W"][self.dims - 1];
            let detail = format!(
                "expected [N, {}, {axes}], got shape {shape:?}",
                self.channels
            );
            return Err(Error::shape("NonLocal", detail));
        }
        let halved = &shape[2 + usize::from(self.dims == 3)..];
        if self.pool.is_some() && halved.iter().any(|&size| size < 2) {
            let detail =
                format!("sub-sampling needs two places along {halved:?} of shape {shape:?}");
            return Err(Error::shape("NonLocal", detail));
        }
        Ok(())
    }

    fn halve(&self, x: &Tensor) -> Result<Tensor> {
        match self.dims {
            1 => x.max_pool1d(Pool1dOptions::new(2)),
            2 => x.max_pool2d(PoolOptions::new(2)),
            _ => x.max_pool3d(Pool3dOptions::new([1, 2, 2])),
        }
    }

    /// What each of `[N, P, R]` queries gathers of `[N, Q, R]` values.
    fn gather(&self, queries: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor> {
        let [_, p, width] = queries.dims_array("NonLocal")?;
        let [_, q, _] = keys.dims_array("NonLocal")?;
        let share = 1.0 / q as f64;
        match (self.affinity, &self.concat) {
            (Affinity::Concat, Some(weight)) => {
                let weight = weight.tensor().reshape([2 * width, 1])?;
                let [own, other] = [weight.narrow(0, 0, width)?, weight.narrow(0, width, width)?];
                let (own, other) = (queries.matmul(&own)?, keys.matmul(&other)?);
                own.squeeze(2)?
                    .rectified_pairs(&other.squeeze(2)?, values)?
                    .mul_scalar(share)
            }
            (Affinity::Dot | Affinity::Concat, _) => {
                let keys = keys.transpose(1, 2)?;
                let share = share * self.scale;
                // Either order of the two products.
                if width * (p + q) <= 2 * p * q {
                    queries.matmul(&keys.matmul(values)?.mul_scalar(share)?)
                } else {
                    queries.matmul(&keys)?.mul_scalar(share)?.matmul(values)
                }
            }
            (Affinity::Gaussian | Affinity::Embedded, _) => {
                queries.attention(keys, values, self.scale)
            }
        }
    }
}

/// How other implementations name the same weights.
pub mod nonlocal_key_maps {
    use crate::KeyMap;

    /// mmcv: every convolution is the `conv` of a `ConvModule`.
    #[must_use]
    pub fn mmcv() -> KeyMap {
        KeyMap::new()
            .rename("conv_out.conv", "W.0")
            .rename("conv_out.bn", "W.1")
            .rename("concat_project.conv", "concat_project.0")
            .rename("g.conv", "g")
            .rename("theta.conv", "theta")
            .rename("phi.conv", "phi")
            .rename("g.0.conv", "g.0")
            .rename("phi.0.conv", "phi.0")
    }

    /// As [`mmcv`], of a block without a batch norm.
    #[must_use]
    pub fn mmcv_without_norm() -> KeyMap {
        KeyMap::new().rename("conv_out.conv", "W").then(mmcv())
    }

    /// timm's `NonLocalAttn`, which has an eighth of the channels in its embedding and scales by the square root of
    /// all of them.
    #[must_use]
    pub fn timm() -> KeyMap {
        KeyMap::new()
            .rename("t", "theta")
            .rename("p", "phi")
            .rename("z", "W.0")
            .rename("norm", "W.1")
    }

    /// The paper's code, once its blobs are named by module: `nonlocal_conv4_5._theta`.
    #[must_use]
    pub fn video_nonlocal_net() -> KeyMap {
        KeyMap::new()
            .rename("_theta", "theta")
            .rename("_phi", "phi")
            .rename("_g", "g")
            .rename("_out", "W.0")
            .rename("_bn", "W.1")
    }
}
