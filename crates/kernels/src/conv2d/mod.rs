//! 2-D convolution and its gradients.
//!
//! Weights are `[out_channels, in_channels / groups, kernel_h, kernel_w]`, outputs are dense
//! channels-last (NHWC), and so are inputs, except for [`forward_nchw`] and
//! [`backward_weight_nchw`], which read the channels-first images that enter a network.
//!
//! # Accuracy
//!
//! Convolutions of three by three taps with stride 1 may be computed by Winograd's algorithms, in tiles
//! of 4 x 4, 3 x 3 or 2 x 2 outputs or of whole images of 2 x 2 pixels, when that is predicted to be faster; likewise gradients of strided
//! convolutions, of which a stride leaves two by two or three by three taps for each remainder of a
//! coordinate, as it does of a kernel of 4 x 4 with stride 2. These algorithms differ from the others in
//! two ways, and [`Accuracy::Strict`](crate::Accuracy::Strict) rules them out:
//!
//! - The rounding error of an output is bounded not by the magnitudes of its own terms but by the largest
//!   in its tile: an output beside much larger ones has their error.
//! - A NaN or an infinity in an input reaches every output of the tiles that read it, and an infinity
//!   becomes NaN there. Outputs in other tiles are not touched. In the gradient of the weights it
//!   reaches all taps of the kernels that see it.

mod algorithm;
mod areas;
mod arrangement;
pub(crate) mod backward_input;
pub(crate) mod backward_input_ways;
pub(crate) mod backward_weight;
mod backward_weight_ways;
mod band;
mod chain;
pub(crate) mod copies;
mod direct;
mod dots;
mod few_channels;
mod few_outputs;
mod gated;
mod geometry;
mod grouped;
mod in_place;
mod lanes;
mod pack;
mod packed;
mod padded;
mod phase;
mod predict;
mod recent;
pub mod reference;
mod ring;
mod taps;
mod unkept;
mod winograd;

pub use algorithm::{Algorithm, choose, implementations};
pub use arrangement::Arrangement;
pub use backward_input_ways::Method as GradientMethod;
pub use chain::{Chain, Link};

pub(crate) use algorithm::choose_for;
pub use backward_weight_ways::WeightMethod;
pub use geometry::Conv2dGeometry;
pub(crate) use geometry::check_attributes;
pub use packed::PackedWeights;
pub(crate) use predict::predictions;
pub use predict::{Candidate, candidates};
pub use unkept::forward_unkept;
pub(crate) use winograd::Weights;

use crate::accuracy::Policy;
use crate::epilogue::Epilogue;
use crate::error::{KernelError, check_len};
use crate::geometry::Layout;
use crate::layout::transpose;
use crate::reduce::sum_rows;
use striate_simd::{Buffer, Level};
use taps::{Dense, Reduce, Taps};

const OP: &str = "conv2d";

/// Computes `y` (NHWC) from `x` (NHWC). Packs the weights first: see [`PackedWeights`] to do so once.
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn forward(
    policy: impl Into<Policy>,
    g: &Conv2dGeometry,
    x: &[f32],
    weight: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    once(policy.into(), g, (x, Layout::Nhwc), weight, epilogue, y)
}

/// Computes `y` (NHWC) from `x` (NCHW): the first convolution of a network, which reads few channels.
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn forward_nchw(
    policy: impl Into<Policy>,
    g: &Conv2dGeometry,
    x: &[f32],
    weight: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    once(policy.into(), g, (x, Layout::Nchw), weight, epilogue, y)
}

/// The forward pass with weights that are packed for it alone.
fn once(
    Policy { level, accuracy }: Policy,
    g: &Conv2dGeometry,
    (x, layout): (&[f32], Layout),
    weight: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    let algorithm = choose_for(g, layout, level, accuracy, Weights::Fresh);
    forward_by(level, g, algorithm, (x, layout), weight, epilogue, y)
}

/// The forward pass by any algorithm that accepts it, with weights that are packed for it alone.
pub(crate) fn forward_by(
    level: Level,
    g: &Conv2dGeometry,
    algorithm: Algorithm,
    (x, layout): (&[f32], Layout),
    weight: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    let taps = Taps::forward(g);
    if let (Some(size), Layout::Nhwc) = (algorithm.tile(), layout)
        && winograd::suits_dense(level, size, &taps)
    {
        check_len(OP, "x", x.len(), g.x_len())?;
        check_len(OP, "weight", weight.len(), g.weight_len())?;
        check_len(OP, "y", y.len(), g.y_len())?;
        let channels = g.out_channels();
        epilogue.check(OP, y.len() / channels, channels, channels)?;
        let reduce = Reduce::Inputs;
        let weights = Dense { reduce, weight };
        return winograd::run_dense(level, size, &taps, weights, x, epilogue, y);
    }
    PackedWeights::with_algorithm(level, g, layout, weight, algorithm)?.forward(g, x, epilogue, y)
}

