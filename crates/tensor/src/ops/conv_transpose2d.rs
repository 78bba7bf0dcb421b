//! Transposed 2-D convolution.

use striate_kernels::conv_transpose2d::{self, ConvTranspose2dGeometry, PackedWeights, reference};
use striate_kernels::epilogue::Epilogue;
use striate_simd::Buffer;

use super::check_float;
use super::spatial::{Padding, Pair, check_filters, filled_by, format_for, image, view};
use crate::autograd::{Description, VariadicFunction, apply_variadic, gradients};
use crate::level::current_policy;
use crate::{DType, Error, MemoryFormat, Result, Tensor};

const OP: &str = "conv_transpose2d";

/// Attributes of a transposed convolution, by default those of PyTorch: stride 1, no padding, no
/// output padding, no dilation, one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvTranspose2dOptions {
    /// Output pixels between the neighbours of the input, `[h, w]`.
    pub stride: [usize; 2],
    /// Rows and columns taken away from the output, `[top, bottom, left, right]`.
    pub padding: [usize; 4],
    /// Rows added below and columns added to the right of the output, `[h, w]`: of all sizes that a
    /// convolution with this stride shrinks to the input's, it tells which one is meant.
    pub output_padding: [usize; 2],
    /// Distance between kernel taps, `[h, w]`.
    pub dilation: [usize; 2],
    /// Number of groups; input channels of a group reach the output channels of that group only.
    pub groups: usize,
}

impl Default for ConvTranspose2dOptions {
    fn default() -> Self {
        Self {
            stride: [1; 2],
            padding: [0; 4],
            output_padding: [0; 2],
            dilation: [1; 2],
            groups: 1,
        }
    }
}

impl ConvTranspose2dOptions {
    /// Sets the output pixels between the neighbours of the input.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = stride.into().0;
        self
    }

    /// Sets the rows and columns taken away from the output.
    #[must_use]
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.padding = padding.into().0;
        self
    }

    /// Sets the rows and columns added below and to the right of the output.
    #[must_use]
    pub fn output_padding(mut self, output_padding: impl Into<Pair>) -> Self {
        self.output_padding = output_padding.into().0;
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
    /// Transposed convolution ("deconvolution"), the adjoint of [`conv2d`](Self::conv2d), plus a bias:
    /// every input pixel adds the kernel, times its value, to the output.
    ///
    /// `y[n,o,i*stride+u*dilation-top,j*stride+v*dilation-left] += x[n,c,i,j] * w[c,o,u,v]`
    ///
    /// for all `c` of the group of `o`, from outputs that start as `b[o]`. What falls outside of the
    /// output is dropped.
    ///
    /// # Shapes
    /// `x [N, C, H, W]`, `weight [C, O/groups, KH, KW]`, `bias [O]` to `[N, O, OH, OW]` with
    /// `OH = (H - 1) * stride - top - bottom + dilation * (KH - 1) + output_padding + 1`.
    ///
    /// # Errors
    /// The shapes do not fit each other, the output padding is neither smaller than the stride nor than
    /// the dilation, input or output have no pixels, element types differ, or memory is out.
    pub fn conv_transpose2d(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        options: ConvTranspose2dOptions,
    ) -> Result<Self> {
        check_float(OP, self)?;
        let [_, _, _, _] = self.dims_array(OP)?;
        // Both directions read the image in this order.
        let x = match self.dtype() {
            DType::F32 => self.channels_last()?,
            _ => self.clone(),
        };
        let inputs: Vec<&Self> = [Some(&x), Some(weight), bias]
            .into_iter()
            .flatten()
            .collect();
        apply_variadic(ConvTranspose2d { options }, &inputs)
    }
}

#[derive(Debug)]
struct ConvTranspose2d {
    options: ConvTranspose2dOptions,
}

struct Saved {
    geometry: ConvTranspose2dGeometry,
    x: Tensor,
    weight: Tensor,
}

impl ConvTranspose2d {
    /// Checks every shape.
    fn geometry(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<ConvTranspose2dGeometry> {
        let [n, c, h, w] = x.dims_array(OP)?;
        let [inputs, per_group, kh, kw] = weight.dims_array(OP)?;
        let options = self.options;
        if inputs != c {
            let detail = format!(
                "input {:?} needs a weight of {c} input channels in front, got {:?}",
                x.shape(),
                weight.shape()
            );
            return Err(Error::shape(OP, detail));
        }
        let geometry = ConvTranspose2dGeometry::new(
            n,
            c,
            [h, w],
            per_group.saturating_mul(options.groups),
            [kh, kw],
            options.stride,
            options.padding,
            options.output_padding,
            options.dilation,
            options.groups,
        )?;
        check_filters(OP, x, weight, bias, geometry.out_channels())?;
        Ok(geometry)
    }
}

impl VariadicFunction for ConvTranspose2d {
    type Saved = Saved;

