//! 2-D convolution and its gradients.
//!
//! Weights are `[out_channels, in_channels / groups, kernel_h, kernel_w]`, outputs are dense
//! channels-last (NHWC), and so are inputs, except for [`forward_nchw`] and
//! [`backward_weight_nchw`], which read the channels-first images that enter a network.

mod algorithm;
mod backward_input;
mod backward_weight;
mod band;
pub(crate) mod copies;
mod direct;
mod few_channels;
mod geometry;
mod grouped;
mod lanes;
mod packed;
pub mod reference;
mod taps;

pub use algorithm::{Algorithm, choose, implementations};
pub use geometry::Conv2dGeometry;
pub use packed::PackedWeights;

use crate::dwconv;
use crate::epilogue::Epilogue;
use crate::error::{KernelError, check_len};
use crate::geometry::Layout;
use crate::layout::transpose;
use crate::reduce::{ReduceGeometry, Reduction, reduce};
use band::Bands;
use lanes::Lanes;
use striate_simd::{Buffer, Level};
use taps::Taps;

const OP: &str = "conv2d";

/// Computes `y` (NHWC) from `x` (NHWC). Packs the weights first: see [`PackedWeights`] to do so once.
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn forward(
    level: Level,
    g: &Conv2dGeometry,
    x: &[f32],
    weight: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    PackedWeights::new(level, g, Layout::Nhwc, weight)?.forward(g, x, epilogue, y)
}

/// Computes `y` (NHWC) from `x` (NCHW): the first convolution of a network, which reads few channels.
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn forward_nchw(
    level: Level,
    g: &Conv2dGeometry,
    x: &[f32],
    weight: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    PackedWeights::new(level, g, Layout::Nchw, weight)?.forward(g, x, epilogue, y)
}

/// Computes the gradient of the input `dx` (NHWC) from that of the output `dy` (NHWC).
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn backward_input(
    level: Level,
    g: &Conv2dGeometry,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
) -> Result<(), KernelError> {
    check_len(OP, "dy", dy.len(), g.y_len())?;
    check_len(OP, "weight", weight.len(), g.weight_len())?;
    check_len(OP, "dx", dx.len(), g.x_len())?;
    if choose(g, Layout::Nhwc, level) == Algorithm::Depthwise {
        return dwconv::backward_input(level, g, dy, weight, dx);
    }
    backward_input::run(level, g, dy, weight, dx)
}

/// Computes the gradient of the weights from `x` (NHWC) and `dy` (NHWC).
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn backward_weight(
    level: Level,
    g: &Conv2dGeometry,
    x: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    weight_gradient(level, g, (x, Layout::Nhwc), dy, dweight)
}

/// Computes the gradient of the weights from `x` (NCHW) and `dy` (NHWC).
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn backward_weight_nchw(
    level: Level,
    g: &Conv2dGeometry,
    x: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    weight_gradient(level, g, (x, Layout::Nchw), dy, dweight)
}

fn weight_gradient(
    level: Level,
    g: &Conv2dGeometry,
    (x, layout): (&[f32], Layout),
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    check_len(OP, "x", x.len(), g.x_len())?;
    check_len(OP, "dy", dy.len(), g.y_len())?;
    check_len(OP, "dweight", dweight.len(), g.weight_len())?;
    if choose(g, layout, level) == Algorithm::FewChannels
        && let Some(bands) = Bands::new(g, layout)
    {
        return few_channels::backward_weight(level, g, &bands, x, dy, dweight);
    }
    let copy;
    let x = match layout {
        Layout::Nhwc => x,
        Layout::Nchw => {
            copy = channels_last(g, x)?;
            &copy[..]
        }
    };
    if choose(g, Layout::Nhwc, level) == Algorithm::Depthwise {
        return dwconv::backward_weight(level, g, x, dy, dweight);
    }
    match Lanes::new(level, &Taps::forward(g)) {
        Some(lanes) => grouped::backward_weight(level, &lanes, x, dy, dweight),
        None => backward_weight::run(level, g, x, dy, dweight),
    }
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
    let shape = [g.y_len() / g.out_channels(), g.out_channels()];
    let sums = ReduceGeometry::new(&shape, &[shape[1], 1], &[0])?;
    reduce(level, Reduction::Sum, &sums, dy, dbias)
}

#[cfg(test)]
mod tests;