/// Computes the gradient of the input `dx` (NHWC) from that of the output `dy` (NHWC).
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn backward_input(
    policy: impl Into<Policy>,
    g: &Conv2dGeometry,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
) -> Result<(), KernelError> {
    check_gradient(g, dy, weight, dx)?;
    backward_input::run(policy.into(), g, dy, weight, &Epilogue::NONE, dx)
}

/// Checks the operands of the gradient of the input.
fn check_gradient(
    g: &Conv2dGeometry,
    dy: &[f32],
    weight: &[f32],
    dx: &[f32],
) -> Result<(), KernelError> {
    check_len(OP, "dy", dy.len(), g.y_len())?;
    check_len(OP, "weight", weight.len(), g.weight_len())?;
    check_len(OP, "dx", dx.len(), g.x_len())
}

/// The methods that compute the data gradient of a convolution, with the times that they are predicted to take with
/// weights that are kept or not, and the one that is taken.
pub(crate) fn gradient_candidates(
    policy: Policy,
    g: &Conv2dGeometry,
    weights: Weights,
) -> (Vec<Candidate<GradientMethod>>, GradientMethod) {
    let candidates = backward_input_ways::candidates(policy, g, weights);
    (candidates, backward_input_ways::choose(policy, g, weights))
}

/// As [`backward_input`], by any of the [candidates](gradient_candidates), be it the fastest or not.
pub(crate) fn backward_input_by(
    policy: Policy,
    g: &Conv2dGeometry,
    method: GradientMethod,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
) -> Result<(), KernelError> {
    check_gradient(g, dy, weight, dx)?;
    backward_input::run_by(policy, g, method, dy, weight, &Epilogue::NONE, dx)
}

/// Computes the gradient of the weights from `x` (NHWC) and `dy` (NHWC).
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn backward_weight(
    policy: impl Into<Policy>,
    g: &Conv2dGeometry,
    x: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    gradient_of_weights(policy.into(), g, (x, Layout::Nhwc), dy, dweight)
}

/// Computes the gradient of the weights from `x` (NCHW) and `dy` (NHWC).
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn backward_weight_nchw(
    policy: impl Into<Policy>,
    g: &Conv2dGeometry,
    x: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    gradient_of_weights(policy.into(), g, (x, Layout::Nchw), dy, dweight)
}

fn gradient_of_weights(
    policy: Policy,
    g: &Conv2dGeometry,
    x: (&[f32], Layout),
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    let method = backward_weight_ways::choose(policy, g, x.1);
    backward_weight_by(policy, g, method, x, dy, dweight)
}

/// The methods that compute the gradient of the weights from an input of layout `input`, with the times that they are
/// predicted to take, and the one that is taken.
pub(crate) fn weight_candidates(
    policy: Policy,
    g: &Conv2dGeometry,
    input: Layout,
) -> (Vec<Candidate<WeightMethod>>, WeightMethod) {
    let candidates = backward_weight_ways::candidates(policy, g, input);
    (candidates, backward_weight_ways::choose(policy, g, input))
}

/// As [`backward_weight`], by any of the [candidates](weight_candidates), be it the fastest or not.
pub(crate) fn backward_weight_by(
    policy: Policy,
    g: &Conv2dGeometry,
    method: WeightMethod,
    (x, input): (&[f32], Layout),
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    check_len(OP, "x", x.len(), g.x_len())?;
    check_len(OP, "dy", dy.len(), g.y_len())?;
    check_len(OP, "dweight", dweight.len(), g.weight_len())?;
    backward_weight_ways::run_by(policy, g, method, (x, input), dy, dweight)
}

/// An NCHW input as NHWC.
fn channels_last(g: &Conv2dGeometry, x: &[f32]) -> Result<Buffer<f32>, KernelError> {
    let mut copy = Buffer::recycled(x.len())?;
    let [h, w] = g.in_size();
    transpose(x, &mut copy, g.in_channels(), h * w);
    Ok(copy)
}

/// Computes the gradient of the bias, the sum of `dy` (NHWC) over images and pixels.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn backward_bias(
    level: Level,
    g: &Conv2dGeometry,
    dy: &[f32],
    dbias: &mut [f32],
) -> Result<(), KernelError> {
    check_len(OP, "dy", dy.len(), g.y_len())?;
    check_len(OP, "dbias", dbias.len(), g.out_channels())?;
    sum_rows(level, dy, dbias)
}

#[cfg(test)]
mod epilogue_tests;
#[cfg(test)]
mod tests;
