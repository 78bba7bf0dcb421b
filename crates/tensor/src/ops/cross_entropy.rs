//! The loss of classification.

use striate_kernels::softmax::{self, AxisGeometry};
use striate_simd::Buffer;

use super::check_float;
use super::dense::axis_in_memory;
use crate::autograd::{Description, Function, apply, reject};
use crate::dtype::match_float;
use crate::layout::Layout;
use crate::{DType, Element, Error, Result, Tensor, current_level};

const OP: &str = "cross_entropy";

impl Tensor {
    /// Mean over all labels of `-sum_c q_c ln(softmax(x)_c)`, where `q` is 1 at the label and 0 elsewhere,
    /// smoothed to `(1 - smoothing) q + smoothing / C`.
    ///
    /// # Shapes
    /// Logits `[N, C]` with labels `[N]`, or `[N, C, d1, ...]` with `[N, d1, ...]`; the loss has rank 0.
    /// Labels are I64 in `0..C`.
    ///
    /// # Errors
    /// The shapes do not fit each other, there are no labels, a label is outside `0..C`, `smoothing` is
    /// outside [0, 1], or the types are not float and I64.
    pub fn cross_entropy(&self, target: &Self, smoothing: f64) -> Result<Self> {
        check_float(OP, self)?;
        reject(OP, &[target])?;
        if target.dtype() != DType::I64 {
            return Err(Error::dtype(OP, target.dtype(), "i64 labels"));
        }
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::msg(format!(
                "{OP}: smoothing is {smoothing}, but must be in 0 to 1"
            )));
        }
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
        let labels = target
            .to_vec::<i64>()?
            .into_iter()
            .map(|label| {
                usize::try_from(label)
                    .ok()
                    .filter(|&l| l < classes)
                    .ok_or_else(|| Error::index(OP, format!("label {label} for {classes} classes")))
            })
            .collect::<Result<_>>()?;
        apply(CrossEntropy { labels, smoothing }, [self])
    }
}

#[derive(Debug)]
struct CrossEntropy {
    labels: Vec<usize>,
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

    /// `dx = (softmax(x) - q) * dy / labels`
    fn backward(
        &self,
        Saved { log_p, axis }: &Saved,
        grad: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let mut dx = log_p.exp()?;
        match_float!(OP, dx.dtype(), T => {
            let scale = grad.item::<T>()?.to_f64() / self.labels.len() as f64;
            let smooth = self.smoothing / axis.len() as f64;
            let Some(dx) = dx.sole_memory_mut::<T>() else {
                return Err(Error::msg("cross_entropy: a fresh tensor is shared"));
            };
            let (factor, shift) = (T::from_f64(scale), T::from_f64(-smooth * scale));
            dx.iter_mut().for_each(|p| *p = *p * factor + shift);
            let hit = T::from_f64((1.0 - self.smoothing) * scale);
            self.labels.iter().enumerate().for_each(|(i, &label)| dx[place(axis, i, label)] -= hit);
        });
        Ok([Some(dx)])
    }
}

impl CrossEntropy {
    fn loss<T: Element>(&self, axis: &AxisGeometry, log_p: &[T]) -> f64 {
        let count = self.labels.len() as f64;
        let at_labels = self.labels.iter().enumerate();
        let hits: f64 = at_labels
            .map(|(i, &label)| log_p[place(axis, i, label)].to_f64())
            .sum();
        let mut loss = -(1.0 - self.smoothing) * hits / count;
        // Not multiplied by a smoothing of 0: the logarithm may be minus infinity.
        if self.smoothing > 0.0 {
            let all: f64 = log_p.iter().map(|p| p.to_f64()).sum();
            loss -= self.smoothing * all / (count * axis.len() as f64);
        }
        loss
    }
}

/// Where class `class` of label `i` lies.
fn place(axis: &AxisGeometry, i: usize, class: usize) -> usize {
    let (outer, inner) = (i / axis.inner(), i % axis.inner());
    (outer * axis.len() + class) * axis.inner() + inner
}
