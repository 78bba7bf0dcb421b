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
use super::taps::{Reduce, Tap, TapWeights, Taps};
use super::winograd::{self, Weights};
use super::{Conv2dGeometry, OP, direct, grouped};
use crate::accuracy::{Accuracy, Policy};
use crate::dwconv;
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::geometry::GeometryError;
use striate_simd::{Buffer, Level};

/// A way to compute a data gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// One channel a group, a vector of channels at a time.
    Depthwise,
    /// Tiles of 4 x 4 pixels, if there is one remainder and its taps are three by three.
    Winograd4x4,
    /// Tiles of 2 x 2 such pixels.
    Winograd2x2,
    /// A convolution for each remainder.
    Phases,
}

/// The methods, best first.
pub(crate) const METHODS: [Method; 4] = [
    Method::Depthwise,
    Method::Winograd4x4,
    Method::Winograd2x2,
    Method::Phases,
];

impl Method {
    /// The fastest one for weights that are kept or not. A pure function of its arguments.
    pub(super) fn choose(policy: Policy, g: &Conv2dGeometry, weights: Weights) -> Self {
        if g.is_depthwise() && g.groups() > 1 {
            return Self::Depthwise;
        }
        let size = (policy.accuracy == Accuracy::Fast)
            .then(|| winograd::Problem::backward(g)?.choose(policy.level, weights))
            .flatten();
        let computes = |method: &&Self| size.is_some() && method.tile() == size;
        METHODS
            .iter()
            .find(computes)
            .copied()
            .unwrap_or(Self::Phases)
    }

    /// As [`choose`](Self::choose), for weights that are kept.
    pub(crate) fn choose_kept(policy: Policy, g: &Conv2dGeometry) -> Self {
        Self::choose(policy, g, Weights::Kept)
    }

    fn tile(self) -> Option<winograd::Size> {
        match self {
            Self::Winograd4x4 => Some(winograd::Size::Four),
            Self::Winograd2x2 => Some(winograd::Size::Two),
            Self::Depthwise | Self::Phases => None,
        }
    }

    /// The middle of the name of a kernel.
    pub fn family(self) -> &'static str {
        match self {
            Self::Depthwise => "depthwise",
            Self::Winograd4x4 => "winograd4x4",
            Self::Winograd2x2 => "winograd2x2",
            Self::Phases => "phases",
        }
    }
}

/// Computes `dx` from `dy`, both channels-last, with weights that are used once.
pub(crate) fn run(
    policy: Policy,
    g: &Conv2dGeometry,
    dy: &[f32],
    weight: &[f32],
    epilogue: &Epilogue<'_>,
    dx: &mut [f32],
) -> Result<(), KernelError> {
    let level = policy.level;
    let method = Method::choose(policy, g, Weights::Fresh);
    if method != Method::Phases {
        return GradientWeights::pack(level, g, method, weight)?.run(g, dy, epilogue, dx);
    }
    let phases = phases(g);
    fill_unreached(level, g, &phases, epilogue, dx)?;
    for taps in phases.iter().filter(|taps| taps.pixels() > 0) {
        if let Some(lanes) = Lanes::new(level, taps) {
            let weights = lanes.pack(Reduce::Outputs, weight)?;
            grouped::forward(level, &lanes, &weights, dy, epilogue, dx)?;
        } else {
            let taps = taps.clone().flattened();
            direct::run_once(level, &taps, Reduce::Outputs, weight, dy, epilogue, dx)?;
        }
    }
    Ok(())
}

/// Weights in the order that the gradient of the input reads them, for images of any size.
#[derive(Debug)]
pub(crate) struct GradientWeights {
    level: Level,
    form: Form,
}

/// The order of the weights.
#[derive(Debug)]
enum Form {
    Depthwise(Buffer<f32>),
    Winograd(winograd::Size, TapWeights),
    /// In the order of [`phases`].
    Phases(Vec<PhaseWeights>),
}

