//! Gradients checked against differences.

use super::grad_mode::no_grad;
use crate::{DType, Error, Philox, Result, Tensor};

/// How [`gradcheck`] compares. The defaults suit smooth functions of numbers around 1.
///
/// The function is contracted with fixed random weights to one number `L`, whose gradient is
/// compared with `(L(x + h) - L(x - h)) / 2h` for every element, or along random directions.
#[derive(Clone, Copy, Debug)]
pub struct Gradcheck {
    step: f64,
    absolute: f64,
    relative: f64,
    directions: Option<usize>,
}

impl Default for Gradcheck {
    fn default() -> Self {
        Self {
            step: 1e-6,
            absolute: 1e-7,
            relative: 1e-6,
            directions: None,
        }
    }
}

/// [`Gradcheck`] with its defaults: every element of every F64 input that tracks gradients, or of
/// every F64 input if none does.
///
/// # Errors
/// The gradients differ; the error names the worst element. Or `f` fails.
pub fn gradcheck(f: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor]) -> Result<()> {
    Gradcheck::default().run(f, inputs)
}

/// The worst disagreement seen.
struct Worst {
    excess: f64,
    report: String,
}

impl Gradcheck {
    /// The distance between samples, `h`.
    #[must_use]
    pub fn step(mut self, step: f64) -> Self {
        self.step = step;
        self
    }

    /// What passes: `|difference| <= absolute + relative * |gradient|`.
    #[must_use]
    pub fn tolerance(mut self, absolute: f64, relative: f64) -> Self {
        self.absolute = absolute;
        self.relative = relative;
        self
    }

    /// Checks `count` random directions an input instead of every element, for large inputs.
    #[must_use]
    pub fn directions(mut self, count: usize) -> Self {
        self.directions = Some(count);
        self
    }

    /// Checks `f` at `inputs`.
    ///
    /// # Errors
    /// The gradients differ; the error names the worst element. Or `f` fails.
    pub fn run(&self, f: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor]) -> Result<()> {
        let chosen =
            |x: &Tensor| x.dtype() == DType::F64 && (x.tracks_grad() || !any_tracks(inputs));
        let leaves = inputs
            .iter()
            .map(|x| x.detach().requires_grad(chosen(x)))
            .collect::<Result<Vec<_>>>()?;
        if !any_tracks(&leaves) {
            return Err(Error::Autograd("gradcheck: no input is f64".into()));
        }
        let output = f(&leaves)?;
        let weights = weights(&output)?;
        let grads = output.backward_with(&weights)?;
        let weights = weights.to_vec::<f64>()?;
        let loss = |inputs: &[Tensor]| -> Result<f64> {
            let y = no_grad(|| f(inputs))?.to_vec::<f64>()?;
            Ok(y.iter().zip(&weights).map(|(y, w)| y * w).sum())
        };

        let mut worst: Option<Worst> = None;
        for (index, leaf) in leaves.iter().enumerate().filter(|(_, x)| x.is_leaf()) {
            let grad = match grads.get(leaf) {
                Some(grad) => grad.to_vec::<f64>()?,
                None => vec![0.0; leaf.numel()],
            };
            let base = leaf.to_vec::<f64>()?;
            let mut at = leaves.iter().map(Tensor::detach).collect::<Vec<_>>();
            for (name, direction) in self.probes(leaf, index) {
                let mut sample = |h: f64| -> Result<f64> {
                    let mut moved = base.clone();
                    direction.iter().for_each(|&(i, d)| moved[i] += h * d);
                    at[index] = Tensor::from_vec(moved, leaf.shape())?;
                    loss(&at)
                };
                let numeric = (sample(self.step)? - sample(-self.step)?) / (2.0 * self.step);
                let analytic: f64 = direction.iter().map(|&(i, d)| grad[i] * d).sum();
                let bound = self.absolute + self.relative * numeric.abs().max(analytic.abs());
                let ratio = (analytic - numeric).abs() / bound;
                // Nothing is worse than a gradient that is not a number.
                let excess = if ratio.is_nan() { f64::INFINITY } else { ratio };
                if excess > worst.as_ref().map_or(1.0, |w| w.excess) {
                    let report = format!(
                        "gradcheck: input {index} of shape {:?}, {name}: \
                         backward gives {analytic:e}, differences give {numeric:e}",
                        leaf.shape()
                    );
                    worst = Some(Worst { excess, report });
                }
            }
        }
        match worst {
            None => Ok(()),
            Some(worst) => Err(Error::Autograd(worst.report)),
        }
    }

    /// Names and sparse directions in which an input is moved.
    fn probes(&self, x: &Tensor, index: usize) -> Vec<(String, Vec<(usize, f64)>)> {
        match self.directions {
            None => (0..x.numel())
                .map(|i| {
                    (
                        format!("element {:?}", position(i, x.shape())),
                        vec![(i, 1.0)],
                    )
                })
                .collect(),
            Some(count) => (0..count)
                .map(|k| {
                    let mut rng = Philox::new(k as u64).stream(index as u64);
                    let direction = (0..x.numel()).map(|i| (i, rng.normal())).collect();
                    (format!("random direction {k}"), direction)
                })
                .collect(),
        }
    }
}

fn any_tracks(tensors: &[Tensor]) -> bool {
    tensors.iter().any(Tensor::tracks_grad)
}

/// What the outputs are contracted with: fixed, and none of them small.
fn weights(output: &Tensor) -> Result<Tensor> {
    let mut rng = Philox::new(0);
    let draw = |_| {
        let w = 0.5 + rng.uniform_f64();
        if rng.next_u32().is_multiple_of(2) {
            w
        } else {
            -w
        }
    };
    Tensor::from_vec(
        (0..output.numel()).map(draw).collect::<Vec<f64>>(),
        output.shape(),
    )
}

/// The coordinates of the `i`-th element in row-major order.
fn position(mut i: usize, shape: &[usize]) -> Vec<usize> {
    let mut at: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&dim| {
            let coordinate = i % dim;
            i /= dim;
            coordinate
        })
        .collect();
    at.reverse();
    at
}
