//! The settings of a run, as `config.json` holds them.

use serde::{Deserialize, Serialize};

use crate::ema;
use crate::error::{Error, Result};
use crate::mix;
use crate::optim::OptimizerConfig;
use crate::random::MAX_EPOCHS;
use crate::schedule::Schedule;

/// How to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// How often every sample is seen.
    pub epochs: u64,
    /// Samples a batch.
    pub batch_size: usize,
    /// Decides the order of the samples, their changes, and what the model draws.
    pub seed: u64,
    /// The rule that changes the parameters.
    pub optimizer: OptimizerConfig,
    /// The learning rate at each step.
    pub schedule: Schedule,
    /// The share of each label that is spread over all classes.
    pub label_smoothing: f64,
    /// Gradients with a larger norm (over all parameters together) are scaled down to it.
    pub clip_norm: Option<f64>,
    /// Write a checkpoint after so many steps too, not only after each epoch.
    pub checkpoint_every: Option<u64>,
    /// Batches a step: their gradients are those of one batch with all their samples, batch norm aside. What is left at the
    /// end of an epoch makes a smaller step.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Whether the model's [checkpointed](striate_layers::Checkpointed) parts compute their activations again, to save memory.
    #[serde(default)]
    pub checkpoint_activations: bool,
    /// The decay of an [average](crate::Ema) of the weights over the steps, which is then what is tested and left as the result.
    #[serde(default)]
    pub ema: Option<f64>,
    /// What keeps its weights and is in evaluation mode: [patterns](striate_layers::freeze) of paths.
    #[serde(default)]
    pub freeze: Vec<String>,
    /// How strongly [`mixup`](crate::mixup) mixes the samples of a batch.
    #[serde(default)]
    pub mixup: Option<f64>,
    /// How strongly [`cutmix`](crate::cutmix) does; with both, each batch gets one of them by chance.
    #[serde(default)]
    pub cutmix: Option<f64>,
}

/// What runs did before there was a choice.
fn one() -> usize {
    1
}

impl TrainConfig {
    /// SGD with momentum on a cosine schedule: 30 epochs of batches of 64.
    pub fn new(learning_rate: f64) -> Self {
        Self {
            epochs: 30,
            batch_size: 64,
            seed: 0,
            optimizer: OptimizerConfig::Sgd(crate::optim::SgdConfig::default()),
            schedule: Schedule::cosine(learning_rate),
            label_smoothing: 0.0,
            clip_norm: None,
            checkpoint_every: None,
            accumulate: 1,
            checkpoint_activations: false,
            ema: None,
            freeze: Vec::new(),
            mixup: None,
            cutmix: None,
        }
    }

    /// Whether every setting has a meaning.
    ///
    /// # Errors
    /// Names the first that has none.
    pub fn check(&self) -> Result<()> {
        if !(1..MAX_EPOCHS).contains(&self.epochs) {
            let detail = format!("{}: at least 1 and below {MAX_EPOCHS}", self.epochs);
            return Err(Error::config("epochs", detail));
        }
        if self.batch_size == 0 {
            return Err(Error::config("batch size", "0: at least 1"));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            let detail = format!("{}: at least 0 and below 1", self.label_smoothing);
            return Err(Error::config("label smoothing", detail));
        }
        if let Some(norm) = self.clip_norm.filter(|n| !(*n > 0.0 && n.is_finite())) {
            return Err(Error::config("clip norm", format!("{norm}: above 0")));
        }
        if self.checkpoint_every == Some(0) {
            return Err(Error::config("checkpoint every", "0 steps: at least 1"));
        }
        if self.accumulate == 0 {
            return Err(Error::config("accumulate", "0 batches: at least 1"));
        }
        self.ema.map_or(Ok(()), ema::check)?;
        self.mixup.map_or(Ok(()), |a| mix::check("mixup", a))?;
        self.cutmix.map_or(Ok(()), |a| mix::check("cutmix", a))?;
        self.schedule.check()?;
        self.optimizer.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_survives_its_file() {
        let mut config = TrainConfig::new(0.1);
        config.clip_norm = Some(0.1 + 0.2);
        config.schedule = config.schedule.warm_up(5);
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), config);
        let newer = text.find(",\"accumulate\":").unwrap();
        let older = format!("{}}}", &text[..newer]);
        assert_eq!(serde_json::from_str::<TrainConfig>(&older).unwrap(), config);
        let other = text.replace("batch_size", "batchsize");
        assert!(serde_json::from_str::<TrainConfig>(&other).is_err());
    }

    #[test]
    fn each_impossible_setting_is_named() {
        let good = TrainConfig::new(0.1);
        good.check().unwrap();
        type Spoil = fn(&mut TrainConfig);
        let cases: [(Spoil, &str); 11] = [
            (|c| c.epochs = 0, "epochs: 0"),
            (|c| c.batch_size = 0, "batch size: 0"),
            (|c| c.label_smoothing = 1.0, "label smoothing: 1"),
            (|c| c.clip_norm = Some(0.0), "clip norm: 0"),
            (|c| c.clip_norm = Some(f64::NAN), "clip norm: NaN"),
            (|c| c.checkpoint_every = Some(0), "checkpoint every: 0"),
            (|c| c.accumulate = 0, "accumulate: 0"),
            (|c| c.ema = Some(1.0), "ema: 1: at least 0 and below 1"),
            (|c| c.mixup = Some(0.0), "mixup: 0: from 0.001 to 1000"),
            (|c| c.cutmix = Some(f64::NAN), "cutmix: NaN"),
            (|c| c.schedule.base = -1.0, "learning rate: -1"),
        ];
        for (spoil, expected) in cases {
            let mut config = good.clone();
            spoil(&mut config);
            let message = config.check().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
