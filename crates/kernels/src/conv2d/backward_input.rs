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
//! Nothing is multiplied with inserted zeros, and nothing is scattered. Small groups compute all
//! remainders in one pass.

use super::backward_input_ways::{self, GradientWeights, Method};
use super::phase::{Phase, PhaseWeights};
use super::taps::{Dense, Reduce, Tap, Taps};
use super::winograd::{self, Weights};
use super::{Conv2dGeometry, direct};
use crate::accuracy::Policy;
use crate::disjoint::DisjointMut;
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::parallel::{self, Cut};
use striate_simd::Level;

/// Computes `dx` from `dy`, both channels-last, with weights that are used once.
pub(crate) fn run(
    policy: Policy,
    g: &Conv2dGeometry,
    dy: &[f32],
    weight: &[f32],
    epilogue: &Epilogue<'_>,
    dx: &mut [f32],
) -> Result<(), KernelError> {
    let method = backward_input_ways::choose(policy, g, Weights::Fresh);
    run_by(policy, g, method, dy, weight, epilogue, dx)
}

/// As [`run`], by any method that does not decline.
pub(super) fn run_by(
    policy: Policy,
    g: &Conv2dGeometry,
    method: Method,
    dy: &[f32],
    weight: &[f32],
    epilogue: &Epilogue<'_>,
    dx: &mut [f32],
) -> Result<(), KernelError> {
    let (level, taps) = (policy.level, phases(g));
    let many = |taps: &Taps| taps.pixels() > direct::FEW_PIXELS;
    let ways = method.phases(policy, &taps, Weights::Fresh);
    let Some(ways) = ways.filter(|_| taps.len() == 1 || !taps.iter().any(many)) else {
        return GradientWeights::with_method(policy, g, weight, method, Weights::Fresh)?
            .run(g, dy, epilogue, dx);
    };
    fill_unreached(level, g, &taps, epilogue, dx)?;
    let reduce = Reduce::Outputs;
    let some = |(taps, _): &(Taps, _)| taps.pixels() > 0;
    for (taps, way) in taps.into_iter().zip(ways).filter(some) {
        match way {
            Phase::Direct(_) => {
                let taps = taps.flattened();
                direct::run_once(level, &taps, reduce, weight, dy, epilogue, dx)?;
            }
            Phase::Winograd(size, _) if winograd::suits_dense(level, size, &taps) => {
                let weights = Dense { reduce, weight };
                winograd::run_dense(level, size, &taps, weights, dy, epilogue, dx)?;
            }
            way => way
                .pack(level, &taps, weight)?
                .run(level, taps, dy, epilogue, dx)?,
        }
    }
    Ok(())
}

/// Tasks to have if the work is large enough: a remainder alone has too few pixels to be cut well.
const TASKS: usize = 2;

/// Multiply-adds that are worth a task.
const TASK: f64 = 3e6;

/// The fewest pixels of a remainder in a band: with fewer, reading the weights again costs more.
const PIXELS: usize = 196;

