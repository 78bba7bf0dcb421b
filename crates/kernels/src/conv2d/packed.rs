//! Weights in the order the kernels read them.

use super::algorithm::{Algorithm, choose};
use super::band::Bands;
use super::taps::{Reduce, TapWeights, Taps};
use super::{Conv2dGeometry, OP, channels_last, direct, few_channels};
use crate::dwconv;
use crate::epilogue::Epilogue;
use crate::error::{KernelError, check_len};
use crate::gemm::Write;
use crate::gemm::block::Product;
use crate::geometry::{GeometryError, Layout};
use striate_simd::{Buffer, Level};

/// The weights of a convolution, arranged once for a level and an input layout, used many times.
///
/// They serve every geometry with the same weights, stride, padding, dilation and groups: the batch
/// and the image size may differ from those they were packed for, where they were tuned.
#[derive(Debug)]
pub struct PackedWeights {
    level: Level,
    geometry: Conv2dGeometry,
    input: Layout,
    algorithm: Algorithm,
    weights: Packed,
}

/// The order that an algorithm reads weights in.
#[derive(Debug)]
enum Packed {
    /// `[taps][channels]`
    Depthwise(Buffer<f32>),
    /// Panels of columns, tap after tap.
    Taps(TapWeights),
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
        let algorithm = choose(g, input, level);
        let weights = match algorithm {
            Algorithm::Depthwise => Packed::Depthwise(dwconv::pack(g, weight)?),
            Algorithm::FewChannels => Packed::Taps(few_channels::pack(level, g, weight)?),
            Algorithm::Pointwise | Algorithm::Direct => {
                let taps = Taps::forward(g);
                Packed::Taps(TapWeights::pack(level, &taps, Reduce::Inputs, weight)?)
            }
        };
        Ok(Self {
            level,
            geometry: *g,
            input,
            algorithm,
            weights,
        })
    }

    /// Computes `y` (NHWC) from `x`, whose layout is the one the weights were packed for.
    ///
    /// # Errors
    /// If a slice does not have the geometry's length, the weights were packed for another
    /// convolution, or memory runs out.
    pub fn forward(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        let attributes = |g: &Conv2dGeometry| {
            (
                g.weight_shape(),
                g.stride(),
                g.padding(),
                g.dilation(),
                g.groups(),
            )
        };
        if attributes(g) != attributes(&self.geometry) {
            return Err(self.mismatch(g));
        }
        check_len(OP, "x", x.len(), g.x_len())?;
        check_len(OP, "y", y.len(), g.y_len())?;
        let channels = g.out_channels();
        epilogue.check(OP, y.len() / channels, channels, channels)?;
        match (&self.weights, self.algorithm, self.input) {
            (Packed::Taps(weights), Algorithm::FewChannels, input) => {
                let bands = Bands::new(g, input).ok_or_else(|| self.mismatch(g))?;
                few_channels::forward(self.level, g, &bands, weights, x, epilogue, y)
            }
            (_, _, Layout::Nhwc) => self.forward_nhwc(g, x, epilogue, y),
            (_, _, Layout::Nchw) => self.forward_nhwc(g, &channels_last(g, x)?, epilogue, y),
        }
    }

    fn forward_nhwc(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        let weights = match &self.weights {
            Packed::Depthwise(weights) => {
                dwconv::forward(self.level, g, x, weights, epilogue, y);
                return Ok(());
            }
            Packed::Taps(weights) => weights,
        };
        if self.algorithm == Algorithm::Pointwise {
            let product = Product {
                rows: y.len() / g.out_channels(),
                k_len: g.in_channels(),
                a: x,
                a_stride: g.in_channels(),
                b: &weights.data,
                panels: &weights.panels,
            };
            product.run(self.level, epilogue, Write::Replace, y, g.out_channels());
            return Ok(());
        }
        direct::run(self.level, &Taps::forward(g), weights, x, epilogue, y)
    }

    fn mismatch(&self, g: &Conv2dGeometry) -> KernelError {
        let rule = format!("the weights were packed for {:?}", self.geometry);
        GeometryError::new(OP, "geometry", format!("{g:?}"), rule).into()
    }

    /// The level the weights were packed for.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The layout of the input they were packed for.
    pub fn input(&self) -> Layout {
        self.input
    }

    /// The algorithm they were packed for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
