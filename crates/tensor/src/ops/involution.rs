//! Convolution with a kernel for every pixel.

use striate_kernels::conv2d::Conv2dGeometry;
use striate_kernels::geometry::GeometryError;
use striate_kernels::involution::{self, InvolutionGeometry};

use super::spatial::channels_last_image;
use super::{Conv2dOptions, Pair, check_float, check_same_dtype};
use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::{Error, Result, Tensor, current_level};

const OP: &str = "involution";

impl Tensor {
    /// Each pixel is the sum of a window under a kernel of its own, which the channels of a group share:
    ///
    /// `y[n,c,i,j] = sum over u,v of w[n,g,u,v,i,j] * x[n, c, i*stride+u*dilation-top, j*stride+v*dilation-left]`
    ///
    /// with `g` the group of `c` (Li et al., "Involution", 2021). Outside of the image, `x` is 0. The groups of `options`
    /// are those of the channels that share a kernel.
    ///
    /// # Shapes
    /// `x [N, C, H, W]`, `weight [N, groups * KH * KW, OH, OW]` to `[N, C, OH, OW]`, sizes as in
    /// [`conv2d`](Self::conv2d).
    ///
    /// # Errors
    /// The shapes do not fit each other, the kernel is larger than the padded image, element types differ, or memory is
    /// out.
    pub fn involution(
        &self,
        weight: &Self,
        kernel: impl Into<Pair>,
        options: Conv2dOptions,
    ) -> Result<Self> {
        check_float(OP, self)?;
        check_same_dtype(OP, self, weight)?;
        let [n, c, h, w] = self.dims_array(OP)?;
        let Conv2dOptions {
            stride,
            padding,
            dilation,
            groups,
        } = options;
        let Pair(kernel) = kernel.into();
        let windows = Conv2dGeometry::new(n, c, [h, w], c, kernel, stride, padding, dilation, c)
            .map_err(|error| GeometryError { op: OP, ..error })?;
        let geometry = InvolutionGeometry::new(windows, groups)?;
        if weight.shape() != geometry.weight_shape() {
            let detail = format!(
                "input {:?} needs kernels of shape {:?}, got {:?}",
                self.shape(),
                geometry.weight_shape(),
                weight.shape()
            );
            return Err(Error::shape(OP, detail));
        }
        let (x, weight) = (self.channels_last()?, weight.channels_last()?);
        apply(Involution { geometry }, [&x, &weight])
    }
}

#[derive(Debug)]
struct Involution {
    geometry: InvolutionGeometry,
}

impl Function<2> for Involution {
    type Saved = [Tensor; 2];

    fn describe(&self) -> Description {
        let windows = self.geometry.windows();
        Description::new(OP)
            .with("kernel", windows.kernel())
            .with("stride", windows.stride())
            .with("padding", windows.padding())
            .with("dilation", windows.dilation())
            .with("groups", self.geometry.groups())
    }

    fn forward(&self, [x, weight]: [&Tensor; 2]) -> Result<(Tensor, [Tensor; 2])> {
        let (g, level) = (&self.geometry, current_level()?);
        let y = match_float!(OP, x.dtype(), T => channels_last_image::<T>(g.windows().y_shape(), |y| {
            Ok(involution::forward(level, g, x.memory()?, weight.memory()?, y)?)
        })?);
        Ok((y, [x.clone(), weight.clone()]))
    }

    fn backward(
        &self,
        [x, weight]: &[Tensor; 2],
        grad: &Tensor,
        [to_x, to_weight]: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let (g, level, dy) = (&self.geometry, current_level()?, grad.channels_last()?);
        match_float!(OP, dy.dtype(), T => {
            let dx = || channels_last_image::<T>(g.windows().x_shape(), |dx| {
                Ok(involution::backward_input(level, g, dy.memory()?, weight.memory()?, dx)?)
            });
            let dweight = || channels_last_image::<T>(g.weight_shape(), |dw| {
                Ok(involution::backward_weight(level, g, x.memory()?, dy.memory()?, dw)?)
            });
            Ok([to_x.then(dx).transpose()?, to_weight.then(dweight).transpose()?])
        })
    }
}
