//! The ways to compute the gradient of the input, and weights in the order that it reads them.

use super::algorithm::FULL;
use super::arrangement::Attributes;
use super::backward_input::{fill_unreached, phases, run_phases, unreached};
use super::lanes::Lanes;
use super::phase::{Phase, PhaseWeights};
use super::predict::{self, Candidate, fastest};
use super::recent::Recent;
use super::taps::{Reduce, Taps};
use super::winograd::Weights;
use super::{Algorithm, Conv2dGeometry, OP, few_outputs, grouped};
use crate::accuracy::{Accuracy, Policy};
use crate::dwconv::{self, Direction};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::geometry::{GeometryError, Layout};
use std::cell::RefCell;
use striate_simd::{Buffer, Level};

/// A way to compute a data gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// One channel a group, a vector of channels at a time.
    Depthwise,
    /// A dense convolution for each remainder by the stride, to few channels, a vector of pixels at a time.
    FewOutputs,
    /// The convolutions of all remainders in one pass, of groups that are narrower than a vector.
    Grouped,
    /// A convolution for each remainder, in tiles with fewer multiplications where its taps are two by
    /// two or three by three.
    Winograd,
    /// A convolution for each remainder, tap by tap.
    Direct,
}

/// The methods, the most special first.
pub(crate) const METHODS: [Method; 5] = [
    Method::Depthwise,
    Method::FewOutputs,
    Method::Grouped,
    Method::Winograd,
    Method::Direct,
];

/// The methods that compute the data gradient of a convolution and that `policy` allows, in the order of
/// [`METHODS`].
pub(crate) fn candidates(
    policy: Policy,
    g: &Conv2dGeometry,
    weights: Weights,
) -> Vec<Candidate<Method>> {
    let phases = phases(g);
    let candidate = |algorithm: Method| {
        let cycles = algorithm.cycles(policy, g, &phases, weights)?;
        Some(Candidate { algorithm, cycles })
    };
    METHODS.into_iter().filter_map(candidate).collect()
}

/// The fastest method. A pure function of its arguments.
pub(super) fn choose(policy: Policy, g: &Conv2dGeometry, weights: Weights) -> Method {
    let question = (policy, *g, weights);
    RECENT.with_borrow_mut(|recent| {
        recent.answer(question, |(policy, g, weights)| {
            let candidates = candidates(*policy, g, *weights).into_iter();
            fastest(candidates, |method| method == Method::Winograd).unwrap_or(Method::Direct)
        })
    })
}

/// What a choice depends on.
type Question = (Policy, Conv2dGeometry, Weights);

thread_local! {
    static RECENT: RefCell<Recent<Question, Method>> = const { RefCell::new(Recent::new()) };
}

impl Method {
    /// The middle of the name of a kernel.
    pub fn family(self) -> &'static str {
        match self {
            Self::Depthwise => "depthwise",
            Self::FewOutputs => "few-outputs",
            Self::Grouped => "grouped",
            Self::Winograd => "winograd",
            Self::Direct => "direct",
        }
    }

    /// Whether the pixels of each remainder are computed in a way of their own.
    fn has_phases(self) -> bool {
        matches!(self, Self::Winograd | Self::Direct)
    }

    /// How the pixels of each remainder are computed, unless the method declines.
    pub(super) fn phases(
        self,
        Policy { level, accuracy }: Policy,
        phases: &[Taps],
        weights: Weights,
    ) -> Option<Vec<Phase>> {
        let direct = |taps| Phase::direct(level, taps);
        let tiled = |taps| Phase::tiled(level, taps, weights);
        match self {
            Self::Depthwise | Self::FewOutputs | Self::Grouped => None,
            Self::Winograd => {
                let tiles: Vec<_> = phases.iter().map(tiled).collect();
                let any = accuracy == Accuracy::Fast && tiles.iter().any(Option::is_some);
                let pairs = tiles.into_iter().zip(phases);
                any.then(|| {
                    let phase =
                        |(tiled, taps): (Option<Phase>, _)| tiled.unwrap_or_else(|| direct(taps));
                    pairs.map(phase).collect()
                })
            }
            Self::Direct => Some(phases.iter().map(direct).collect()),
        }
    }

    /// Whether it computes a data gradient, if it has [`phases`](Self::phases) where it needs some.
    fn accepts(self, level: Level, g: &Conv2dGeometry, phases: &[Taps]) -> bool {
        match self {
            Self::Depthwise => Algorithm::Depthwise.accepts(g, Layout::Nhwc, level),
            Self::FewOutputs => {
                g.in_channels() < FULL && few_outputs::Plan::new(phases, Layout::Nhwc).is_some()
            }
            Self::Grouped => Lanes::new(level, phases).is_some(),
            Self::Winograd | Self::Direct => true,
        }
    }

    /// The cycles that it is predicted to take on one thread, unless it declines.
    fn cycles(
        self,
        policy: Policy,
        g: &Conv2dGeometry,
        phases: &[Taps],
        weights: Weights,
    ) -> Option<f64> {
        let level = policy.level;
        if !self.accepts(level, g, phases) {
            return None;
        }
        let pack = || predict::pack(g.weight_len(), weights);
        let run = match self {
            Self::Depthwise => pack() + predict::depthwise(g, level, Direction::Backward),
            Self::FewOutputs => {
                let plan = few_outputs::Plan::new(phases, Layout::Nhwc)?;
                pack() + plan.cycles(level)
            }
            Self::Grouped => pack() + Lanes::new(level, phases)?.cycles(level),
            Self::Winograd | Self::Direct => {
                let ways = self.phases(policy, phases, weights)?;
                let cycles = |(way, taps): (Phase, _)| way.cycles(level, taps, weights);
                let unreached = unreached(g, phases);
                let cleared = unreached.map_or(0.0, |taps| predict::direct(&taps, level));
                cleared + ways.into_iter().zip(phases).map(cycles).sum::<f64>()
            }
        };
        let tiled = self == Self::Winograd;
        let apart = self == Self::Grouped || tiled && predict::has_narrow_groups(g, level);
        Some(run + predict::traffic(g, apart))
    }
}

