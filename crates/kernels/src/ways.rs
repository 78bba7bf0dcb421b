//! The ways to compute the passes of a convolution: to be listed, measured and compared.

use crate::accuracy::Policy;
use crate::conv_transpose2d::{self, ConvTranspose2dGeometry};
use crate::conv2d::{
    self, Algorithm, Candidate, Conv2dGeometry, GradientMethod, WeightMethod, Weights,
};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::geometry::Layout;

/// A convolution of either direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Problem {
    /// A convolution of an input of some layout.
    Plain(Conv2dGeometry, Layout),
    /// A transposed convolution.
    Transposed(ConvTranspose2dGeometry),
}

/// A pass of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// The output from the input and the weights, which are arranged once and used many times.
    Forward,
    /// The gradient of the input from that of the output and the weights, which are used once.
    InputGradient,
    /// The gradient of the weights from the input and the gradient of the output.
    WeightGradient,
}

/// A way to compute a pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Way {
    /// What it is predicted to take on one thread, in times in which a core does two multiply-adds of whole vectors.
    pub cycles: f64,
    /// Whether it is what the pass takes.
    pub chosen: bool,
    problem: Problem,
    pass: Pass,
    policy: Policy,
    method: Method,
}

/// How a pass is computed, a transposed convolution as the pass of the convolution that it is the adjoint of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    Forward(Algorithm),
    InputGradient(GradientMethod),
    WeightGradient(WeightMethod),
}

impl Problem {
    /// The name of the op.
    pub fn op(&self) -> &'static str {
        match self {
            Self::Plain(..) => "conv2d",
            Self::Transposed(_) => "conv_transpose2d",
        }
    }

    /// The shape of the input, `[images, channels, height, width]`.
    pub fn x_shape(&self) -> [usize; 4] {
        match self {
            Self::Plain(g, _) => g.x_shape(),
            Self::Transposed(g) => g.x_shape(),
        }
    }

    /// The shape of the output.
    pub fn y_shape(&self) -> [usize; 4] {
        match self {
            Self::Plain(g, _) => g.y_shape(),
            Self::Transposed(g) => g.y_shape(),
        }
    }

    /// The number of weights.
    pub fn weight_len(&self) -> usize {
        match self {
            Self::Plain(g, _) => g.weight_len(),
            Self::Transposed(g) => g.weight_len(),
        }
    }

    /// The layout of the input.
    pub fn input(&self) -> Layout {
        match self {
            Self::Plain(_, input) => *input,
            Self::Transposed(_) => Layout::Nhwc,
        }
    }

    /// Multiply-adds of the definition of a pass.
    pub fn multiply_adds(&self) -> f64 {
        match self {
            Self::Plain(g, _) => g.multiply_adds(),
            Self::Transposed(g) => g.multiply_adds(),
        }
    }

    /// Elements of the two operands that a pass reads, in the order in which [`Pass`] tells them, and of what it
    /// writes.
    pub fn lens(&self, pass: Pass) -> [usize; 3] {
        let [x, y] = [self.x_shape(), self.y_shape()].map(|shape| shape.iter().product());
        let weight = self.weight_len();
        match pass {
            Pass::Forward => [x, weight, y],
            Pass::InputGradient => [y, weight, x],
            Pass::WeightGradient => [x, y, weight],
        }
    }

    /// All ways to compute a pass that `policy` allows, the most special first.
    pub fn ways(&self, policy: impl Into<Policy>, pass: Pass) -> Vec<Way> {
        let policy = policy.into();
        let (g, input) = self.convolution();
        match self.pass_of_convolution(pass) {
            Pass::Forward => {
                let weights = match pass {
                    Pass::Forward => Weights::Kept,
                    _ => Weights::Fresh,
                };
                let candidates = conv2d::predictions(policy, &g, input, weights);
                let chosen = conv2d::choose_for(&g, input, policy.level, policy.accuracy, weights);
                self.collect(policy, pass, candidates, chosen, Method::Forward)
            }
            Pass::InputGradient => {
                let weights = match pass {
                    Pass::Forward => Weights::Kept,
                    _ => Weights::Fresh,
                };
                let (candidates, chosen) = conv2d::gradient_candidates(policy, &g, weights);
                self.collect(policy, pass, candidates, chosen, Method::InputGradient)
            }
            Pass::WeightGradient => {
                let (candidates, chosen) = conv2d::weight_candidates(policy, &g, input);
                self.collect(policy, pass, candidates, chosen, Method::WeightGradient)
            }
        }
    }

    fn collect<A: PartialEq>(
        &self,
        policy: Policy,
        pass: Pass,
        candidates: impl IntoIterator<Item = Candidate<A>>,
        chosen: A,
        method: impl Fn(A) -> Method,
    ) -> Vec<Way> {
        let way = |Candidate { algorithm, cycles }| Way {
            cycles,
            chosen: algorithm == chosen,
            problem: *self,
            pass,
            policy,
            method: method(algorithm),
        };
        candidates.into_iter().map(way).collect()
    }

    /// The convolution itself, or the one that a transposed one is the adjoint of.
    fn convolution(&self) -> (Conv2dGeometry, Layout) {
        match self {
            Self::Plain(g, input) => (*g, *input),
            Self::Transposed(g) => (*g.adjoint(), Layout::Nhwc),
        }
    }

    /// The pass of that convolution that computes a pass.
    fn pass_of_convolution(&self, pass: Pass) -> Pass {
        match (self, pass) {
            (Self::Transposed(_), Pass::Forward) => Pass::InputGradient,
            (Self::Transposed(_), Pass::InputGradient) => Pass::Forward,
            _ => pass,
        }
    }
}

