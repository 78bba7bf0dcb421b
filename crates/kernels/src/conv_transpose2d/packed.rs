//! Weights in the order the kernels read them.

use super::{Algorithm, Arrangement, ConvTranspose2dGeometry, OP, check_forward};
use crate::accuracy::Policy;
use crate::conv2d::Weights;
use crate::conv2d::backward_input_ways::GradientWeights;
use crate::epilogue::Epilogue;
use crate::error::{KernelError, check_len};

/// The weights of a transposed convolution, arranged once for a level, used many times.
///
/// They serve every geometry with the same weights, stride, padding, dilation and groups: the batch,
/// the image size and the output padding may differ from those they were packed for, where they were
/// tuned.
#[derive(Debug)]
pub struct PackedWeights(GradientWeights);

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
        GradientWeights::pack(policy.into(), g.adjoint(), weight).map(Self)
    }

    /// As [`new`](Self::new), for any of the [candidates](super::candidates), be it the fastest or not.
    ///
    /// # Errors
    /// If the algorithm declines, the slice has another length or memory runs out.
    pub fn with_algorithm(
        policy: impl Into<Policy>,
        g: &ConvTranspose2dGeometry,
        weight: &[f32],
        algorithm: Algorithm,
    ) -> Result<Self, KernelError> {
        check_len(OP, "weight", weight.len(), g.weight_len())?;
        let (policy, weights) = (policy.into(), Weights::Kept);
        GradientWeights::with_method(policy, g.adjoint(), weight, algorithm, weights).map(Self)
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
        check_forward(g, x, epilogue, y)?;
        self.0.run(g.adjoint(), x, epilogue, y)
    }

    /// What they were packed for.
    pub fn arrangement(&self) -> &Arrangement {
        self.0.arrangement()
    }
}