/// Computes `dx` from the weights of all [`phases`], a band of rows of one image at a time if there are
/// several.
pub(super) fn run_phases(
    level: Level,
    g: &Conv2dGeometry,
    weights: &[PhaseWeights],
    dy: &[f32],
    epilogue: &Epilogue<'_>,
    dx: &mut [f32],
) -> Result<(), KernelError> {
    let phases = phases(g);
    fill_unreached(level, g, &phases, epilogue, dx)?;
    let run = |taps: Taps,
               weights: &PhaseWeights,
               dy: &[f32],
               epilogue: &Epilogue<'_>,
               dx: &mut [f32]| {
        if taps.pixels() == 0 {
            return Ok(());
        }
        weights.run(level, taps, dy, epilogue, dx)
    };
    let per_image = TASKS.div_ceil(g.batch().max(1));
    let pixels = g.out_size()[0] * g.out_size()[1] / per_image;
    if phases.len() < 2 || pixels < PIXELS || g.multiply_adds() < TASKS as f64 * TASK {
        return phases
            .into_iter()
            .zip(weights)
            .try_for_each(|(taps, weights)| run(taps, weights, dy, epilogue, dx));
    }
    let ([height, width], step) = (g.in_size(), g.stride()[0]);
    let steps = height.div_ceil(step);
    let bands = Cut::every(height, steps.div_ceil(per_image) * step);
    let (line, image_len) = (width * g.in_channels(), dy.len() / g.batch());
    let out = DisjointMut::new(dx);
    parallel::try_for_each(g.batch() * bands.tasks(), |task| {
        let (image, rows) = (task / bands.tasks(), bands.range(task % bands.tasks()));
        let first = (image * height + rows.start) * line;
        let range = first..first + rows.len() * line;
        let epilogue = Epilogue {
            residual: epilogue.residual.map(|residual| &residual[range.clone()]),
            ..*epilogue
        };
        let mut out = out.range(range);
        let dy = &dy[image * image_len..][..image_len];
        phases
            .iter()
            .zip(weights)
            .try_for_each(|(taps, weights)| run(taps.band(&rows), weights, dy, &epilogue, &mut out))
    })
}

/// Stores what the epilogue makes of an empty sum, if some remainder is reached by no tap.
pub(super) fn fill_unreached(
    level: Level,
    g: &Conv2dGeometry,
    phases: &[Taps],
    epilogue: &Epilogue<'_>,
    dx: &mut [f32],
) -> Result<(), KernelError> {
    match unreached(g, phases) {
        None => Ok(()),
        Some(nothing) => direct::run_once(level, &nothing, Reduce::Outputs, &[], &[], epilogue, dx),
    }
}

/// Empty sums for all pixels, if some remainder is reached by no tap.
pub(super) fn unreached(g: &Conv2dGeometry, phases: &[Taps]) -> Option<Taps> {
    let reached: usize = phases.iter().map(Taps::pixels).sum();
    (reached * g.in_channels() < g.x_len()).then(|| Taps {
        in_size: g.in_size(),
        grid: g.in_size(),
        out_step: [1, 1],
        groups: 1,
        ..phase(g, [0, 0], Vec::new())
    })
}

/// The remainders of the input coordinates that some tap reaches, each with its taps. An image may be
/// too small to have pixels of a remainder.
pub(super) fn phases(g: &Conv2dGeometry) -> Vec<Taps> {
    let axes = [0, 1].map(|axis| axis_phases(g, axis));
    let mut phases = Vec::new();
    for (y, rows) in &axes[0] {
        for (x, columns) in &axes[1] {
            let tap = |&(dy, ky): &(isize, usize), &(dx, kx): &(isize, usize)| Tap {
                offset: [dy, dx],
                index: ky * g.kernel()[1] + kx,
            };
            let taps = rows
                .iter()
                .flat_map(|r| columns.iter().map(move |c| tap(r, c)))
                .collect();
            phases.push(phase(g, [*y, *x], taps));
        }
    }
    phases
}

/// The input pixels from `start` on whose coordinates have one remainder.
fn phase(g: &Conv2dGeometry, start: [usize; 2], taps: Vec<Tap>) -> Taps {
    let step = g.stride();
    let count = |axis: usize| {
        g.in_size()[axis]
            .saturating_sub(start[axis])
            .div_ceil(step[axis])
    };
    Taps {
        batch: g.batch(),
        in_size: g.out_size(),
        in_channels: g.out_channels(),
        grid: [count(0), count(1)],
        stride: [1, 1],
        taps,
        out_size: g.in_size(),
        out_start: start,
        out_step: step,
        out_channels: g.in_channels(),
        groups: g.groups(),
    }
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
        let tap = ((remainder - reach) / stride, k);
        match phases.iter_mut().find(|(phase, _)| *phase == start) {
            Some((_, taps)) => taps.push(tap),
            None => phases.push((start, vec![tap])),
        }
    }
    phases
}
