//! Convolutions in a row in evaluation, with what follows each.

use striate_kernels::conv2d::{Chain, Conv2dGeometry, Link};
use striate_kernels::epilogue::Epilogue;
use striate_simd::Buffer;

use super::conv2d::packed_for;
use super::conv2d_fused::{Conv2dEpilogue, memory};
use super::spatial::{format_for, image};
use crate::autograd::reject;
use crate::{Conv2dOptions, DType, MemoryFormat, Result, Tensor};

const OP: &str = "conv2d_chain";

/// One convolution of a [chain](Tensor::conv2d_chain).
#[derive(Clone, Copy, Debug)]
pub struct Conv2dLink<'a> {
    /// Its weight.
    pub weight: &'a Tensor,
    /// Its attributes.
    pub options: Conv2dOptions,
    /// What surrounds it.
    pub epilogue: Conv2dEpilogue<'a>,
}

impl Tensor {
    /// The [`conv2d_fused`](Self::conv2d_fused) of each link, of what the link before it gives, with the same bits.
    ///
    /// Where [it pays](Self::conv2d_chain_pays), the maps in between are never whole.
    ///
    /// # Shapes
    /// Those of [`conv2d_fused`](Self::conv2d_fused).
    ///
    /// # Errors
    /// Those of [`conv2d_fused`](Self::conv2d_fused).
    pub fn conv2d_chain(&self, links: &[Conv2dLink<'_>]) -> Result<Self> {
        if let Some(y) = self.in_bands(links)? {
            return Ok(y);
        }
        let mut x = self.clone();
        for link in links {
            x = x.conv2d_fused(link.weight, link.options, &link.epilogue)?;
        }
        Ok(x)
    }

    /// Whether convolutions of these weights and attributes, one after the other, are faster as a
    /// [chain](Self::conv2d_chain) than one by one: a wide map that the caches do not hold lies between pointwise and
    /// depthwise ones.
    #[must_use]
    pub fn conv2d_chain_pays(&self, links: &[(&Self, Conv2dOptions)]) -> bool {
        self.chain_geometries(links).is_some()
    }

    /// The shapes of a chain that is computed in bands.
    fn chain_geometries(&self, links: &[(&Self, Conv2dOptions)]) -> Option<Vec<Conv2dGeometry>> {
        let &[mut n, mut c, mut h, mut w] = self.shape() else {
            return None;
        };
        let mut geometries = Vec::with_capacity(links.len());
        for (weight, options) in links {
            let &[out, per_group, kh, kw] = weight.shape() else {
                return None;
            };
            let g = Conv2dGeometry::new(
                n,
                c,
                [h, w],
                out,
                [kh, kw],
                options.stride,
                options.padding,
                options.dilation,
                options.groups,
            );
            let g = g.ok().filter(|g| per_group == g.group_in_channels())?;
            [n, c, h, w] = g.y_shape();
            geometries.push(g);
        }
        Chain::suits(&geometries).then_some(geometries)
    }

    /// The chain, if all of it can be computed in bands.
    fn in_bands(&self, links: &[Conv2dLink<'_>]) -> Result<Option<Self>> {
        let shapes: Vec<_> = links.iter().map(|l| (l.weight, l.options)).collect();
        let Some(geometries) = self.chain_geometries(&shapes) else {
            return Ok(None);
        };
        let last = geometries.len() - 1;
        let channels_last = |channels| format_for(channels) == MemoryFormat::ChannelsLast;
        let suits = |g: &Conv2dGeometry| {
            [g.in_channels(), g.out_channels()]
                .into_iter()
                .all(channels_last)
        };
        let plain = self.is_plain(self.shape())
            && geometries.iter().all(suits)
            && links
                .iter()
                .zip(&geometries)
                .enumerate()
                .all(|(i, (link, g))| {
                    let Conv2dEpilogue {
                        gate,
                        scale,
                        bias,
                        residual,
                        ..
                    } = link.epilogue;
                    let per_channel = [scale, bias].into_iter().flatten();
                    let mut residuals = residual.into_iter();
                    link.weight.is_plain(link.weight.shape())
                        && gate.is_none()
                        && { per_channel }.all(|t| t.is_plain(&[g.out_channels()]))
                        && residuals.all(|t| i == last && t.is_plain(&g.y_shape()))
                });
        if !plain {
            return Ok(None);
        }
        let x = self.channels_last()?;
        let dense = |t: Option<&Self>| t.map(Self::contiguous).transpose();
        let mut weights = Vec::new();
        let mut operands = Vec::new();
        for (link, g) in links.iter().zip(&geometries) {
            weights.push(packed_for(MemoryFormat::ChannelsLast, link.weight, g)?);
            let residual = link
                .epilogue
                .residual
                .map(Self::channels_last)
                .transpose()?;
            operands.push([
                dense(link.epilogue.scale)?,
                dense(link.epilogue.bias)?,
                residual,
            ]);
        }
        let mut steps = Vec::with_capacity(links.len());
        for (i, geometry) in geometries.into_iter().enumerate() {
            let [scale, bias, residual] = &operands[i];
            steps.push(Link {
                geometry,
                weights: &weights[i],
                epilogue: Epilogue::NONE
                    .scale(memory(scale.as_ref())?)
                    .bias(memory(bias.as_ref())?)
                    .residual(memory(residual.as_ref())?)
                    .activation(links[i].epilogue.activation),
            });
        }
        let Some(chain) = Chain::new(&steps) else {
            return Ok(None);
        };
        let mut y = Buffer::recycled(steps[last].geometry.y_len())?;
        chain.forward(x.memory()?, &mut y)?;
        image(y, steps[last].geometry.y_shape()).map(Some)
    }

    /// Whether it has this shape and nothing in the way of a kernel of `f32`.
    fn is_plain(&self, shape: &[usize]) -> bool {
        self.shape() == shape && self.dtype() == DType::F32 && reject(OP, &[self]).is_ok()
    }
}
