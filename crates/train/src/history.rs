//! What a run has learnt so far, epoch by epoch: the lines of `metrics.jsonl`.

use serde::{Deserialize, Serialize};

/// The numbers of one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: u64,
    /// Steps done since the start of the run.
    pub step: u64,
    /// The rate of the last step.
    pub learning_rate: f64,
    /// The mean loss of the epoch's samples, as they were trained on.
    pub train_loss: f64,
    /// The share of the epoch's samples that were classified rightly when they were trained on.
    pub train_accuracy: f64,
    /// The mean loss of the held-out samples after the epoch.
    pub test_loss: f64,
    /// The share of the held-out samples that are classified rightly after the epoch.
    pub test_accuracy: f64,
    /// The share whose class is among the five highest scores.
    pub test_top5: f64,
    /// How long the epoch took, without the test.
    pub seconds: f64,
    /// Samples trained on in a second.
    pub images_per_second: f64,
}

impl EpochRecord {
    /// Whether it classified more held-out samples rightly, or as many with a lower loss.
    pub fn is_better_than(&self, other: &Self) -> bool {
        let rank = |r: &Self| (r.test_accuracy, -r.test_loss);
        rank(self) > rank(other)
    }

    /// Whether everything but the times is equal, bit for bit.
    pub fn same_numbers(&self, other: &Self) -> bool {
        let numbers = |r: &Self| {
            let values = [
                r.learning_rate,
                r.train_loss,
                r.train_accuracy,
                r.test_loss,
                r.test_accuracy,
                r.test_top5,
            ];
            (r.epoch, r.step, values.map(f64::to_bits))
        };
        numbers(self) == numbers(other)
    }
}
