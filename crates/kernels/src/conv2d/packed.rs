//! Weights in the order the kernels read them.

use super::{Conv2dGeometry, reference};
use crate::epilogue::Epilogue;
use crate::error::{KernelError, check_len};
use crate::geometry::{GeometryError, Layout};
use crate::view::{View, ViewMut};
use striate_simd::{Buffer, Level};

const OP: &str = "conv2d";

/// The weights of a convolution, arranged once for a level and an input layout, used many times.
///
/// They serve every geometry with the same weight shape, stride, dilation and groups: the batch and
/// the image size may differ from those they were packed for.
#[derive(Debug)]
pub struct PackedWeights {
    level: Level,
    geometry: Conv2dGeometry,
    input: Layout,
    data: Buffer<f32>,
}

impl PackedWeights {
    /// Packs `weight`, dense `[out_channels, in_channels / groups, kernel_h, kernel_w]`, for inputs
    /// of layout `input`.
    ///
    /// # Errors
    /// If the slice has another length or memory runs out.
    pub fn new(
        level: Level,
        g: &Conv2dGeometry,
        input: Layout,
        weight: &[f32],
    ) -> Result<Self, KernelError> {
        check_len(OP, "weight", weight.len(), g.weight_len())?;
        Ok(Self {
            level,
            geometry: *g,
            input,
            data: Buffer::copy_of(weight)?,
        })
    }

    /// Computes `y` (NHWC) from `x`, whose layout is the one the weights were packed for.
    ///
    /// # Errors
    /// If a slice does not have the geometry's length, or the weights were packed for another
    /// convolution.
    pub fn forward(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        let attributes =
            |g: &Conv2dGeometry| (g.weight_shape(), g.stride(), g.dilation(), g.groups());
        if attributes(g) != attributes(&self.geometry) {
            let rule = format!("the weights were packed for {:?}", self.geometry);
            return Err(GeometryError::new(OP, "geometry", format!("{g:?}"), rule).into());
        }
        check_len(OP, "x", x.len(), g.x_len())?;
        check_len(OP, "y", y.len(), g.y_len())?;
        let channels = g.out_channels();
        epilogue.check(OP, y.len() / channels, channels, channels)?;
        let weight = View::nchw(&self.data[..], g.weight_shape())?;
        let x = View::dense(x, g.x_shape(), self.input)?;
        reference::forward(g, &x, &weight, None, &mut ViewMut::nhwc(y, g.y_shape())?)?;
        epilogue.apply(g.out_channels(), y);
        Ok(())
    }

    /// The level the weights were packed for.
    pub fn level(&self) -> Level {
        self.level
    }
}
