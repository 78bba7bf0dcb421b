//! Depthwise convolution: every channel with a filter of its own, channels-last.
//!
//! ```text
//! y[n, oy, ox, c]  = sum over ky, kx of x[n, oy*s + ky*d - pad, ox*s + kx*d - pad, c] * w[c, ky, kx]
//! dx[n, iy, ix, c] = sum over ky, kx, oy, ox with oy*s + ky*d - pad = iy, ox*s + kx*d - pad = ix
//!                        of dy[n, oy, ox, c] * w[c, ky, kx]
//! ```
//!
//! Both gather lines of pixels from other lines, a vector of channels at a time ([`line`]). The
//! gradient of the input gathers for each remainder of a column by the stride on its own, so that
//! nothing is multiplied with inserted zeros. [`conv2d`](crate::conv2d) chooses this family where it
//! applies; the reference there is the oracle here.

mod axis;
mod backward_weight;
mod line;

pub(crate) use backward_weight::run as backward_weight;

use crate::conv2d::Conv2dGeometry;
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::layout::transpose;
use crate::parallel::{self, Cut};
use axis::Axis;
use line::Lines;
use striate_simd::{Buffer, Level, dispatch};

/// Weights `[channels, 1, kernel_h, kernel_w]` as `[taps][channels]`.
pub(crate) fn pack(g: &Conv2dGeometry, weight: &[f32]) -> Result<Buffer<f32>, KernelError> {
    let mut packed = Buffer::recycled(weight.len())?;
    transpose(weight, &mut packed, g.in_channels(), g.taps());
    Ok(packed)
}

/// Computes `y` from `x`, both channels-last, and packed weights.
pub(crate) fn forward(
    level: Level,
    g: &Conv2dGeometry,
    x: &[f32],
    packed: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) {
    gather(level, g, &Axis::forward(g), x, packed, epilogue, y);
}

/// Computes `dx` from `dy`, both channels-last, and packed weights.
pub(crate) fn backward_input(
    level: Level,
    g: &Conv2dGeometry,
    dy: &[f32],
    packed: &[f32],
    epilogue: &Epilogue<'_>,
    dx: &mut [f32],
) {
    gather(level, g, &Axis::backward(g), dy, packed, epilogue, dx);
}

fn gather(
    level: Level,
    g: &Conv2dGeometry,
    [rows, columns]: &[Axis; 2],
    source: &[f32],
    weights: &[f32],
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
) {
    let channels = g.in_channels();
    let line_len = columns.out_len() * channels;
    if line_len == 0 {
        return;
    }
    let runs = columns.runs();
    let cut = Cut::new(out.len() / line_len, line_len * g.taps());
    parallel::for_each_chunk(out, cut.per_task() * line_len, |task, out| {
        let lines = Lines {
            rows,
            columns,
            runs: &runs,
            source,
            weights,
            channels,
            epilogue,
        };
        let first = task * cut.per_task();
        dispatch!(level, s => lines.run(s, first, out));
        if let Some(moments) = epilogue.moments {
            moments.observe_rows(level, out, channels, first * columns.out_len());
        }
    });
}

#[cfg(test)]
mod tests;
