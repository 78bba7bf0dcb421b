//! 2-D convolution with weights of their own for every image.

use std::slice::ChunksExact;

use striate_kernels::conv2d::{self, Conv2dGeometry, reference};
use striate_kernels::epilogue::Epilogue;
use striate_kernels::geometry::{GeometryError, Layout as ImageLayout};
use striate_kernels::view::{View, ViewMut};
use striate_simd::Buffer;

use super::spatial::{format_of, image, image_layout, in_format};
use super::{Conv2dOptions, check_float, check_same_dtype};
use crate::autograd::{Description, VariadicFunction, apply_variadic, gradients, is_shapes_only};
use crate::level::current_policy;
use crate::{DType, Element, Error, MemoryFormat, Result, Tensor};

const OP: &str = "conv2d_per_sample";

impl Tensor {
    /// [`conv2d`](Self::conv2d) of every image with weights of its own, as dynamic convolutions mix them.
    ///
    /// The images are convolved one after the other, each on all threads: nothing is folded into groups, so that each
    /// convolution is as fast as one of its shape with fresh weights.
    ///
    /// # Shapes
    /// `x [N, C, H, W]`, `weight [N, O, C/groups, KH, KW]`, `bias [N, O]` to `[N, O, OH, OW]`.
    ///
    /// # Errors
    /// The shapes do not fit each other, the kernel is larger than the padded image, element types differ, or memory is
    /// out.
    pub fn conv2d_per_sample(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        options: Conv2dOptions,
    ) -> Result<Self> {
        check_float(OP, self)?;
        let geometry = geometry(self, weight, bias, options)?;
        // Both directions read the images in this order.
        let x = in_format(self, format_of(self))?;
        let weight = weight.contiguous()?;
        let bias = bias.map(Self::contiguous).transpose()?;
        let inputs: Vec<&Self> = [Some(&x), Some(&weight), bias.as_ref()]
            .into_iter()
            .flatten()
            .collect();
        apply_variadic(PerSample { geometry }, &inputs)
    }
}

/// Checks every shape.
fn geometry(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: Conv2dOptions,
) -> Result<Conv2dGeometry> {
    let [n, c, h, w] = x.dims_array(OP)?;
    let [_, out, _, kh, kw] = weight.dims_array(OP)?;
    let Conv2dOptions {
        stride,
        padding,
        dilation,
        groups,
    } = options;
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
    )
    .map_err(|error| GeometryError { op: OP, ..error })?;
    let weights = [&[n], &geometry.weight_shape()[..]].concat();
    for (what, operand, expected) in [
        ("a weight", Some(weight), &weights[..]),
        ("a bias", bias, &[n, out]),
    ] {
        let Some(operand) = operand else { continue };
        check_same_dtype(OP, x, operand)?;
        if operand.shape() != expected {
            let detail = format!(
                "input {:?} with {groups} groups needs {what} of shape {expected:?}, got {:?}",
                x.shape(),
                operand.shape()
            );
            return Err(Error::shape(OP, detail));
        }
    }
    Ok(geometry)
}

#[derive(Debug)]
struct PerSample {
    geometry: Conv2dGeometry,
}

impl PerSample {
    /// The convolution of one image.
    fn one(&self) -> Result<Conv2dGeometry> {
        Ok(self.geometry.with_batch(1)?)
    }
}

/// The memory of a dense tensor, image by image. An empty image is no piece.
fn images<T: Element>(x: &Tensor) -> Result<ChunksExact<'_, T>> {
    let len: usize = x.shape()[1..].iter().product();
    Ok(x.memory()?.chunks_exact(len.max(1)))
}

impl VariadicFunction for PerSample {
    /// The inputs.
    type Saved = Vec<Tensor>;

