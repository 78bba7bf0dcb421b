//! What an attention over experts divides its logits by: high at first, so that all experts learn, and 1 in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use striate_tensor::Result;

use crate::util::invalid;

/// A temperature, shared by its clones: give one to every layer of a network and lower it while training.
///
/// It is a state of training and not in the state dict: a network whose training has ended runs at 1, which is where
/// every layer starts that is given none.
#[derive(Clone, Debug)]
pub struct Temperature(Arc<AtomicU64>);

impl Default for Temperature {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(1f64.to_bits())))
    }
}

impl Temperature {
    /// A temperature that starts at `value`.
    ///
    /// # Errors
    /// It is not a positive finite number.
    pub fn new(value: f64) -> Result<Self> {
        let temperature = Self::default();
        temperature.set(value)?;
        Ok(temperature)
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Sets it, for all that share it.
    ///
    /// # Errors
    /// The value is not a positive finite number.
    pub fn set(&self, value: f64) -> Result<()> {
        if !(value > 0.0 && value.is_finite()) {
            let rule = "it must be a positive finite number";
            return Err(invalid("Temperature", "value", value, rule));
        }
        self.0.store(value.to_bits(), Ordering::Relaxed);
        Ok(())
    }
}

/// How a temperature falls: in a line from `start` to `end` over some epochs, then it stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TemperatureSchedule {
    /// Where it starts.
    pub start: f64,
    /// Where it ends.
    pub end: f64,
    /// After how many epochs.
    pub epochs: f64,
}

impl Default for TemperatureSchedule {
    /// From 30 to 1 in 10 epochs.
    fn default() -> Self {
        Self {
            start: 30.0,
            end: 1.0,
            epochs: 10.0,
        }
    }
}

impl TemperatureSchedule {
    /// The first released code for dynamic convolution: from 34 down by 3 an epoch, to 1.
    #[must_use]
    pub fn by_threes() -> Self {
        Self {
            start: 34.0,
            end: 1.0,
            epochs: 11.0,
        }
    }

    /// The temperature after `epoch` epochs; a fraction for a step within one.
    #[must_use]
    pub fn at(&self, epoch: f64) -> f64 {
        let left = if self.epochs > 0.0 {
            (1.0 - epoch / self.epochs).clamp(0.0, 1.0)
        } else {
            0.0
        };
        self.end + (self.start - self.end) * left
    }
}
