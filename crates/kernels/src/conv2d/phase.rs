//! The pixels of a data gradient whose coordinates have the same remainder by the stride.

use super::direct;
use super::predict;
use super::taps::{Reduce, TapWeights, Taps};
use super::winograd::{self, Weights};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::panels::Panels;
use striate_simd::Level;

/// How the pixels are computed, and all that the order of their weights depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// In tiles with fewer multiplications, if the taps are two by two or three by three.
    Winograd(winograd::Size, Panels),
    /// Tap by tap.
    Direct(Panels),
}

impl Phase {
    /// Tap by tap.
    pub(super) fn direct(level: Level, taps: &Taps) -> Self {
        Self::Direct(TapWeights::panels(level, &taps.clone().flattened()))
    }

    /// In the fastest tiles, if they are faster than going tap by tap.
    pub(super) fn tiled(level: Level, taps: &Taps, weights: Weights) -> Option<Self> {
        let size = winograd::Problem::of(taps)?.fastest(level, weights);
        let tiled = Self::Winograd(size, winograd::panels(level, size, taps));
        let direct = Self::direct(level, taps).cycles(level, taps, weights);
        (winograd::MARGIN * tiled.cycles(level, taps, weights) < direct).then_some(tiled)
    }

    /// The cycles that it is predicted to take.
    pub(super) fn cycles(self, level: Level, taps: &Taps, weights: Weights) -> f64 {
        let pack = || {
            let count = taps.taps.len() * taps.in_channels * taps.columns();
            predict::pack(count, weights)
        };
        match self {
            Self::Winograd(size, _) => winograd::Problem::of(taps)
                .map_or(f64::INFINITY, |problem| {
                    problem.cycles(level, size, weights)
                }),
            Self::Direct(_) => pack() + predict::direct(&taps.clone().flattened(), level),
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
        Ok(match self {
            Self::Winograd(size, _) => {
                PhaseWeights::Points(size, winograd::pack(level, size, taps, reduce, weight)?)
            }
            Self::Direct(_) => {
                let taps = taps.clone().flattened();
                PhaseWeights::Taps(TapWeights::pack(level, &taps, reduce, weight)?)
            }
        })
    }
}

/// The weights of the pixels.
#[derive(Debug)]
pub(super) enum PhaseWeights {
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
            Self::Points(size, weights) => {
                winograd::run(level, *size, &taps, weights, dy, epilogue, dx)
            }
            Self::Taps(weights) => direct::run(level, &taps.flattened(), weights, dy, epilogue, dx),
        }
    }
}