    fn describe(&self) -> Description {
        Description::new(OP)
            .with("stride", self.geometry.stride())
            .with("padding", self.geometry.padding())
            .with("dilation", self.geometry.dilation())
            .with("groups", self.geometry.groups())
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<(Tensor, Vec<Tensor>)> {
        let (g, one) = (&self.geometry, self.one()?);
        let [x, weight, bias @ ..] = inputs else {
            return Err(Error::msg("conv2d_per_sample: no weight"));
        };
        let bias = bias.first();
        let y = if is_shapes_only() && x.dtype() == DType::F32 {
            image(Buffer::recycled(g.y_len())?, g.y_shape())?
        } else if x.dtype() == DType::F32 {
            let policy = current_policy()?;
            let run = match format_of(x) {
                MemoryFormat::RowMajor => conv2d::forward_nchw,
                MemoryFormat::ChannelsLast => conv2d::forward,
            };
            let mut biases = bias.map(images::<f32>).transpose()?;
            let mut y = Buffer::recycled(g.y_len())?;
            let pieces = y.chunks_exact_mut(one.y_len().max(1));
            for ((x, w), y) in images(x)?.zip(images(weight)?).zip(pieces) {
                let bias = biases.as_mut().and_then(Iterator::next);
                run(policy, &one, x, w, &Epilogue::NONE.bias(bias), y)?;
            }
            image(y, g.y_shape())?
        } else {
            let mut biases = bias.map(images::<f64>).transpose()?;
            let mut y = Buffer::recycled(g.y_len())?;
            let pieces = y.chunks_exact_mut(one.y_len().max(1));
            for ((x, w), y) in images_of(x, one.x_shape())?
                .into_iter()
                .zip(images(weight)?)
                .zip(pieces)
            {
                let bias = biases.as_mut().and_then(Iterator::next);
                let w = View::nchw(w, one.weight_shape())?;
                let mut y = ViewMut::dense(y, one.y_shape(), ImageLayout::Nchw)?;
                reference::forward(&one, &x, &w, bias, &mut y)?;
            }
            Tensor::from_buffer(y, g.y_shape(), MemoryFormat::RowMajor)?
        };
        Ok((y, inputs.to_vec()))
    }

    fn backward(
        &self,
        saved: &Vec<Tensor>,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let [x, weight, ..] = &saved[..] else {
            return Err(Error::msg("conv2d_per_sample: nothing was saved"));
        };
        let gradient = |input: usize| match (input, grad.dtype()) {
            (2, _) => grad.sum(&[2, 3], false),
            (_, DType::F32) => self.fast_gradient(x, weight, &grad.channels_last()?, input == 0),
            _ => self.reference_gradient(x, weight, &grad.contiguous()?, input == 0),
        };
        gradients(needs, gradient)
    }
}

impl PerSample {
    /// The gradient of the images, or of the weights. `dy` is channels-last.
    fn fast_gradient(
        &self,
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
        of_images: bool,
    ) -> Result<Tensor> {
        let (g, one, policy) = (&self.geometry, self.one()?, current_policy()?);
        if of_images {
            let mut dx = Buffer::recycled(g.x_len())?;
            let pieces = dx.chunks_exact_mut(one.x_len().max(1));
            for ((dy, w), dx) in images(dy)?.zip(images(weight)?).zip(pieces) {
                conv2d::backward_input(policy, &one, dy, w, dx)?;
            }
            return image(dx, g.x_shape());
        }
        let run = match image_layout(format_of(x)) {
            ImageLayout::Nchw => conv2d::backward_weight_nchw,
            ImageLayout::Nhwc => conv2d::backward_weight,
        };
        let mut dw = Buffer::recycled(weight.numel())?;
        let pieces = dw.chunks_exact_mut(one.weight_len().max(1));
        for ((x, dy), dw) in images(x)?.zip(images(dy)?).zip(pieces) {
            run(policy, &one, x, dy, dw)?;
        }
        Tensor::from_buffer(dw, weight.shape(), MemoryFormat::RowMajor)
    }

    /// The same by the formula, in F64. `dy` is row-major.
    fn reference_gradient(
        &self,
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
        of_images: bool,
    ) -> Result<Tensor> {
        let one = self.one()?;
        let (of, shape) = if of_images {
            (x, one.x_shape())
        } else {
            (weight, one.weight_shape())
        };
        let mut gradient = Buffer::<f64>::recycled(of.numel())?;
        let pieces = gradient.chunks_exact_mut(shape.iter().product::<usize>().max(1));
        let views = images_of(x, one.x_shape())?.into_iter();
        for (((x, w), dy), piece) in views.zip(images(weight)?).zip(images(dy)?).zip(pieces) {
            let dy = View::nchw(dy, one.y_shape())?;
            let mut piece = ViewMut::dense(piece, shape, ImageLayout::Nchw)?;
            if of_images {
                let w = View::nchw(w, one.weight_shape())?;
                reference::backward_input(&one, &dy, &w, &mut piece)?;
            } else {
                reference::backward_weight(&one, &x, &dy, &mut piece)?;
            }
        }
        Tensor::from_buffer(gradient, of.shape(), MemoryFormat::RowMajor)
    }
}

/// The images as the reference kernels read them.
fn images_of(x: &Tensor, shape: [usize; 4]) -> Result<Vec<View<'_, f64>>> {
    images(x)?
        .map(|piece| match image_layout(format_of(x)) {
            ImageLayout::Nchw => Ok(View::nchw(piece, shape)?),
            ImageLayout::Nhwc => Ok(View::nhwc(piece, shape)?),
        })
        .collect()
}
