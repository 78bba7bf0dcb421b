//! Transposed 2-D convolution and its gradients.
//!
//! Weights are `[in_channels, out_channels / groups, kernel_h, kernel_w]`; inputs and outputs are dense
//! channels-last (NHWC).
//!
//! A convolution maps images of the output's shape to images of the input's shape with these very
//! weights, and everything here is one of its passes with the two images exchanged:
//!
//! | transposed convolution | convolution |
//! |---|---|
//! | forward | gradient of the input |
//! | gradient of the input | forward |
//! | gradient of the weights | gradient of the weights |
//!
//! The output pixels whose coordinates have the same remainder by the stride see the same taps, and are
//! a convolution with stride 1 of the input with these taps: a kernel of 4 x 4 with stride 2 is four
//! kernels of 2 x 2 whose outputs interleave. Nothing is multiplied with inserted zeros, and nothing is
//! scattered. What is said of accuracy in [`conv2d`] holds here too.

mod geometry;
mod packed;
pub mod reference;

pub use crate::conv2d::backward_input_ways::{
    GradientArrangement as Arrangement, Method as Algorithm,
};
pub use geometry::ConvTranspose2dGeometry;
pub use packed::PackedWeights;

use crate::accuracy::{Accuracy, Policy};
use crate::conv2d::backward_input_ways::{self, METHODS};
use crate::conv2d::{self, Candidate, Weights, backward_input as data_gradient};
use crate::epilogue::Epilogue;
use crate::error::{KernelError, check_len};
use crate::reduce::sum_rows;
use striate_simd::Level;

const OP: &str = "conv_transpose2d";

/// The implementations of the forward pass, best first.
pub fn implementations() -> &'static [Algorithm] {
    &METHODS
}

/// All algorithms that compute a transposed convolution and that `policy` allows, with weights that are packed once
/// and used many times; in the order of [`implementations`].
pub fn candidates(
    policy: impl Into<Policy>,
    g: &ConvTranspose2dGeometry,
) -> Vec<Candidate<Algorithm>> {
    backward_input_ways::candidates(policy.into(), g.adjoint(), Weights::Kept)
}

/// The implementation that computes the forward pass with weights that are packed once and used many
/// times. A pure function of its arguments.
pub fn choose(g: &ConvTranspose2dGeometry, level: Level, accuracy: Accuracy) -> Algorithm {
    arrangement(Policy { level, accuracy }, g).algorithm()
}

/// The order of the weights for the fastest forward pass, if they are packed once and used many times. A
/// pure function of its arguments.
pub fn arrangement(policy: impl Into<Policy>, g: &ConvTranspose2dGeometry) -> Arrangement {
    Arrangement::choose(policy.into(), g.adjoint())
}

/// The name of the kernel that computes a transposed convolution with an algorithm, such as
/// `f32-conv_transpose2d-winograd-4x4s2-avx512`.
pub fn name(algorithm: Algorithm, g: &ConvTranspose2dGeometry, level: Level) -> String {
    let attributes = g.adjoint().attributes();
    format!("f32-{OP}-{}-{attributes}-{level}", algorithm.family())
}

/// Computes `y` (NHWC) from `x` (NHWC). Packs the weights first: see [`PackedWeights`] to do so once.
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn forward(
    policy: impl Into<Policy>,
    g: &ConvTranspose2dGeometry,
    x: &[f32],
    weight: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    check_len(OP, "weight", weight.len(), g.weight_len())?;
    check_forward(g, x, epilogue, y)?;
    data_gradient::run(policy.into(), g.adjoint(), x, weight, epilogue, y)
}

/// Checks the operands of a forward pass but the weights.
fn check_forward(
    g: &ConvTranspose2dGeometry,
    x: &[f32],
    epilogue: &Epilogue<'_>,
    y: &[f32],
) -> Result<(), KernelError> {
    check_len(OP, "x", x.len(), g.x_len())?;
    check_len(OP, "y", y.len(), g.y_len())?;
    let channels = g.out_channels();
    epilogue.check(OP, y.len() / channels, channels, channels)
}

/// Computes the gradient of the input `dx` (NHWC) from that of the output `dy` (NHWC).
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn backward_input(
    policy: impl Into<Policy>,
    g: &ConvTranspose2dGeometry,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
) -> Result<(), KernelError> {
    check_len(OP, "dy", dy.len(), g.y_len())?;
    check_len(OP, "weight", weight.len(), g.weight_len())?;
    check_len(OP, "dx", dx.len(), g.x_len())?;
    conv2d::forward(policy, g.adjoint(), dy, weight, &Epilogue::NONE, dx)
}

/// Computes the gradient of the weights from `x` (NHWC) and `dy` (NHWC).
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn backward_weight(
    policy: impl Into<Policy>,
    g: &ConvTranspose2dGeometry,
    x: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    check_len(OP, "x", x.len(), g.x_len())?;
    check_len(OP, "dy", dy.len(), g.y_len())?;
    check_len(OP, "dweight", dweight.len(), g.weight_len())?;
    conv2d::backward_weight(policy, g.adjoint(), dy, x, dweight)
}

/// Computes the gradient of the bias, the sum of `dy` (NHWC) over images and pixels.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn backward_bias(
    level: Level,
    g: &ConvTranspose2dGeometry,
    dy: &[f32],
    dbias: &mut [f32],
) -> Result<(), KernelError> {
    check_len(OP, "dy", dy.len(), g.y_len())?;
    check_len(OP, "dbias", dbias.len(), g.out_channels())?;
    sum_rows(level, dy, dbias)
}

#[cfg(test)]
mod tests;
