//! 2-D convolution.

use std::sync::{Arc, OnceLock};

use striate_kernels::conv2d::{self, Arrangement, Conv2dGeometry, PackedWeights, reference};
use striate_kernels::epilogue::Epilogue;
use striate_simd::Buffer;

use super::batch_norm::BatchStats;
use super::check_float;
use super::spatial::{
    Padding, Pair, check_filters, filled_by, format_for, format_of, image, image_layout, in_format,
    view,
};
use crate::autograd::is_shapes_only;
use crate::autograd::{Description, VariadicFunction, apply_variadic, gradients};
use crate::level::current_policy;
use crate::{DType, Error, MemoryFormat, Result, Tensor};

const OP: &str = "conv2d";

/// Attributes of a convolution, by default those of PyTorch: stride 1, no padding, no dilation, one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dOptions {
    /// Step between output pixels, `[h, w]`.
    pub stride: [usize; 2],
    /// Zeros around the image, `[top, bottom, left, right]`.
    pub padding: [usize; 4],
    /// Distance between kernel taps, `[h, w]`.
    pub dilation: [usize; 2],
    /// Number of groups; output channels of a group see the input channels of that group only.
    pub groups: usize,
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Self {
            stride: [1; 2],
            padding: [0; 4],
            dilation: [1; 2],
            groups: 1,
        }
    }
}

impl Conv2dOptions {
    /// Sets the step between output pixels.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = stride.into().0;
        self
    }

    /// Sets the zeros around the image.
    #[must_use]
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.padding = padding.into().0;
        self
    }

    /// Sets the distance between kernel taps.
    #[must_use]
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
        self.dilation = dilation.into().0;
        self
    }

    /// Sets the number of groups.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }
}

impl Tensor {
    /// Cross-correlation with a bank of kernels, plus a bias:
    ///
    /// `y[n,o,i,j] = b[o] + sum over c,u,v of x[n, c, i*stride+u*dilation-top, j*stride+v*dilation-left] * w[o,c,u,v]`
    ///
    /// where `c` runs over the channels of the group of `o`. Outside of the image, `x` is 0.
    ///
    /// # Shapes
    /// `x [N, C, H, W]`, `weight [O, C/groups, KH, KW]`, `bias [O]` to `[N, O, OH, OW]` with
    /// `OH = (H + top + bottom - dilation*(KH-1) - 1) / stride + 1`, rounded down.
    ///
    /// # Errors
    /// The shapes do not fit each other, the kernel is larger than the padded image, element types
    /// differ, or memory is out.
    pub fn conv2d(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        options: Conv2dOptions,
    ) -> Result<Self> {
        self.convolved(weight, bias, Conv2d::new(options))
    }

    /// [`conv2d`](Self::conv2d), and the mean and variance of each channel of the result, for a batch norm
    /// that follows in training: they are taken while the result is in a near cache.
    ///
    /// The result tracks gradients, the statistics do not:
    /// [`batch_norm_with_stats`](Self::batch_norm_with_stats) lets gradients through both.
    ///
    /// # Shapes
    /// Those of [`conv2d`](Self::conv2d).
    ///
    /// # Errors
    /// Those of [`conv2d`](Self::conv2d).
    pub fn conv2d_with_stats(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        options: Conv2dOptions,
    ) -> Result<(Self, BatchStats)> {
        let stats = Arc::new(OnceLock::new());
        let function = Conv2d {
            options,
            stats: Some(Arc::clone(&stats)),
        };
        let y = self.convolved(weight, bias, function)?;
        let stats = match stats.get() {
            Some(stats) => stats.clone(),
            None => y.batch_stats()?,
        };
        Ok((y, stats))
    }

    fn convolved(&self, weight: &Self, bias: Option<&Self>, function: Conv2d) -> Result<Self> {
        check_float(OP, self)?;
        let [_, _, _, _] = self.dims_array(OP)?;
        // Both directions read the image in this order.
        let x = in_format(self, format_of(self))?;
        let inputs: Vec<&Self> = [Some(&x), Some(weight), bias]
            .into_iter()
            .flatten()
            .collect();
        apply_variadic(function, &inputs)
    }
}

