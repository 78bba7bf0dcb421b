//! The ways to compute the gradient of the weights, and how long each is predicted to take.

use super::backward_input::phases;
use super::lanes::Lanes;
use super::predict::{self, Candidate, fastest, machine};
use super::recent::Recent;
use super::taps::{Reduce, Taps};
use super::winograd::{self, Size};
use super::{Algorithm, Conv2dGeometry, OP, backward_weight, channels_last, few_channels, grouped};
use crate::accuracy::{Accuracy, Policy};
use crate::dwconv;
use crate::error::KernelError;
use crate::geometry::{GeometryError, Layout};
use std::cell::RefCell;
use striate_simd::Level;

/// A way to compute a gradient of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WeightMethod {
    /// One channel a group, a vector of channels at a time.
    Depthwise,
    /// Few channels, whose taps and channels are one index of the gradient, over padded pieces of the image.
    FewChannels,
    /// Groups that are narrower than a vector, whose channels are spread over its lanes.
    Grouped,
    /// In tiles with fewer multiplications, where what a stride leaves of the taps is two by two or three by three.
    Winograd,
    /// Tap by tap.
    Direct,
}

/// The methods, the most special first.
const METHODS: [WeightMethod; 5] = [
    WeightMethod::Depthwise,
    WeightMethod::FewChannels,
    WeightMethod::Grouped,
    WeightMethod::Winograd,
    WeightMethod::Direct,
];

/// The methods that compute the gradient of the weights from an input of layout `input` and that `policy` allows, most
/// special first.
pub(super) fn candidates(
    policy: Policy,
    g: &Conv2dGeometry,
    input: Layout,
) -> Vec<Candidate<WeightMethod>> {
    let candidate = |algorithm: WeightMethod| {
        let cycles = algorithm.cycles(policy, g, input)?;
        Some(Candidate { algorithm, cycles })
    };
    METHODS.into_iter().filter_map(candidate).collect()
}

/// The fastest method. A pure function of its arguments.
pub(super) fn choose(policy: Policy, g: &Conv2dGeometry, input: Layout) -> WeightMethod {
    RECENT.with_borrow_mut(|recent| {
        recent.answer((policy, *g, input), |(policy, g, input)| {
            let candidates = candidates(*policy, g, *input).into_iter();
            let tiled = |method| method == WeightMethod::Winograd;
            fastest(candidates, tiled).unwrap_or(WeightMethod::Direct)
        })
    })
}

/// What a choice depends on.
type Question = (Policy, Conv2dGeometry, Layout);

thread_local! {
    static RECENT: RefCell<Recent<Question, WeightMethod>> = const { RefCell::new(Recent::new()) };
}

/// Computes `dweight` from `x` and `dy`, which is channels-last, by any method that does not decline.
pub(super) fn run_by(
    policy: Policy,
    g: &Conv2dGeometry,
    method: WeightMethod,
    (x, input): (&[f32], Layout),
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    let level = policy.level;
    let declines = || {
        let rule = "it declines this convolution";
        KernelError::from(GeometryError::new(OP, "method", method.family(), rule))
    };
    if method == WeightMethod::FewChannels {
        let plan = few_channels_plan(g, input).ok_or_else(declines)?;
        return few_channels::backward_weight(level, &plan, x, dy, dweight);
    }
    let copy;
    let x = match input {
        Layout::Nhwc => x,
        Layout::Nchw => {
            copy = channels_last(g, x)?;
            &copy[..]
        }
    };
    match method {
        WeightMethod::Depthwise if is_depthwise(g, level) => {
            dwconv::backward_weight(level, g, x, dy, dweight)
        }
        WeightMethod::Grouped => {
            let taps = Taps::forward(g);
            let lanes = Lanes::new(level, std::slice::from_ref(&taps)).ok_or_else(declines)?;
            grouped::backward_weight(level, &lanes, x, dy, dweight)
        }
        WeightMethod::Winograd => {
            let (sums, reduce) = sums(g);
            let sizes = sizes(policy, &sums).ok_or_else(declines)?;
            let [x, dy] = match reduce {
                Reduce::Inputs => [x, dy],
                Reduce::Outputs => [dy, x],
            };
            let sums: Vec<_> = sums.iter().zip(sizes).collect();
            winograd::backward_weight(level, &sums, reduce, x, dy, dweight)
        }
        WeightMethod::Direct => backward_weight::run(level, g, x, dy, dweight),
        WeightMethod::Depthwise | WeightMethod::FewChannels => Err(declines()),
    }
}

