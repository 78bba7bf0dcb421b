//! The loss of classification.

use striate_kernels::real::Real;
use striate_kernels::softmax::{self, AxisGeometry};
use striate_simd::Buffer;

use super::check_float;
use super::dense::axis_in_memory;
use crate::autograd::{Description, Function, apply, reject};
use crate::dtype::match_float;
use crate::layout::Layout;
use crate::{DType, Error, Result, Tensor, current_level};

const OP: &str = "cross_entropy";

/// What a [cross-entropy](Tensor::cross_entropy_with) smooths, leaves out and weighs.
#[derive(Clone, Debug, Default)]
pub struct CrossEntropyOptions {
    /// Share of a label that is spread over all classes, from 0 to 1.
    pub smoothing: f64,
    /// The label of places that do not count; it need not be a class.
    pub ignore_index: Option<i64>,
    /// A weight for each class, `[C]`; 1 for each without.
    pub weight: Option<Tensor>,
}

impl CrossEntropyOptions {
    /// Sets the share that is spread over all classes.
    #[must_use]
    pub fn smoothing(mut self, smoothing: f64) -> Self {
        self.smoothing = smoothing;
        self
    }

    /// Sets the label of places that do not count.
    #[must_use]
    pub fn ignore_index(mut self, label: i64) -> Self {
        self.ignore_index = Some(label);
        self
    }

    /// Sets the weights of the classes.
    #[must_use]
    pub fn weight(mut self, weight: Tensor) -> Self {
        self.weight = Some(weight);
        self
    }

    /// The smoothing, if it is one.
    pub(super) fn checked_smoothing(&self, op: &'static str) -> Result<f64> {
        let smoothing = self.smoothing;
        if (0.0..=1.0).contains(&smoothing) {
            return Ok(smoothing);
        }
        let rule = "but must be in 0 to 1";
        Err(Error::msg(format!(
            "{op}: smoothing is {smoothing}, {rule}"
        )))
    }

    /// A weight for each class.
    pub(super) fn weights(&self, classes: usize) -> Result<Vec<f64>> {
        let Some(weight) = &self.weight else {
            return Ok(vec![1.0; classes]);
        };
        check_float(OP, weight)?;
        reject(OP, &[weight])?;
        if weight.shape() != [classes] {
            let detail = format!(
                "{classes} classes need weights [{classes}], got {:?}",
                weight.shape()
            );
            return Err(Error::shape(OP, detail));
        }
        let weights = weight.to_dtype(DType::F64)?.to_vec::<f64>()?;
        if weights.iter().all(|w| w.is_finite() && *w >= 0.0) {
            return Ok(weights);
        }
        Err(Error::msg(format!(
            "{OP}: the weights are {weights:?}, but must be finite and not negative"
        )))
    }
}

impl Tensor {
    /// Mean over all labels of `-sum_c q_c ln(softmax(x)_c)`, where `q` is 1 at the label and 0 elsewhere,
    /// smoothed to `(1 - smoothing) q + smoothing / C`.
    ///
    /// # Shapes
    /// Logits `[N, C]` with labels `[N]`, or `[N, C, d1, ...]` with `[N, d1, ...]`; the loss has rank 0.
    /// Labels are I64 in `0..C`.
    ///
    /// # Errors
    /// Those of [`Self::cross_entropy_with`].
    pub fn cross_entropy(&self, target: &Self, smoothing: f64) -> Result<Self> {
        let options = CrossEntropyOptions::default().smoothing(smoothing);
        self.cross_entropy_with(target, &options)
    }

    /// The [cross-entropy](Self::cross_entropy) with weights `w` of the classes and labels that do not count:
    /// `sum -w_c q_c ln(softmax(x)_c)` over the classes and the labels that count, divided by the sum of the weights
    /// of these labels, as PyTorch defines it.
    ///
    /// # Shapes
    /// Logits `[N, C]` with labels `[N]`, or `[N, C, d1, ...]` with `[N, d1, ...]`; weights `[C]`; the loss has rank 0.
    /// Labels are I64 in `0..C`, or the label that is ignored.
    ///
    /// # Errors
    /// The shapes do not fit each other, no label counts, another label is outside `0..C`, the smoothing is
    /// outside [0, 1], a weight is negative or not finite, or the types are not float and I64.
    pub fn cross_entropy_with(&self, target: &Self, options: &CrossEntropyOptions) -> Result<Self> {
        check_float(OP, self)?;
        reject(OP, &[target])?;
        if target.dtype() != DType::I64 {
            return Err(Error::dtype(OP, target.dtype(), "i64 labels"));
        }
        let smoothing = options.checked_smoothing(OP)?;
        let fits = match (self.shape(), target.shape()) {
            ([n, _, rest @ ..], [m, target @ ..]) => n == m && rest == target,
            _ => false,
        };
        if !fits || target.numel() == 0 {
            let detail = format!(
                "logits [N, C, ...] need labels [N, ...], at least one: got {:?} and {:?}",
                self.shape(),
                target.shape()
            );
            return Err(Error::shape(OP, detail));
        }
        let classes = self.shape()[1];
        let weights = options.weights(classes)?;
        let class = |label: i64| {
            if Some(label) == options.ignore_index {
                return Ok(None);
            }
            let class = usize::try_from(label).ok().filter(|&l| l < classes);
            let wrong = || Error::index(OP, format!("label {label} for {classes} classes"));
            class.map(Some).ok_or_else(wrong)
        };
        let labels = target.to_vec::<i64>()?.into_iter().map(class);
        let labels: Vec<Option<usize>> = labels.collect::<Result<_>>()?;
        let total = labels.iter().flatten().map(|&label| weights[label]).sum();
        if total <= 0.0 {
            let detail = "no label counts: all are ignored or have a weight of 0";
            return Err(Error::msg(format!("{OP}: {detail}")));
        }
        let loss = CrossEntropy {
            labels,
            weights,
            total,
            smoothing,
        };
        apply(loss, [self])
    }
}

