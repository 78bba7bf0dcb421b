//! Convolutions of an input that is multiplied by a number per image and channel.
//!
//! ```text
//! y = W (gate * x) = (W diag(gate)) x
//! ```
//!
//! The right side multiplies the weights, once for each image, and reads the input as it is: less work
//! where an image has more pixels than the output has channels.

use super::taps::TapWeights;
use super::{Conv2dGeometry, OP};
use crate::disjoint::DisjointMut;
use crate::elementwise::{Binary, BinaryGeometry, binary};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::Write;
use crate::gemm::block::Product;
use crate::geometry::{GeometryError, Layout};
use crate::parallel;
use striate_simd::{Buffer, Level};

/// Whether a pointwise convolution has more inputs than weights for an image.
pub(super) fn suits_weights(g: &Conv2dGeometry) -> bool {
    g.out_channels() < pixels(g)
}

fn pixels(g: &Conv2dGeometry) -> usize {
    g.in_size().iter().product()
}

/// Computes the `y` of a pointwise convolution, image by image, with weights that are multiplied by
/// the image's gate.
pub(super) fn forward(
    level: Level,
    g: &Conv2dGeometry,
    weights: &TapWeights,
    (x, gate): (&[f32], &[f32]),
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    let (inputs, outputs, panels) = (g.in_channels(), g.out_channels(), &weights.panels);
    let image = pixels(g) * outputs;
    let y = DisjointMut::new(y);
    parallel::try_for_each(g.batch(), |n| {
        let gate = &gate[n * inputs..][..inputs];
        let mut scaled = Buffer::recycled(weights.data.len())?;
        for panel in (0..panels.count()).map(|index| panels.panel(index)) {
            let range = panels.packed_range(&panel, inputs);
            let width = range.len() / inputs;
            let rows = weights.data[range.clone()].chunks_exact(width);
            let scaled_rows = scaled[range].chunks_exact_mut(width);
            for ((to, from), gate) in scaled_rows.zip(rows).zip(gate) {
                to.iter_mut()
                    .zip(from)
                    .for_each(|(to, from)| *to = from * gate);
            }
        }
        let product = Product {
            rows: pixels(g),
            k_len: inputs,
            a: &x[n * pixels(g) * inputs..],
            a_stride: inputs,
            b: &scaled,
            panels,
        };
        let place = n * image..(n + 1) * image;
        let epilogue = epilogue.residual(epilogue.residual.map(|all| &all[place.clone()]));
        product.run(
            level,
            &epilogue,
            Write::Replace,
            &mut y.range(place),
            outputs,
        );
        Ok(())
    })
}

/// The input times the gate.
pub(super) fn inputs(
    level: Level,
    g: &Conv2dGeometry,
    layout: Layout,
    x: &[f32],
    gate: &[f32],
) -> Result<Buffer<f32>, KernelError> {
    let (channels, pixels) = (g.in_channels(), pixels(g));
    let image = channels.checked_mul(pixels).ok_or_else(|| {
        GeometryError::new(
            OP,
            "x",
            format!("{:?}", g.x_shape()),
            "it must fit in memory",
        )
    })?;
    let (shape, strides, gates) = match layout {
        Layout::Nhwc => ([pixels, channels], [image, channels, 1], [channels, 0, 1]),
        Layout::Nchw => ([channels, pixels], [image, pixels, 1], [channels, 1, 0]),
    };
    let shape = [g.batch(), shape[0], shape[1]];
    let broadcast = BinaryGeometry::new(&shape, &strides, &gates, &strides)?;
    let mut scaled = Buffer::recycled(x.len())?;
    binary(level, Binary::Mul, &broadcast, x, gate, &mut scaled)?;
    Ok(scaled)
}