impl WeightMethod {
    /// The middle of the name of a kernel.
    pub fn family(self) -> &'static str {
        match self {
            Self::Depthwise => "depthwise",
            Self::FewChannels => "few-channels",
            Self::Grouped => "grouped",
            Self::Winograd => "winograd",
            Self::Direct => "direct",
        }
    }

    /// The cycles that it is predicted to take on one thread, unless it declines.
    fn cycles(self, policy: Policy, g: &Conv2dGeometry, input: Layout) -> Option<f64> {
        let level = policy.level;
        let run = match self {
            Self::Depthwise => {
                is_depthwise(g, level).then(|| predict::depthwise_weights(g, level))?
            }
            Self::FewChannels => few_channels_plan(g, input)?
                .gradient_work(level)
                .cycles(level),
            Self::Grouped => {
                let taps = Taps::forward(g);
                Lanes::new(level, std::slice::from_ref(&taps))?.gradient_cycles(level)
            }
            Self::Winograd => {
                let (sums, _) = sums(g);
                let sizes = sizes(policy, &sums)?;
                let cycles = |(taps, size): (&Taps, Size)| {
                    winograd::gradient_work(level, size, taps).cycles(level)
                };
                sums.iter().zip(sizes).map(cycles).sum()
            }
            Self::Direct => backward_weight::work(level, g).cycles(level),
        };
        let copy = match (self, input) {
            (Self::FewChannels, _) | (_, Layout::Nhwc) => 0.0,
            (_, Layout::Nchw) => machine::TRANSPOSE * g.x_len() as f64,
        };
        Some(run + copy + predict::traffic(g, self == Self::Grouped))
    }
}

fn is_depthwise(g: &Conv2dGeometry, level: Level) -> bool {
    Algorithm::Depthwise.accepts(g, Layout::Nhwc, level)
}

fn few_channels_plan(g: &Conv2dGeometry, input: Layout) -> Option<few_channels::Plan<'_>> {
    few_channels::accepts(g)
        .then(|| few_channels::Plan::new(g, input))
        .flatten()
}

/// The sums that tiles may compute: the convolution itself; or of a strided one what the stride leaves for each
/// remainder, as in the gradient of the input.
fn sums(g: &Conv2dGeometry) -> (Vec<Taps>, Reduce) {
    if g.stride() == [1, 1] {
        (vec![Taps::forward(g)], Reduce::Inputs)
    } else {
        (phases(g), Reduce::Outputs)
    }
}

/// The fastest tile for each of the sums, if tiles are allowed and suit them all.
fn sizes(policy: Policy, sums: &[Taps]) -> Option<Vec<Size>> {
    let size = |taps: &Taps| {
        let cycles =
            |&size: &Size| winograd::gradient_work(policy.level, size, taps).cycles(policy.level);
        let problem = winograd::Problem::of(taps).filter(|_| taps.pixels() > 0)?;
        problem
            .sizes()
            .iter()
            .copied()
            .filter(|&size| problem.accepts(size))
            .min_by(|a, b| cycles(a).total_cmp(&cycles(b)))
    };
    (policy.accuracy == Accuracy::Fast)
        .then(|| sums.iter().map(size).collect())
        .flatten()
}

/// What a sum of outer products of pixels consists of: rows of it are input channels of a tap or a point, columns are
/// output channels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Work {
    /// Cycles of multiply-adds.
    pub(super) sums: f64,
    /// Tiles, for each time that one is summed, and runs of pixels in them.
    pub(super) tiles: f64,
    pub(super) runs: f64,
    /// Rows of tiles that are added to memory.
    pub(super) rows: f64,
    /// Vectors of pixels that are copied or transformed.
    pub(super) copied: f64,
    /// Elements of the gradient that are put in order.
    pub(super) weights: f64,
    /// What is in cycles already.
    pub(super) others: f64,
}

impl Work {
    fn cycles(&self, level: Level) -> f64 {
        let [tile, run, row, copied, weight] = machine::OUTER;
        let sums = machine::sums(level) * self.sums + tile * self.tiles;
        let rest = run * self.runs + row * self.rows + copied * self.copied;
        machine::GRADIENT + sums + rest + weight * self.weights + self.others
    }
}
