//! The learning rate at each step.
//!
//! A [`Schedule`] is a pure function of the step, so that a resumed run continues with the same rates. Its times are in epochs, the
//! rate changes from step to step.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the learning rate goes down from its base value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Decay {
    /// Always the base rate.
    Constant,
    /// `floor + (1 - floor) * (1 + cos(pi * t)) / 2` of the base rate, `t` from 0 to 1 over the run. Loshchilov and Hutter,
    /// *SGDR*, ICLR 2017, without restarts.
    Cosine {
        /// The share of the base rate that is left at the end.
        floor: f64,
    },
    /// Multiplied by `factor` at the start of each of the given epochs.
    Step {
        /// After how many epochs of the run it drops, in rising order.
        at: Vec<u64>,
        /// By what.
        factor: f64,
    },
}

/// A linear warm-up followed by a [`Decay`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The rate after the warm-up.
    pub base: f64,
    /// The rate grows linearly over this many epochs: `base * (step + 1) / (n + 1)` in the first `n` steps.
    pub warm_up: u64,
    /// What happens afterwards.
    pub decay: Decay,
}

impl Schedule {
    /// The same rate at every step.
    pub fn constant(base: f64) -> Self {
        Self {
            base,
            warm_up: 0,
            decay: Decay::Constant,
        }
    }

    /// From the base rate down to 0 over the run.
    pub fn cosine(base: f64) -> Self {
        Self {
            base,
            warm_up: 0,
            decay: Decay::Cosine { floor: 0.0 },
        }
    }

    /// The same with a linear warm-up of so many epochs before it.
    #[must_use]
    pub fn warm_up(mut self, epochs: u64) -> Self {
        self.warm_up = epochs;
        self
    }

    /// Whether every number has a meaning.
    ///
    /// # Errors
    /// When the base rate is negative, a factor is not in 0 to 1, or the drops are not in rising order.
    pub fn check(&self) -> Result<()> {
        if !(self.base >= 0.0 && self.base.is_finite()) {
            return Err(Error::config(
                "learning rate",
                format!("{}: at least 0", self.base),
            ));
        }
        match &self.decay {
            Decay::Constant => Ok(()),
            Decay::Cosine { floor } => share("floor", *floor),
            Decay::Step { at, factor } if at.is_sorted() => share("factor", *factor),
            Decay::Step { at, .. } => Err(Error::config(
                "steps",
                format!("{at:?} are not in rising order"),
            )),
        }
    }

    /// The rate at a step (from 0) of a run of the given length.
    pub fn rate(&self, step: u64, length: Length) -> f64 {
        let warm_up = self.warm_up.saturating_mul(length.steps_per_epoch);
        if step < warm_up {
            return self.base * (step + 1) as f64 / (warm_up + 1) as f64;
        }
        let share = match &self.decay {
            Decay::Constant => 1.0,
            Decay::Cosine { floor } => {
                let left = length.steps().saturating_sub(warm_up).max(1);
                let t = ((step - warm_up) as f64 / left as f64).min(1.0);
                floor + (1.0 - floor) * half_cosine(t)
            }
            Decay::Step { at, factor } => {
                let epoch = step / length.steps_per_epoch.max(1);
                at.iter()
                    .filter(|&&e| e <= epoch)
                    .fold(1.0, |share, _| share * factor)
            }
        };
        self.base * share
    }
}

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// How many epochs there are.
    pub epochs: u64,
    /// How many steps an epoch has.
    pub steps_per_epoch: u64,
}

impl Length {
    /// How many steps there are.
    pub fn steps(self) -> u64 {
        self.epochs.saturating_mul(self.steps_per_epoch)
    }
}

fn share(field: &'static str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::config(field, format!("{value}: 0 to 1")))
}

/// `(1 + cos(pi t)) / 2` for t in 0 to 1, in operations that round alike on every platform.
fn half_cosine(t: f64) -> f64 {
    // cos is odd about t = 1/2, where its argument is small enough for the series.
    let a = (0.5 - t) * std::f64::consts::PI;
    let series = (0..14).rev().fold(1.0, |rest, k| {
        1.0 - a * a / f64::from((2 * k + 2) * (2 * k + 3)) * rest
    });
    (0.5 + 0.5 * a * series).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(epochs: u64, steps_per_epoch: u64) -> Length {
        Length {
            epochs,
            steps_per_epoch,
        }
    }

    fn rates(schedule: &Schedule, length: Length) -> Vec<f64> {
        (0..length.steps())
            .map(|s| schedule.rate(s, length))
            .collect()
    }

    #[test]
    fn warm_up_rises_to_the_base() {
        let schedule = Schedule::constant(1.0).warm_up(1);
        assert_eq!(
            rates(&schedule, length(2, 3)),
            [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
        );
    }

    #[test]
    fn cosine_starts_at_the_base_and_ends_near_its_floor() {
        let schedule = Schedule {
            decay: Decay::Cosine { floor: 0.1 },
            ..Schedule::cosine(2.0)
        };
        let schedule = schedule.warm_up(1);
        let length = length(51, 2);
        for (s, rate) in rates(&schedule, length).into_iter().enumerate().skip(2) {
            let t = (s as f64 - 2.0) / 100.0;
            let expected = 0.2 + 1.8 * 0.5 * (1.0 + (std::f64::consts::PI * t).cos());
            assert!((rate - expected).abs() < 1e-15, "{s}: {rate} {expected}");
        }
        assert_eq!(schedule.rate(2, length), 2.0);
        assert!((schedule.rate(1000, length) - 0.2).abs() < 1e-15);
        assert_eq!(Schedule::cosine(1.0).rate(0, self::length(0, 0)), 1.0);
    }

    #[test]
    fn steps_drop_where_told() {
        let decay = Decay::Step {
            at: vec![2, 3],
            factor: 0.5,
        };
        let schedule = Schedule {
            base: 8.0,
            warm_up: 1,
            decay,
        };
        assert_eq!(rates(&schedule, length(4, 1)), [4.0, 8.0, 4.0, 2.0]);
        let late = Schedule {
            warm_up: 3,
            ..schedule
        };
        assert_eq!(rates(&late, length(4, 1)), [2.0, 4.0, 6.0, 2.0]);
    }

    #[test]
    fn half_cosine_equals_the_library_one() {
        for i in 0..=1000 {
            let t = f64::from(i) / 1000.0;
            let expected = 0.5 + 0.5 * (std::f64::consts::PI * t).cos();
            // The library's argument is itself rounded, by up to 2.2e-16.
            assert!((half_cosine(t) - expected).abs() < 4e-16, "{t}");
        }
        assert_eq!((half_cosine(0.0), half_cosine(0.5)), (1.0, 0.5));
    }

    #[test]
    fn impossible_numbers_are_errors() {
        assert!(Schedule::constant(-1.0).check().is_err());
        assert!(Schedule::constant(f64::NAN).check().is_err());
        assert!(
            Schedule {
                decay: Decay::Cosine { floor: 2.0 },
                ..Schedule::cosine(1.0)
            }
            .check()
            .is_err()
        );
        let decay = Decay::Step {
            at: vec![3, 1],
            factor: 0.5,
        };
        assert!(
            Schedule {
                decay,
                ..Schedule::constant(1.0)
            }
            .check()
            .is_err()
        );
        assert!(Schedule::cosine(0.1).warm_up(10).check().is_ok());
    }
}