#[derive(Debug)]
pub(super) struct Conv2d {
    options: Conv2dOptions,
    /// Where the forward pass leaves the statistics of its result, if they are wanted.
    stats: Option<Arc<OnceLock<BatchStats>>>,
}

pub(super) struct Saved {
    geometry: Conv2dGeometry,
    x: Tensor,
    weight: Tensor,
}

impl Conv2d {
    pub(super) fn new(options: Conv2dOptions) -> Self {
        Self {
            options,
            stats: None,
        }
    }

    /// Checks every shape.
    pub(super) fn geometry(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Conv2dGeometry> {
        let [n, c, h, w] = x.dims_array(OP)?;
        let [out, per_group, kh, kw] = weight.dims_array(OP)?;
        let Conv2dOptions {
            stride,
            padding,
            dilation,
            groups,
        } = self.options;
        let geometry = Conv2dGeometry::new(
            n,
            c,
            [h, w],
            out,
            [kh, kw],
            stride,
            padding,
            dilation,
            groups,
        )?;
        if per_group != geometry.group_in_channels() {
            let detail = format!(
                "input {:?} with {groups} groups needs a weight of {} channels, got {:?}",
                x.shape(),
                geometry.group_in_channels(),
                weight.shape()
            );
            return Err(Error::shape(OP, detail));
        }
        check_filters(OP, x, weight, bias, out)?;
        Ok(geometry)
    }
}

/// The weights as the algorithm of this convolution wants them, arranged once for each of their values.
pub(super) fn packed(
    x: &Tensor,
    weight: &Tensor,
    g: &Conv2dGeometry,
) -> Result<Arc<PackedWeights>> {
    packed_for(format_of(x), weight, g)
}

/// As [`packed`], for inputs in an order.
pub(super) fn packed_for(
    format: MemoryFormat,
    weight: &Tensor,
    g: &Conv2dGeometry,
) -> Result<Arc<PackedWeights>> {
    let (policy, layout) = (current_policy()?, image_layout(format));
    let arrangement = Arrangement::choose(policy, g, layout);
    weight.packed(&arrangement, || {
        let weight = weight.contiguous()?;
        Ok(PackedWeights::new(policy, g, layout, weight.memory()?)?)
    })
}

/// Computes `y` from `x` in inference. Weights that are used for the first time are not kept.
pub(super) fn forward_once_or_kept(
    x: &Tensor,
    weight: &Tensor,
    g: &Conv2dGeometry,
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<()> {
    let (policy, layout) = (current_policy()?, image_layout(format_of(x)));
    let arrangement = Arrangement::choose(policy, g, layout);
    let x = x.memory()?;
    let dense = weight.contiguous()?;
    let kept = weight.packed_again(&arrangement, || {
        Ok(PackedWeights::new(policy, g, layout, dense.memory()?)?)
    })?;
    match kept {
        Some(packed) => packed.forward(g, x, epilogue, y)?,
        None => conv2d::forward_unkept(policy, g, (x, layout), dense.memory()?, epilogue, y)?,
    }
    Ok(())
}

impl VariadicFunction for Conv2d {
    type Saved = Saved;

    fn describe(&self) -> Description {
        Description::new(OP)
            .with("stride", self.options.stride)
            .with("padding", self.options.padding)
            .with("dilation", self.options.dilation)
            .with("groups", self.options.groups)
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<(Tensor, Saved)> {
        let [x, weight, rest @ ..] = inputs else {
            return Err(Error::msg("conv2d: no weight"));
        };
        let bias = rest.first();
        let g = self.geometry(x, weight, bias)?;
        let bias = bias.map(Tensor::contiguous).transpose()?;
        if is_shapes_only() && self.stats.is_none() && x.dtype() == DType::F32 {
            let y = image(Buffer::recycled(g.y_len())?, g.y_shape())?;
            return Ok((
                y,
                Saved {
                    geometry: g,
                    x: x.clone(),
                    weight: weight.clone(),
                },
            ));
        }
        if x.dtype() == DType::F32 {
            let bias = bias.as_ref().map(Tensor::memory).transpose()?;
            let packed = packed(x, weight, &g)?;
            let mut y = Buffer::recycled(g.y_len())?;
            let (x_memory, epilogue) = (x.memory()?, Epilogue::NONE.bias(bias));
            if let Some(slot) = &self.stats {
                let moments = packed.forward_with_statistics(&g, x_memory, &epilogue, &mut y)?;
                let count = g.y_len() / g.out_channels();
                // A function that runs again finds the same.
                let _ = slot.set(BatchStats::single(moments, count)?);
            } else {
                packed.forward(&g, x_memory, &epilogue, &mut y)?;
            }
            return Ok((
                image(y, g.y_shape())?,
                Saved {
                    geometry: g,
                    x: x.clone(),
                    weight: weight.clone(),
                },
            ));
        }
        let y = filled_by::<f64>(g.y_shape(), format_for(g.out_channels()), |y| {
            let bias = bias.as_ref().map(Tensor::memory).transpose()?;
            Ok(reference::forward(&g, &view(x)?, &view(weight)?, bias, y)?)
        })?;
        Ok((
            y,
            Saved {
                geometry: g,
                x: x.clone(),
                weight: weight.clone(),
            },
        ))
    }

    fn backward(
        &self,
        Saved {
            geometry: g,
            x,
            weight,
        }: &Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let gradient = |input: usize| match grad.dtype() {
            DType::F32 => fast_gradient(g, x, weight, &grad.channels_last()?, input),
            _ => reference_gradient(g, x, weight, grad, input),
        };
        gradients(needs, gradient)
    }
}

/// The gradient of input 0, 1 or 2: image, weight, bias. `dy` is channels-last.
fn fast_gradient(
    g: &Conv2dGeometry,
    x: &Tensor,
    weight: &Tensor,
    dy: &Tensor,
    input: usize,
) -> Result<Tensor> {
    let (policy, dy) = (current_policy()?, dy.memory()?);
    match input {
        0 => {
            let mut dx = Buffer::recycled(g.x_len())?;
            conv2d::backward_input(policy, g, dy, weight.contiguous()?.memory()?, &mut dx)?;
            image(dx, g.x_shape())
        }
        1 => {
            let run = match format_of(x) {
                MemoryFormat::RowMajor => conv2d::backward_weight_nchw,
                MemoryFormat::ChannelsLast => conv2d::backward_weight,
            };
            let mut dw = Buffer::recycled(g.weight_len())?;
            run(policy, g, x.memory()?, dy, &mut dw)?;
            Tensor::from_buffer(dw, g.weight_shape(), MemoryFormat::RowMajor)
        }
        _ => {
            let mut db = Buffer::recycled(g.out_channels())?;
            conv2d::backward_bias(policy.level, g, dy, &mut db)?;
            Tensor::from_buffer(db, g.out_channels(), MemoryFormat::RowMajor)
        }
    }
}

/// The same by the formula, for any memory order, in F64.
fn reference_gradient(
    g: &Conv2dGeometry,
    x: &Tensor,
    weight: &Tensor,
    dy: &Tensor,
    input: usize,
) -> Result<Tensor> {
    let dy = view::<f64>(dy)?;
    match input {
        0 => filled_by(g.x_shape(), format_for(g.in_channels()), |dx| {
            Ok(reference::backward_input(g, &dy, &view(weight)?, dx)?)
        }),
        1 => filled_by(g.weight_shape(), MemoryFormat::RowMajor, |dw| {
            Ok(reference::backward_weight(g, &view(x)?, &dy, dw)?)
        }),
        _ => {
            let mut db = Buffer::recycled(g.out_channels())?;
            reference::backward_bias(g, &dy, &mut db)?;
            Tensor::from_buffer(db, g.out_channels(), MemoryFormat::RowMajor)
        }
    }
}