#[derive(Debug)]
struct CrossEntropy {
    /// Classes; none where the label does not count.
    labels: Vec<Option<usize>>,
    /// Of the classes.
    weights: Vec<f64>,
    /// Sum of the weights of all labels that count.
    total: f64,
    smoothing: f64,
}

struct Saved {
    /// The logarithm of the probabilities, in an order in which labels are those of the pixels.
    log_p: Tensor,
    axis: AxisGeometry,
}

impl Function<1> for CrossEntropy {
    type Saved = Saved;

    fn describe(&self) -> Description {
        Description::new(OP).with("smoothing", self.smoothing)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, Saved)> {
        let x = if x.is_channels_last() {
            x.clone()
        } else {
            x.contiguous()?
        };
        let (level, axis) = (current_level()?, axis_in_memory(&x, 1)?);
        match_float!(OP, x.dtype(), T => {
            let mut log_p = Buffer::<T>::recycled(x.numel())?;
            softmax::log_softmax(level, &axis, x.memory()?, &mut log_p)?;
            let loss = Tensor::scalar(T::from_f64(self.loss(&axis, &log_p)))?;
            let layout = Layout::dense_like(OP, x.shape(), x.layout())?;
            let log_p = Tensor::from_parts(log_p, layout);
            Ok((loss, Saved { log_p, axis }))
        })
    }

    /// `dx_c = (softmax(x)_c * sum_k w_k q_k - w_c q_c) * dy / total`, and 0 where the label does not count.
    fn backward(
        &self,
        Saved { log_p, axis }: &Saved,
        grad: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let mut dx = log_p.exp()?;
        match_float!(OP, dx.dtype(), T => {
            let scale = grad.item::<T>()?.to_f64() / self.total;
            let Some(dx) = dx.sole_memory_mut::<T>() else {
                return Err(Error::msg("cross_entropy: a fresh tensor is shared"));
            };
            self.gradient(axis, scale, dx);
        });
        Ok([Some(dx)])
    }
}

impl CrossEntropy {
    fn loss<T: Real>(&self, axis: &AxisGeometry, log_p: &[T]) -> f64 {
        let (mut hits, mut all) = (0.0, 0.0);
        for (i, label) in self.labels.iter().enumerate() {
            let Some(label) = *label else { continue };
            let term = |c: usize| self.weights[c] * log_p[place(axis, i, c)].to_f64();
            hits += term(label);
            // Not multiplied by a smoothing of 0: the logarithm may be minus infinity.
            if self.smoothing > 0.0 {
                all += (0..axis.len()).map(term).sum::<f64>();
            }
        }
        -((1.0 - self.smoothing) * hits + self.smoothing * all / axis.len() as f64) / self.total
    }

    /// From the probabilities in `dx`; `scale` is `dy / total`.
    fn gradient<T: Real>(&self, axis: &AxisGeometry, scale: f64, dx: &mut [T]) {
        let spread = scale * self.smoothing / axis.len() as f64;
        let shifts: Vec<T> = self
            .weights
            .iter()
            .map(|w| T::from_f64(spread * w))
            .collect();
        let everywhere = spread * self.weights.iter().sum::<f64>();
        for (i, label) in self.labels.iter().enumerate() {
            let Some(label) = *label else {
                (0..axis.len()).for_each(|c| dx[place(axis, i, c)] = T::from_f64(0.0));
                continue;
            };
            let hit = scale * (1.0 - self.smoothing) * self.weights[label];
            let factor = T::from_f64(hit + everywhere);
            for (c, &shift) in shifts.iter().enumerate() {
                let p = &mut dx[place(axis, i, c)];
                *p = *p * factor - shift;
            }
            dx[place(axis, i, label)] -= T::from_f64(hit);
        }
    }
}

/// Where class `class` of label `i` lies.
fn place(axis: &AxisGeometry, i: usize, class: usize) -> usize {
    let (outer, inner) = (i / axis.inner(), i % axis.inner());
    (outer * axis.len() + class) * axis.inner() + inner
}
