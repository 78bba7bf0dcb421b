//! The gradient of the input, as forward convolutions of the gradient of the output.
//!
//! An input pixel `i` received `x[i] * w[k]` in the output pixels `o` with
//! `o * stride + k * dilation - pad = i`, so
//!
//! ```text
//! dx[i] = sum over taps k with (i + pad - k * dilation) divisible by stride of
//!     dy[(i + pad - k * dilation) / stride] * transposed w[k]
//! ```
//!
//! The taps that take part depend only on the remainder of `i` by the stride. For each remainder the
//! sum is a convolution with stride 1 over some of the taps, whose outputs lie `stride` apart.
//! Nothing is multiplied with inserted zeros, and nothing is scattered.

use super::lanes::Lanes;
use super::taps::{Reduce, Tap, Taps};
use super::winograd::{self, Weights};
use super::{Conv2dGeometry, direct, grouped};
use crate::accuracy::{Accuracy, Policy};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::parallel;
use striate_simd::Level;

/// Elements that are cleared as one task.
const CLEAR: usize = 1 << 16;

/// Computes `dx` from `dy`, both channels-last.
pub(super) fn run(
    Policy { level, accuracy }: Policy,
    g: &Conv2dGeometry,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
) -> Result<(), KernelError> {
    if accuracy == Accuracy::Fast
        && let Some(problem) = winograd::Problem::backward(g)
        && let Some(size) = problem.choose(level, Weights::Fresh)
    {
        return run_winograd(level, size, g, dy, weight, dx);
    }
    let phases = phases(g);
    let reached: usize = phases.iter().map(Taps::pixels).sum();
    if reached * g.in_channels() < dx.len() {
        parallel::for_each_chunk(dx, CLEAR, |_, chunk| chunk.fill(0.0));
    }
    for taps in phases {
        if let Some(lanes) = Lanes::new(level, &taps) {
            let weights = lanes.pack(Reduce::Outputs, weight)?;
            grouped::forward(level, &lanes, &weights, dy, &Epilogue::NONE, dx)?;
        } else {
            let taps = taps.flattened();
            direct::run_once(level, &taps, Reduce::Outputs, weight, dy, dx)?;
        }
    }
    Ok(())
}

/// As [`run`], for three by three taps and stride 1.
pub(super) fn run_winograd(
    level: Level,
    size: winograd::Size,
    g: &Conv2dGeometry,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
) -> Result<(), KernelError> {
    // With stride 1 there is one remainder.
    for taps in &phases(g) {
        let weights = winograd::pack(level, size, taps, Reduce::Outputs, weight)?;
        winograd::run(level, size, taps, &weights, dy, &Epilogue::NONE, dx)?;
    }
    Ok(())
}

/// The remainders of the input coordinates that some tap reaches, each with its taps.
pub(super) fn phases(g: &Conv2dGeometry) -> Vec<Taps> {
    let axes = [0, 1].map(|axis| axis_phases(g, axis));
    let mut phases = Vec::new();
    for (y, rows) in &axes[0] {
        for (x, columns) in &axes[1] {
            let tap = |&(dy, ky): &(isize, usize), &(dx, kx): &(isize, usize)| Tap {
                offset: [dy, dx],
                index: ky * g.kernel()[1] + kx,
            };
            let [h, w] = g.in_size();
            phases.push(Taps {
                batch: g.batch(),
                in_size: g.out_size(),
                in_channels: g.out_channels(),
                grid: [
                    (h - y).div_ceil(g.stride()[0]),
                    (w - x).div_ceil(g.stride()[1]),
                ],
                stride: [1, 1],
                taps: rows
                    .iter()
                    .flat_map(|r| columns.iter().map(move |c| tap(r, c)))
                    .collect(),
                out_size: g.in_size(),
                out_start: [*y, *x],
                out_step: g.stride(),
                out_channels: g.in_channels(),
                groups: g.groups(),
            });
        }
    }
    phases
}

/// The remainders along one axis, each with its taps as (offset in the output, place in the kernel),
/// in ascending order of the offset.
fn axis_phases(g: &Conv2dGeometry, axis: usize) -> Vec<(usize, Vec<(isize, usize)>)> {
    let (stride, pad) = (g.stride()[axis] as isize, g.padding()[2 * axis] as isize);
    let mut phases: Vec<(usize, Vec<(isize, usize)>)> = Vec::new();
    for k in (0..g.kernel()[axis]).rev() {
        let reach = (k * g.dilation()[axis]) as isize - pad;
        let remainder = reach.rem_euclid(stride);
        let start = remainder as usize;
        if start >= g.in_size()[axis] {
            continue;
        }
        let tap = ((remainder - reach) / stride, k);
        match phases.iter_mut().find(|(phase, _)| *phase == start) {
            Some((_, taps)) => taps.push(tap),
            None => phases.push((start, vec![tap])),
        }
    }
    phases
}
