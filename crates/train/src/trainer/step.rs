//! One step of the loop.

use striate_tensor::{CrossEntropyOptions, Gradients, Philox, Tensor, set_rng_state};

use super::Trainer;
use crate::clip::clip_norm;
use crate::error::{Error, Result};
use crate::evaluate::scores;
use crate::loader::{Batch, Batches};
use crate::loss::{cross_entropy, cross_entropy_soft};
use crate::metrics::{Mean, top_k};
use crate::mix::{Mixed, cutmix, mixup};
use crate::random::{mix_stream, step_stream};

/// What a step has seen so far.
#[derive(Default)]
struct Seen {
    /// The sum over its batches, each scaled to its share of the samples.
    gradients: Gradients,
    loss: Mean,
    correct: u64,
}

/// A way to mix a batch.
type Mix = fn(&Batch, usize, f64, &mut Philox) -> Result<Mixed>;

impl Trainer<'_> {
    /// The number of the first batch that the current epoch has not been trained on.
    pub(super) fn first_batch(&self) -> usize {
        // As many batches as fit in memory: the number fits too.
        (self.position.batch as usize).saturating_mul(self.config.train.accumulate)
    }

    /// One step on the batches that come next; its loss and learning rate.
    pub(super) fn train_step(&mut self, batches: &mut Batches) -> Result<(f64, f64)> {
        let config = &self.config.train;
        let step = self.step();
        let learning_rate = config.schedule.rate(step, self.length());
        set_rng_state(step_stream(config.seed, step).state());
        let first = self.first_batch();
        let count = config.accumulate.min(batches.len());
        let samples = self.train.samples_of(first..first + count);
        let mut seen = Seen::default();
        for (number, batch) in (first..).zip(batches.take(count)) {
            let batch = batch.inspect_err(|_| {
                // What was learnt so far is kept; the first error is the one to report.
                let _ = self.save(&self.run.last_path());
            })?;
            let mixed = self.mixed(batch, number)?;
            seen = self.train_batch(&mixed, samples, seen)?;
        }
        let mut gradients = seen.gradients;
        if let Some(limit) = config.clip_norm {
            clip_norm(&mut gradients, self.optimizer.parameters(), limit)?;
        }
        self.optimizer.step(&gradients, learning_rate)?;
        if let Some(ema) = &mut self.ema {
            ema.update(self.model)?;
        }
        self.position.loss.add(seen.loss.value(), seen.loss.count());
        self.position.correct += seen.correct;
        self.position.batch += 1;
        Ok((seen.loss.value(), learning_rate))
    }

    /// A batch of the current epoch, mixed if the settings say so.
    fn mixed(&self, batch: Batch, number: usize) -> Result<Mixed> {
        let config = &self.config.train;
        let mut rng = mix_stream(config.seed, self.position.epoch, number as u64);
        let mix = match (config.mixup, config.cutmix) {
            (None, None) => return Ok(Mixed::unmixed(batch)),
            (Some(alpha), None) => (mixup as Mix, alpha),
            (None, Some(alpha)) => (cutmix as Mix, alpha),
            (Some(_), Some(alpha)) if rng.below(2) == 1 => (cutmix as Mix, alpha),
            (Some(alpha), Some(_)) => (mixup as Mix, alpha),
        };
        mix.0(&batch, self.config.classes.len(), mix.1, &mut rng)
    }

    /// Adds a batch to a step on so many `samples` together.
    fn train_batch(&self, mixed: &Mixed, samples: usize, seen: Seen) -> Result<Seen> {
        let batch = &mixed.batch;
        let classes = self.config.classes.len();
        let scores = scores(self.model, batch, classes)?;
        let smoothing = self.config.train.label_smoothing;
        let loss = match &mixed.shares {
            None => cross_entropy(&scores, &batch.labels, smoothing)?,
            Some(shares) => {
                let options = CrossEntropyOptions::default().smoothing(smoothing);
                cross_entropy_soft(&scores, shares, &options)?
            }
        };
        let value = f64::from(loss.item::<f32>()?);
        if !value.is_finite() {
            return Err(Error::Diverged {
                step: self.step() + 1,
                loss: value,
            });
        }
        let labels = batch.labels.to_vec::<i64>()?;
        let share = Tensor::scalar((labels.len() as f64 / samples as f64) as f32)?;
        let Seen {
            gradients,
            loss: mut mean,
            correct,
        } = seen;
        let gradients = loss.backward_onto(&share, gradients)?;
        mean.add(value, labels.len() as u64);
        let hits = top_k(&scores.to_vec::<f32>()?, classes, &labels, 1)?;
        Ok(Seen {
            gradients,
            loss: mean,
            correct: correct + hits,
        })
    }
}
