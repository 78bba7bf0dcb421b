//! Depthwise convolution: every channel with a filter of its own, channels-last.
//!
//! ```text
//! y[n, oy, ox, c]  = sum over ky, kx of x[n, oy*s + ky*d - pad, ox*s + kx*d - pad, c] * w[c, ky, kx]
//! dx[n, iy, ix, c] = sum over ky, kx, oy, ox with oy*s + ky*d - pad = iy, ox*s + kx*d - pad = ix
//!                        of dy[n, oy, ox, c] * w[c, ky, kx]
//! ```
//!
//! Both gather lines of pixels from other lines, a vector of channels at a time ([`gather`]), in pairs of lines that
//! read the same ones ([`bands`]), by chains of taps that read the same pixels ([`neighbours`]); three by three taps go
//! down all lines where the registers hold what they need ([`strips`]). The gradient of the
//! input gathers for each remainder of a coordinate by the stride on its own, so that nothing is multiplied with
//! inserted zeros. [`conv2d`](crate::conv2d) chooses this family where it applies; the reference there is the oracle
//! here.

mod axis;
mod backward_weight;
mod bands;
mod cost;
mod gather;
mod links;
mod neighbours;
mod strips;

pub(crate) use backward_weight::run as backward_weight;
pub(crate) use cost::{Counts, Direction, counts, weight_counts};

use crate::conv2d::Conv2dGeometry;
use crate::disjoint::DisjointMut;
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::layout::transpose;
use crate::parallel;
use axis::Axis;
use bands::Bands;
use gather::Pass;
use striate_simd::{Buffer, Level, dispatch};
use strips::Strips;

/// Tasks at most: neighbours read some lines both.
const TASKS: usize = 64;

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
    gather(level, g, Axis::forward(g), x, packed, epilogue, y);
}

/// As [`forward`], as a part of a task: on the calling thread alone.
pub(crate) fn forward_here(
    level: Level,
    g: &Conv2dGeometry,
    x: &[f32],
    packed: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) {
    if y.is_empty() {
        return;
    }
    let bands = Bands::new(
        Axis::forward(g),
        g.batch(),
        g.in_channels(),
        g.in_channels(),
    );
    let pass = Pass {
        bands: &bands,
        strips: Strips::new(&bands, level.lanes()),
        source: x,
        weights: packed,
        epilogue,
        bounds: &epilogue.activation.bounds(),
    };
    let all = bands.cut(1, 1).range(0);
    dispatch!(level, s => pass.run(s, all, y));
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
    gather(level, g, Axis::backward(g), dy, packed, epilogue, dx);
}

fn gather(
    level: Level,
    g: &Conv2dGeometry,
    axes: [Axis; 2],
    source: &[f32],
    weights: &[f32],
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
) {
    if out.is_empty() {
        return;
    }
    let bands = Bands::new(axes, g.batch(), g.in_channels(), g.in_channels());
    let strips = Strips::new(&bands, level.lanes());
    let pass = Pass {
        bands: &bands,
        strips,
        source,
        weights,
        epilogue,
        bounds: &epilogue.activation.bounds(),
    };
    let cut = bands.cut(TASKS, strips.map_or(1, |_| bands.worth_a_strip()));
    let out = DisjointMut::new(out);
    parallel::for_each(cut.tasks(), |task| {
        let task = cut.range(task);
        let lines = bands.lines(&task);
        let at = [lines.start, lines.end].map(|line| line * bands.out_line_len());
        let out = &mut out.range(at[0]..at[1]);
        dispatch!(level, s => pass.run(s, task, out));
        if let Some(moments) = epilogue.moments {
            moments.observe_rows(level, out, g.in_channels(), at[0] / g.in_channels());
        }
    });
}

#[cfg(test)]
mod tests;
