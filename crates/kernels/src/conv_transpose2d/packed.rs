//! Weights in the order the kernels read them.

use super::{Algorithm, ConvTranspose2dGeometry, OP, check_forward, choose};
use crate::accuracy::Policy;
use crate::conv2d::backward_input::GradientWeights;
use crate::epilogue::Epilogue;
use crate::error::{KernelError, check_len};
use crate::geometry::GeometryError;
use striate_simd::Level;

/// The weights of a transposed convolution, arranged once for a level, used many times.
///
/// They serve every geometry with the same weights, stride, padding, dilation and groups: the batch,
/// the image size and the output padding may differ from those they were packed for, where they were
/// tuned.
#[derive(Debug)]
pub struct PackedWeights {
    level: Level,
    geometry: ConvTranspose2dGeometry,
    algorithm: Algorithm,
    weights: GradientWeights,
}

impl PackedWeights {
    /// Packs `weight`, dense `[in_channels, out_channels / groups, kernel_h, kernel_w]`.
    ///
    /// # Errors
    /// If the slice has another length or memory runs out.
    pub fn new(
        policy: impl Into<Policy>,
        g: &ConvTranspose2dGeometry,
        weight: &[f32],
    ) -> Result<Self, KernelError> {
        check_len(OP, "weight", weight.len(), g.weight_len())?;
        let Policy { level, accuracy } = policy.into();
        let algorithm = choose(g, level, accuracy);
        Ok(Self {
            level,
            geometry: *g,
            algorithm,
            weights: GradientWeights::pack(level, g.adjoint(), algorithm, weight)?,
        })
    }

    /// Computes `y` (NHWC) from `x` (NHWC).
    ///
    /// # Errors
    /// If a slice does not have the geometry's length, the weights were packed for another transposed
    /// convolution, or memory runs out.
    pub fn forward(
        &self,
        g: &ConvTranspose2dGeometry,
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        let attributes = |g: &ConvTranspose2dGeometry| {
            (
                g.weight_shape(),
                g.stride(),
                g.padding(),
                g.dilation(),
                g.groups(),
            )
        };
        if attributes(g) != attributes(&self.geometry) {
            let rule = format!("the weights were packed for {:?}", self.geometry);
            return Err(GeometryError::new(OP, "geometry", format!("{g:?}"), rule).into());
        }
        check_forward(g, x, epilogue, y)?;
        self.weights.run(g.adjoint(), x, epilogue, y)
    }

    /// The level the weights were packed for.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The algorithm they were packed for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
