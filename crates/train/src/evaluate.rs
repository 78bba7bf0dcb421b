//! How well a model does on data that it does not learn from.

use striate_layers::module::{Part, walk};
use striate_layers::{Layer, Module, set_training};
use striate_tensor::{DType, Tensor, no_grad};

use crate::error::{Error, Result};
use crate::loader::{Batch, Loader};
use crate::loss::cross_entropy;
use crate::metrics::{ConfusionMatrix, Mean, top_k};

/// The result of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The mean cross-entropy, without smoothing.
    pub loss: f64,
    /// The share of samples whose class has the highest score.
    pub accuracy: f64,
    /// The share of samples whose class is among the five highest scores.
    pub top5: f64,
    /// Which class was taken for which.
    pub confusion: ConfusionMatrix,
}

/// Tests a model on every sample of a loader, with all its layers in evaluation mode; their modes are put back afterwards.
///
/// `None` if `stop` said so between two batches.
///
/// # Errors
/// When a sample cannot be read, or the model fails or does not give a score for each class.
pub fn evaluate(
    model: &dyn Module,
    loader: &Loader,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Evaluation>> {
    let modes = Modes::of(model);
    set_training(model, false);
    let result = no_grad(|| test(model, loader, stop));
    modes.restore(model);
    result
}

fn test(
    model: &dyn Module,
    loader: &Loader,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Evaluation>> {
    let classes = loader.data().classes();
    let mut confusion = ConfusionMatrix::new(classes);
    let mut loss = Mean::default();
    let mut top5 = 0;
    for batch in loader.epoch(0, 0)? {
        if stop() {
            return Ok(None);
        }
        let batch = batch?;
        let scores = scores(model, &batch, classes.len())?;
        let labels = batch.labels.to_vec::<i64>()?;
        let own = f64::from(cross_entropy(&scores, &batch.labels, 0.0)?.item::<f32>()?);
        loss.add(own, labels.len() as u64);
        let scores = scores.to_vec::<f32>()?;
        top5 += top_k(&scores, classes.len(), &labels, 5)?;
        confusion.add(&scores, &labels)?;
    }
    let total = confusion.total().max(1) as f64;
    let accuracy = confusion.accuracy();
    Ok(Some(Evaluation {
        loss: loss.value(),
        accuracy,
        top5: top5 as f64 / total,
        confusion,
    }))
}

/// An error unless the model takes the loader's images and gives a score for each class.
pub(crate) fn check_fit(model: &dyn Module, loader: &Loader) -> Result<()> {
    let [c, h, w] = loader.input();
    let batch = Batch {
        images: Tensor::zeros([1, c, h, w], DType::F32)?,
        labels: Tensor::zeros([1], DType::I64)?,
    };
    let modes = Modes::of(model);
    set_training(model, false);
    let result = no_grad(|| scores(model, &batch, loader.data().classes().len()));
    modes.restore(model);
    result.map(|_| ())
}

/// What the model says of a batch, `[N, classes]`.
pub(crate) fn scores(model: &dyn Module, batch: &Batch, classes: usize) -> Result<Tensor> {
    let scores = model.forward(&batch.images)?;
    let expected = [batch.labels.numel(), classes];
    if scores.shape() != expected {
        return Err(Error::Mismatch(format!(
            "the model gives {:?} for images {:?}; {classes} classes need {expected:?}",
            scores.shape(),
            batch.images.shape()
        )));
    }
    Ok(scores)
}

/// The training switches of all layers, in the order in which they are visited.
struct Modes(Vec<bool>);

impl Modes {
    fn of(layer: &dyn Layer) -> Self {
        let mut modes = Vec::new();
        walk(layer, &mut |_, part| {
            if let Part::Mode(mode) = part {
                modes.push(mode.training());
            }
        });
        Self(modes)
    }

    fn restore(&self, layer: &dyn Layer) {
        let mut modes = self.0.iter();
        walk(layer, &mut |_, part| {
            if let Part::Mode(mode) = part
                && let Some(&training) = modes.next()
            {
                mode.set(training);
            }
        });
    }
}
