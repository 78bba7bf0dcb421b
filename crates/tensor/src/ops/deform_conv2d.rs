//! Deformable convolution.

use striate_kernels::conv2d::Conv2dGeometry;
use striate_kernels::deform_conv2d::{
    self, DeformBorder, DeformConv2dGeometry, Inputs, PackedWeights, reference,
};
use striate_kernels::geometry::GeometryError;
use striate_kernels::real::Real;
use striate_simd::Buffer;

use super::spatial::{channels_last_image, check_filters};
use super::{Conv2dOptions, check_float, check_same_dtype};
use crate::autograd::{Description, VariadicFunction, apply_variadic, is_shapes_only};
use crate::dtype::match_float;
use crate::{DType, Element, Error, MemoryFormat, Result, Tensor, current_level};

const OP: &str = "deform_conv2d";

impl Tensor {
    /// Convolution whose taps are moved, for every output pixel, by offsets: `y(p) = sum over k of w(k) m(p, k) x(p + k + offset(p, k))`,
    /// bilinear between pixels and zero outside (Dai et al., "Deformable Convolutional Networks", 2017; with the mask `m`, Zhu et
    /// al., "Deformable ConvNets v2", 2019).
    ///
    /// # Shapes
    /// `[N, C, H, W]`, offsets `[N, 2 G KH KW, OH, OW]`, a weight `[O, C/groups, KH, KW]`, a mask `[N, G KH KW, OH, OW]` and a bias `[O]` to
    /// `[N, O, OH, OW]`. Each of `G` groups of input channels has offsets of its own: channel `((g KH + i) KW + j) 2` says how far
    /// down tap `i, j` moves and the next one how far right.
    ///
    /// # Errors
    /// The shapes do not fit, the types differ or are not float, or memory is out.
    pub fn deform_conv2d(
        &self,
        offset: &Self,
        weight: &Self,
        mask: Option<&Self>,
        bias: Option<&Self>,
        options: Conv2dOptions,
    ) -> Result<Self> {
        self.deform_conv2d_with(DeformBorder::Zeros, offset, weight, mask, bias, options)
    }

    /// [`Tensor::deform_conv2d`] with another rule for what lies outside.
    ///
    /// # Errors
    /// As of [`Tensor::deform_conv2d`].
    pub fn deform_conv2d_with(
        &self,
        border: DeformBorder,
        offset: &Self,
        weight: &Self,
        mask: Option<&Self>,
        bias: Option<&Self>,
        options: Conv2dOptions,
    ) -> Result<Self> {
        check_float(OP, self)?;
        for operand in [Some(offset), mask].into_iter().flatten() {
            check_same_dtype(OP, self, operand)?;
        }
        let geometry = geometry(self, offset, weight, mask, options)?.with_border(border);
        check_filters(OP, self, weight, bias, geometry.conv().out_channels())?;
        let function = DeformConv2d {
            geometry,
            masked: mask.is_some(),
        };
        let [x, offset] = [self.channels_last()?, offset.channels_last()?];
        let mask = mask.map(Self::channels_last).transpose()?;
        let inputs = [Some(&x), Some(&offset), Some(weight), mask.as_ref(), bias];
        let inputs: Vec<&Self> = inputs.into_iter().flatten().collect();
        apply_variadic(function, &inputs)
    }
}

/// Checks every shape but the bias's.
fn geometry(
    x: &Tensor,
    offset: &Tensor,
    weight: &Tensor,
    mask: Option<&Tensor>,
    options: Conv2dOptions,
) -> Result<DeformConv2dGeometry> {
    let [n, c, h, w] = x.dims_array(OP)?;
    let [out, per_group, kh, kw] = weight.dims_array(OP)?;
    let [_, offsets, ..] = offset.dims_array::<4>(OP)?;
    let Conv2dOptions {
        stride,
        padding,
        dilation,
        groups,
    } = options;
    let conv = Conv2dGeometry::new(
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
    let misfit = |what: &str, expected: &[usize], got: &[usize]| {
        let detail = format!("{what} must have the shape {expected:?}, got {got:?}");
        Err(Error::shape(OP, detail))
    };
    if per_group != conv.group_in_channels() {
        return misfit("the weight", &conv.weight_shape(), weight.shape());
    }
    if offsets == 0 || offsets % (2 * conv.taps()) != 0 {
        let detail = format!(
            "offsets need a multiple of 2 * {kh} * {kw} channels, got {:?}",
            offset.shape()
        );
        return Err(Error::shape(OP, detail));
    }
    let geometry = DeformConv2dGeometry::new(conv, offsets / (2 * conv.taps()))?;
    if offset.shape() != geometry.offset_shape() {
        return misfit("the offsets", &geometry.offset_shape(), offset.shape());
    }
    match mask {
        Some(mask) if mask.shape() != geometry.mask_shape() => {
            misfit("the mask", &geometry.mask_shape(), mask.shape())
        }
        _ => Ok(geometry),
    }
}

#[derive(Debug)]
struct DeformConv2d {
    geometry: DeformConv2dGeometry,
    masked: bool,
}

/// The inputs, by what they are.
struct Operands<'a> {
    x: &'a Tensor,
    offset: &'a Tensor,
    weight: &'a Tensor,
    mask: Option<&'a Tensor>,
    bias: Option<&'a Tensor>,
}

