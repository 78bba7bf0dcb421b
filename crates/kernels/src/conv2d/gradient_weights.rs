//! Weights in the order that the gradient of the input reads them.

use super::arrangement::Attributes;
use super::backward_input::{is_depthwise, phases, run_phases};
use super::phase::{Phase, PhaseWeights};
use super::winograd::Weights;
use super::{Conv2dGeometry, OP};
use crate::accuracy::Policy;
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
    /// A convolution for each remainder by the stride, of groups that are narrower than a vector.
    Grouped,
    /// A convolution for each remainder, in tiles with fewer multiplications where its taps are two by
    /// two or three by three.
    Winograd,
    /// A convolution for each remainder, tap by tap.
    Direct,
}

/// The methods, best first.
pub(crate) const METHODS: [Method; 4] = [
    Method::Depthwise,
    Method::Grouped,
    Method::Winograd,
    Method::Direct,
];

impl Method {
    /// The middle of the name of a kernel.
    pub fn family(self) -> &'static str {
        match self {
            Self::Depthwise => "depthwise",
            Self::Grouped => "grouped",
            Self::Winograd => "winograd",
            Self::Direct => "direct",
        }
    }
}

/// An order of the weights, and all that it depends on: weights of equal arrangements are packed alike,
/// whatever the batch and the image size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GradientArrangement {
    level: Level,
    attributes: Attributes,
    /// In the order of [`phases`]; none if the convolution is depthwise.
    phases: Vec<Phase>,
}

impl GradientArrangement {
    /// The arrangement for the fastest computation with weights that are packed once and used many
    /// times. A pure function of its arguments.
    pub(crate) fn choose(policy: Policy, g: &Conv2dGeometry) -> Self {
        let phase = |taps| Phase::choose(policy, &taps, Weights::Kept);
        Self {
            level: policy.level,
            attributes: Attributes::of(g),
            phases: if is_depthwise(g) {
                Vec::new()
            } else {
                phases(g).into_iter().map(phase).collect()
            },
        }
    }

    /// How a gradient is computed.
    pub fn algorithm(&self) -> Method {
        let any = |is: fn(&Phase) -> bool| self.phases.iter().any(is);
        if self.phases.is_empty() {
            Method::Depthwise
        } else if any(|phase| matches!(phase, Phase::Grouped)) {
            Method::Grouped
        } else if any(|phase| matches!(phase, Phase::Winograd(..))) {
            Method::Winograd
        } else {
            Method::Direct
        }
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
    /// In the order of [`phases`].
    Phases(Vec<PhaseWeights>),
}

impl GradientWeights {
    /// Arranges dense weights.
    pub(crate) fn pack(
        policy: Policy,
        g: &Conv2dGeometry,
        weight: &[f32],
    ) -> Result<Self, KernelError> {
        let arrangement = GradientArrangement::choose(policy, g);
        let form = if is_depthwise(g) {
            Form::Depthwise(dwconv::pack(g, weight)?)
        } else {
            let phases = phases(g).into_iter().zip(&arrangement.phases);
            let packed = phases.map(|(taps, phase)| phase.pack(policy.level, &taps, weight));
            Form::Phases(packed.collect::<Result<_, KernelError>>()?)
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
        if Attributes::of(g) != attributes {
            let rule = format!("the weights were packed for {attributes:?}");
            return Err(GeometryError::new(OP, "geometry", format!("{g:?}"), rule).into());
        }
        match &self.form {
            Form::Depthwise(weights) => {
                dwconv::backward_input(level, g, dy, weights, epilogue, dx);
            }
            Form::Phases(weights) => run_phases(level, g, weights, dy, epilogue, dx)?,
        }
        Ok(())
    }
}
