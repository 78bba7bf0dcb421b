//! The pixels of a data gradient whose coordinates have the same remainder by the stride.

use super::lanes::Lanes;
use super::taps::{Reduce, TapWeights, Taps};
use super::winograd::{self, Weights};
use super::{OP, direct, grouped};
use crate::accuracy::{Accuracy, Policy};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::panels::Panels;
use crate::geometry::GeometryError;
use striate_simd::{Buffer, Level};

/// How the pixels are computed, and all that the order of their weights depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Groups that are narrower than a vector.
    Grouped,
    /// In tiles with fewer multiplications, if the taps are two by two or three by three.
    Winograd(winograd::Size, Panels),
    /// Tap by tap.
    Direct(Panels),
}

/// The tile that computes some taps faster than going tap by tap, if there is one.
pub(super) fn tile(
    Policy { level, accuracy }: Policy,
    taps: &Taps,
    weights: Weights,
) -> Option<winograd::Size> {
    (accuracy == Accuracy::Fast)
        .then(|| winograd::Problem::of(taps)?.choose(level, weights))
        .flatten()
}

impl Phase {
    /// The fastest way. A pure function of its arguments.
    pub(super) fn choose(policy: Policy, taps: &Taps, weights: Weights) -> Self {
        let level = policy.level;
        if Lanes::new(level, taps).is_some() {
            return Self::Grouped;
        }
        match tile(policy, taps, weights) {
            Some(size) => Self::Winograd(size, winograd::panels(level, size, taps)),
            None => Self::Direct(TapWeights::panels(level, &taps.clone().flattened())),
        }
    }

    /// Arranges dense weights.
    pub(super) fn pack(
        self,
        level: Level,
        taps: &Taps,
        weight: &[f32],
    ) -> Result<PhaseWeights, KernelError> {
        let reduce = Reduce::Outputs;
        Ok(match (self, Lanes::new(level, taps)) {
            (Self::Grouped, Some(lanes)) => PhaseWeights::Lanes(lanes.pack(reduce, weight)?),
            (Self::Winograd(size, _), _) => {
                PhaseWeights::Points(size, winograd::pack(level, size, taps, reduce, weight)?)
            }
            _ => {
                let taps = taps.clone().flattened();
                PhaseWeights::Taps(TapWeights::pack(level, &taps, reduce, weight)?)
            }
        })
    }
}

/// The weights of the pixels.
#[derive(Debug)]
pub(super) enum PhaseWeights {
    Lanes(Buffer<f32>),
    Points(winograd::Size, TapWeights),
    Taps(TapWeights),
}

impl PhaseWeights {
    /// Computes the pixels.
    pub(super) fn run(
        &self,
        level: Level,
        taps: Taps,
        dy: &[f32],
        epilogue: &Epilogue<'_>,
        dx: &mut [f32],
    ) -> Result<(), KernelError> {
        match self {
            Self::Lanes(weights) => {
                // Whether there are lanes depends on the taps and channels alone.
                let Some(lanes) = Lanes::new(level, &taps) else {
                    let rule = "the weights were packed for another convolution";
                    return Err(GeometryError::new(OP, "taps", format!("{taps:?}"), rule).into());
                };
                grouped::forward(level, &lanes, weights, dy, epilogue, dx)
            }
            Self::Points(size, weights) => {
                winograd::run(level, *size, &taps, weights, dy, epilogue, dx)
            }
            Self::Taps(weights) => direct::run(level, &taps.flattened(), weights, dy, epilogue, dx),
        }
    }
}