impl DeformConv2d {
    fn operands<'a>(&self, inputs: &'a [Tensor]) -> Result<Operands<'a>> {
        let [x, offset, weight, rest @ ..] = inputs else {
            return Err(Error::msg(
                "deform_conv2d: an input, offsets and a weight are needed",
            ));
        };
        let (mask, rest) = if self.masked {
            (rest.first(), rest.get(1..).unwrap_or_default())
        } else {
            (None, rest)
        };
        Ok(Operands {
            x,
            offset,
            weight,
            mask,
            bias: rest.first(),
        })
    }
}

impl Operands<'_> {
    /// What is sampled, as the kernels read it.
    fn inputs<T: Element>(&self) -> Result<Inputs<'_, T>> {
        Ok(Inputs {
            x: self.x.memory()?,
            offset: self.offset.memory()?,
            mask: self.mask.map(Tensor::memory).transpose()?,
        })
    }
}

impl VariadicFunction for DeformConv2d {
    type Saved = Vec<Tensor>;

    fn describe(&self) -> Description {
        let conv = self.geometry.conv();
        Description::new(OP)
            .with("stride", conv.stride())
            .with("padding", conv.padding())
            .with("dilation", conv.dilation())
            .with("groups", conv.groups())
            .with("offset_groups", self.geometry.offset_groups())
            .with("border", self.geometry.border())
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<(Tensor, Vec<Tensor>)> {
        let (g, operands) = (&self.geometry, self.operands(inputs)?);
        let bias = operands.bias.map(Tensor::contiguous).transpose()?;
        let y = if is_shapes_only() {
            match_float!(OP, operands.x.dtype(), T => {
                channels_last_image::<T>(g.conv().y_shape(), |_| Ok(()))?
            })
        } else if operands.x.dtype() == DType::F32 {
            let key = (current_level()?, g.conv().groups());
            let packed = operands.weight.packed(&key, || {
                let weight = operands.weight.channels_last()?;
                Ok(PackedWeights::new(key.0, g, weight.memory()?)?)
            })?;
            let bias = bias.as_ref().map(Tensor::memory).transpose()?;
            channels_last_image::<f32>(g.conv().y_shape(), |y| {
                Ok(deform_conv2d::forward(
                    key.0,
                    g,
                    &operands.inputs()?,
                    &packed,
                    bias,
                    y,
                )?)
            })?
        } else {
            let weight = operands.weight.channels_last()?;
            let bias = bias.as_ref().map(Tensor::memory).transpose()?;
            channels_last_image::<f64>(g.conv().y_shape(), |y| {
                reference::forward(g, &operands.inputs()?, weight.memory()?, bias, y);
                Ok(())
            })?
        };
        Ok((y, inputs.to_vec()))
    }

    fn backward(
        &self,
        saved: &Vec<Tensor>,
        dy: &Tensor,
        needs: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let (g, operands) = (&self.geometry, self.operands(saved)?);
        let dy = dy.channels_last()?;
        let needs = |input: usize| needs.get(input).copied().unwrap_or(false);
        let (x, offset, weight) = (needs(0), needs(1), needs(2));
        let mask = self.masked && needs(3);
        let bias = needs(3 + usize::from(self.masked));
        let weights = operands.weight.channels_last()?;
        let [dx, doffset, dmask] = match x || offset || mask {
            false => [None, None, None],
            true => match_float!(OP, dy.dtype(), T => {
                input_gradients::<T>(g, &operands, &weights, &dy)?.map(Some)
            }),
        };
        let dweight = || match_float!(OP, dy.dtype(), T => weight_gradient::<T>(g, &operands, &dy));
        let mut gradients = vec![
            dx.filter(|_| x),
            doffset.filter(|_| offset),
            weight.then(dweight).transpose()?,
        ];
        if self.masked {
            gradients.push(dmask.filter(|_| mask));
        }
        if operands.bias.is_some() {
            gradients.push(bias.then(|| dy.sum(&[0, 2, 3], false)).transpose()?);
        }
        Ok(gradients)
    }
}

/// The gradients by the image, the offsets and the mask.
fn input_gradients<T: Element + Real>(
    g: &DeformConv2dGeometry,
    operands: &Operands<'_>,
    weight: &Tensor,
    dy: &Tensor,
) -> Result<[Tensor; 3]> {
    let (inputs, level) = (operands.inputs::<T>()?, current_level()?);
    let shapes = [g.conv().x_shape(), g.offset_shape(), g.mask_shape()];
    let [x, offset, mask] = shapes.map(|shape| Buffer::<T>::recycled(shape.iter().product()));
    let [mut dx, mut doffset, mut dmask] = [x?, offset?, mask?];
    let gradients = [&mut dx[..], &mut doffset, &mut dmask];
    deform_conv2d::backward_input(level, g, &inputs, weight.memory()?, dy.memory()?, gradients)?;
    let image = |memory, shape| Tensor::from_buffer(memory, shape, MemoryFormat::ChannelsLast);
    Ok([
        image(dx, shapes[0])?,
        image(doffset, shapes[1])?,
        image(dmask, shapes[2])?,
    ])
}

/// The gradient by the weights.
fn weight_gradient<T: Element + Real>(
    g: &DeformConv2dGeometry,
    operands: &Operands<'_>,
    dy: &Tensor,
) -> Result<Tensor> {
    let (inputs, level) = (operands.inputs::<T>()?, current_level()?);
    channels_last_image::<T>(g.conv().weight_shape(), |dweight| {
        Ok(deform_conv2d::backward_weight(
            level,
            g,
            &inputs,
            dy.memory()?,
            dweight,
        )?)
    })?
    .contiguous()
}