#[derive(Debug)]
enum PhaseWeights {
    Lanes(Buffer<f32>),
    Panels(TapWeights),
}

impl GradientWeights {
    /// Arranges dense weights for a method that accepts the geometry.
    pub(crate) fn pack(
        level: Level,
        g: &Conv2dGeometry,
        method: Method,
        weight: &[f32],
    ) -> Result<Self, KernelError> {
        let phase = |taps: Taps| -> Result<PhaseWeights, KernelError> {
            Ok(match Lanes::new(level, &taps) {
                Some(lanes) => PhaseWeights::Lanes(lanes.pack(Reduce::Outputs, weight)?),
                None => PhaseWeights::Panels(TapWeights::pack(
                    level,
                    &taps.flattened(),
                    Reduce::Outputs,
                    weight,
                )?),
            })
        };
        let form = match (method, method.tile()) {
            (Method::Depthwise, _) => Form::Depthwise(dwconv::pack(g, weight)?),
            (_, Some(size)) => {
                let taps = only_phase(g)?;
                let weights = winograd::pack(level, size, &taps, Reduce::Outputs, weight)?;
                Form::Winograd(size, weights)
            }
            _ => Form::Phases(
                phases(g)
                    .into_iter()
                    .map(phase)
                    .collect::<Result<_, KernelError>>()?,
            ),
        };
        Ok(Self { level, form })
    }

    /// Computes `dx` from `dy`, both channels-last. The geometry may differ from the one the weights
    /// were packed for in its batch and its sizes.
    pub(crate) fn run(
        &self,
        g: &Conv2dGeometry,
        dy: &[f32],
        epilogue: &Epilogue<'_>,
        dx: &mut [f32],
    ) -> Result<(), KernelError> {
        let level = self.level;
        match &self.form {
            Form::Depthwise(weights) => {
                dwconv::backward_input(level, g, dy, weights, epilogue, dx);
                Ok(())
            }
            Form::Winograd(size, weights) => {
                winograd::run(level, *size, &only_phase(g)?, weights, dy, epilogue, dx)
            }
            Form::Phases(weights) => {
                let phases = phases(g);
                fill_unreached(level, g, &phases, epilogue, dx)?;
                for (taps, weights) in phases.into_iter().zip(weights) {
                    if taps.pixels() == 0 {
                        continue;
                    }
                    match (weights, Lanes::new(level, &taps)) {
                        (PhaseWeights::Lanes(weights), Some(lanes)) => {
                            grouped::forward(level, &lanes, weights, dy, epilogue, dx)?;
                        }
                        (PhaseWeights::Panels(weights), _) => {
                            direct::run(level, &taps.flattened(), weights, dy, epilogue, dx)?;
                        }
                        _ => return Err(unexpected(g)),
                    }
                }
                Ok(())
            }
        }
    }
}

/// Stores what the epilogue makes of an empty sum, if some remainder is reached by no tap.
fn fill_unreached(
    level: Level,
    g: &Conv2dGeometry,
    phases: &[Taps],
    epilogue: &Epilogue<'_>,
    dx: &mut [f32],
) -> Result<(), KernelError> {
    let reached: usize = phases.iter().map(Taps::pixels).sum();
    if reached * g.in_channels() == dx.len() {
        return Ok(());
    }
    let nothing = Taps {
        in_size: g.in_size(),
        grid: g.in_size(),
        out_step: [1, 1],
        groups: 1,
        ..phase(g, [0, 0], Vec::new())
    };
    direct::run_once(level, &nothing, Reduce::Outputs, &[], &[], epilogue, dx)
}

/// The one remainder of a convolution with stride 1.
fn only_phase(g: &Conv2dGeometry) -> Result<Taps, KernelError> {
    phases(g).pop().ok_or_else(|| unexpected(g))
}

fn unexpected(g: &Conv2dGeometry) -> KernelError {
    let rule = "the weights were packed for another convolution";
    GeometryError::new(OP, "geometry", format!("{g:?}"), rule).into()
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