/// An order of the weights, and all that it depends on: weights of equal arrangements are packed alike,
/// whatever the batch and the image size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GradientArrangement {
    level: Level,
    attributes: Attributes,
    method: Method,
    /// In the order of [`phases`], of those methods that differ from remainder to remainder.
    phases: Vec<Phase>,
}

impl GradientArrangement {
    /// The arrangement for the fastest computation with weights that are packed once and used many
    /// times. A pure function of its arguments.
    pub(crate) fn choose(policy: Policy, g: &Conv2dGeometry) -> Self {
        Self::of(policy, g, choose(policy, g, Weights::Kept), Weights::Kept)
    }

    fn of(policy: Policy, g: &Conv2dGeometry, method: Method, weights: Weights) -> Self {
        let phases = method.phases(policy, &phases(g), weights);
        Self {
            level: policy.level,
            attributes: Attributes::of(g),
            method,
            phases: phases.unwrap_or_default(),
        }
    }

    /// How a gradient is computed.
    pub fn algorithm(&self) -> Method {
        self.method
    }

    /// The level.
    pub fn level(&self) -> Level {
        self.level
    }
}

/// Weights that are arranged once for a level and used many times, for images of any size.
#[derive(Debug)]
pub(crate) struct GradientWeights {
    arrangement: GradientArrangement,
    form: Form,
}

/// The order of the weights.
#[derive(Debug)]
enum Form {
    Depthwise(Buffer<f32>),
    /// In the order of [`phases`], as are the others.
    Rows(Vec<Buffer<f32>>),
    Lanes(Vec<Buffer<f32>>),
    Phases(Vec<PhaseWeights>),
}

impl GradientWeights {
    /// Arranges dense weights for many uses.
    pub(crate) fn pack(
        policy: Policy,
        g: &Conv2dGeometry,
        weight: &[f32],
    ) -> Result<Self, KernelError> {
        let method = choose(policy, g, Weights::Kept);
        Self::with_method(policy, g, weight, method, Weights::Kept)
    }

    /// Arranges dense weights for a method, be it the fastest or not.
    pub(crate) fn with_method(
        policy: Policy,
        g: &Conv2dGeometry,
        weight: &[f32],
        method: Method,
        weights: Weights,
    ) -> Result<Self, KernelError> {
        let (level, taps) = (policy.level, phases(g));
        let arrangement = GradientArrangement::of(policy, g, method, weights);
        let declines = || {
            let rule = "it declines this convolution";
            GeometryError::new(OP, "method", method.family(), rule)
        };
        let without = method.has_phases() && arrangement.phases.len() < taps.len();
        if without || !method.accepts(level, g, &taps) {
            return Err(declines().into());
        }
        let form = match method {
            Method::Depthwise => Form::Depthwise(dwconv::pack(g, weight)?),
            Method::FewOutputs => {
                let pack = |taps| few_outputs::pack(taps, Reduce::Outputs, weight);
                Form::Rows(taps.iter().map(pack).collect::<Result<_, _>>()?)
            }
            Method::Grouped => {
                let lanes = Lanes::new(level, &taps).ok_or_else(declines)?;
                let pack = |taps| lanes.pack(taps, Reduce::Outputs, weight);
                Form::Lanes(taps.iter().map(pack).collect::<Result<_, _>>()?)
            }
            Method::Winograd | Method::Direct => {
                let phases = taps.iter().zip(&arrangement.phases);
                let packed = phases.map(|(taps, phase)| phase.pack(level, taps, weight));
                Form::Phases(packed.collect::<Result<_, _>>()?)
            }
        };
        Ok(Self { arrangement, form })
    }

    /// What they were packed for.
    pub(crate) fn arrangement(&self) -> &GradientArrangement {
        &self.arrangement
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
        let GradientArrangement {
            level, attributes, ..
        } = self.arrangement;
        let mismatch = || {
            let rule = format!("the weights were packed for {attributes:?}");
            GeometryError::new(OP, "geometry", format!("{g:?}"), rule)
        };
        if Attributes::of(g) != attributes {
            return Err(mismatch().into());
        }
        match &self.form {
            Form::Depthwise(weights) => {
                dwconv::backward_input(level, g, dy, weights, epilogue, dx);
                Ok(())
            }
            Form::Rows(weights) => {
                let phases = phases(g);
                // An image may be so small that no tap reaches it.
                let Some(plan) = few_outputs::Plan::new(&phases, Layout::Nhwc) else {
                    return fill_unreached(level, g, &[], epilogue, dx);
                };
                let weights: Vec<&[f32]> = weights.iter().map(|weights| &weights[..]).collect();
                plan.run(level, &weights, dy, epilogue, dx)
            }
            Form::Lanes(weights) => {
                let phases = phases(g);
                // Whether there are lanes depends on the taps and channels alone.
                let lanes = Lanes::new(level, &phases).ok_or_else(mismatch)?;
                fill_unreached(level, g, &phases, epilogue, dx)?;
                let weights: Vec<&[f32]> = weights.iter().map(|weights| &weights[..]).collect();
                grouped::forward(level, &lanes, &weights, dy, epilogue, dx)
            }
            Form::Phases(weights) => run_phases(level, g, weights, dy, epilogue, dx),
        }
    }
}