    fn describe(&self) -> Description {
        Description::new(OP)
            .with("stride", self.options.stride)
            .with("padding", self.options.padding)
            .with("output_padding", self.options.output_padding)
            .with("dilation", self.options.dilation)
            .with("groups", self.options.groups)
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<(Tensor, Saved)> {
        let [x, weight, rest @ ..] = inputs else {
            return Err(Error::msg("conv_transpose2d: no weight"));
        };
        let g = self.geometry(x, weight, rest.first())?;
        let bias = rest.first().map(Tensor::contiguous).transpose()?;
        let saved = || Saved {
            geometry: g,
            x: x.clone(),
            weight: weight.clone(),
        };
        if x.dtype() == DType::F32 {
            let policy = current_policy()?;
            let packed = weight.packed(&conv_transpose2d::arrangement(policy, &g), || {
                let weight = weight.contiguous()?;
                Ok(PackedWeights::new(policy, &g, weight.memory()?)?)
            })?;
            let epilogue = Epilogue::NONE.bias(bias.as_ref().map(Tensor::memory).transpose()?);
            let mut y = Buffer::recycled(g.y_len())?;
            packed.forward(&g, x.memory()?, &epilogue, &mut y)?;
            return Ok((image(y, g.y_shape())?, saved()));
        }
        let y = filled_by::<f64>(g.y_shape(), format_for(g.out_channels()), |y| {
            let bias = bias.as_ref().map(Tensor::memory).transpose()?;
            Ok(reference::forward(&g, &view(x)?, &view(weight)?, bias, y)?)
        })?;
        Ok((y, saved()))
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let gradient = |input: usize| match grad.dtype() {
            DType::F32 => fast_gradient(saved, &grad.channels_last()?, input),
            _ => reference_gradient(saved, grad, input),
        };
        gradients(needs, gradient)
    }
}

/// The gradient of input 0, 1 or 2: image, weight, bias. `dy` is channels-last.
fn fast_gradient(saved: &Saved, dy: &Tensor, input: usize) -> Result<Tensor> {
    let (policy, dy) = (current_policy()?, dy.memory()?);
    let g = &saved.geometry;
    match input {
        0 => {
            let mut dx = Buffer::recycled(g.x_len())?;
            let weight = saved.weight.contiguous()?;
            conv_transpose2d::backward_input(policy, g, dy, weight.memory()?, &mut dx)?;
            image(dx, g.x_shape())
        }
        1 => {
            let mut dw = Buffer::recycled(g.weight_len())?;
            conv_transpose2d::backward_weight(policy, g, saved.x.memory()?, dy, &mut dw)?;
            Tensor::from_buffer(dw, g.weight_shape(), MemoryFormat::RowMajor)
        }
        _ => {
            let mut db = Buffer::recycled(g.out_channels())?;
            conv_transpose2d::backward_bias(policy.level, g, dy, &mut db)?;
            Tensor::from_buffer(db, g.out_channels(), MemoryFormat::RowMajor)
        }
    }
}

/// The same by the formula, for any memory order, in F64.
fn reference_gradient(saved: &Saved, dy: &Tensor, input: usize) -> Result<Tensor> {
    let (g, dy) = (&saved.geometry, view::<f64>(dy)?);
    match input {
        0 => filled_by(g.x_shape(), format_for(g.in_channels()), |dx| {
            let weight = view(&saved.weight)?;
            Ok(reference::backward_input(g, &dy, &weight, dx)?)
        }),
        1 => filled_by(g.weight_shape(), MemoryFormat::RowMajor, |dw| {
            Ok(reference::backward_weight(g, &view(&saved.x)?, &dy, dw)?)
        }),
        _ => {
            let mut db = Buffer::recycled(g.out_channels())?;
            reference::backward_bias(g, &dy, &mut db)?;
            Tensor::from_buffer(db, g.out_channels(), MemoryFormat::RowMajor)
        }
    }
}