impl Way {
    /// The middle of its name.
    pub fn family(&self) -> &'static str {
        match self.method {
            Method::Forward(algorithm) => algorithm.family(),
            Method::InputGradient(method) => method.family(),
            Method::WeightGradient(method) => method.family(),
        }
    }

    /// The name of the kernel, such as `f32-conv2d-input-gradient-winograd-3x3s1-avx512`.
    pub fn name(&self) -> String {
        let (g, _) = self.problem.convolution();
        let pass = match self.pass {
            Pass::Forward => "",
            Pass::InputGradient => "input-gradient-",
            Pass::WeightGradient => "weight-gradient-",
        };
        let (op, family, level) = (self.problem.op(), self.family(), self.policy.level);
        format!("f32-{op}-{pass}{family}-{}-{level}", g.attributes())
    }

    /// Arranges `weight` if the pass is one that keeps it.
    ///
    /// # Errors
    /// If its length is wrong or memory runs out.
    pub fn prepare(self, weight: &[f32]) -> Result<Prepared, KernelError> {
        let level = self.policy.level;
        let kept = match (self.problem, self.pass, self.method) {
            (Problem::Plain(g, input), Pass::Forward, Method::Forward(algorithm)) => Kept::Plain(
                conv2d::PackedWeights::with_algorithm(level, &g, input, weight, algorithm)?,
            ),
            (Problem::Transposed(g), Pass::Forward, Method::InputGradient(method)) => {
                let policy = self.policy;
                Kept::Transposed(conv_transpose2d::PackedWeights::with_algorithm(
                    policy, &g, weight, method,
                )?)
            }
            _ => Kept::Nothing,
        };
        Ok(Prepared { way: self, kept })
    }
}

/// A way that is ready to be gone many times.
#[derive(Debug)]
pub struct Prepared {
    way: Way,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    Nothing,
    Plain(conv2d::PackedWeights),
    Transposed(conv_transpose2d::PackedWeights),
}

impl Prepared {
    /// Computes `out` from the two operands, in the order in which [`Pass`] tells them; weights that are kept are those
    /// that were prepared.
    ///
    /// # Errors
    /// If a slice has the wrong length, or memory runs out.
    pub fn run(&self, operands: [&[f32]; 2], out: &mut [f32]) -> Result<(), KernelError> {
        let epilogue = &Epilogue::NONE;
        let Way {
            problem,
            policy,
            method,
            ..
        } = self.way;
        let (g, input) = problem.convolution();
        let [a, b] = operands;
        match (&self.kept, problem, method) {
            (Kept::Plain(weights), ..) => weights.forward(&g, a, epilogue, out),
            (Kept::Transposed(weights), Problem::Transposed(g), _) => {
                weights.forward(&g, a, epilogue, out)
            }
            (_, _, Method::Forward(algorithm)) => {
                conv2d::forward_by(policy.level, &g, algorithm, (a, input), b, epilogue, out)
            }
            (_, _, Method::InputGradient(method)) => {
                conv2d::backward_input_by(policy, &g, method, a, b, out)
            }
            (_, Problem::Plain(..), Method::WeightGradient(method)) => {
                conv2d::backward_weight_by(policy, &g, method, (a, input), b, out)
            }
            (_, Problem::Transposed(_), Method::WeightGradient(method)) => {
                conv2d::backward_weight_by(policy, &g, method, (b, input), a, out)
            }
        }
    }
}
