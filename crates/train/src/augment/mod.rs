//! Random changes of pictures that do not change what they show.
//!
//! A [`Pipeline`] is a list of [`Transform`]s. All its random numbers come from the generator that it is given, and a
//! [loader](crate::loader) gives every sample of every epoch a stream of its own, so that neither the order of the samples nor the
//! number of threads changes a picture.

mod affine;
mod crop;
mod flip;
mod normalise;
mod shift;

use std::fmt::Debug;

use striate_tensor::Philox;

pub use affine::Affine;
pub use crop::{CentreCrop, RandomCrop};
pub use flip::{Axis, Flip};
pub use normalise::Normalise;
pub use shift::Shift;

use crate::data::Image;
use crate::error::{Error, Result};

/// A change of a picture. Its `Debug` text states all its settings: a resumed run compares it.
pub trait Transform: Send + Sync + Debug {
    /// The channels and the size of the result for a picture of the given ones.
    ///
    /// # Errors
    /// When such a picture cannot be changed so, or a setting has no meaning.
    fn output(&self, channels: usize, size: [usize; 2]) -> Result<(usize, [usize; 2])>;

    /// The changed picture.
    ///
    /// # Errors
    /// As [`Transform::output`].
    fn apply(&self, image: Image, rng: &mut Philox) -> Result<Image>;
}

/// Transforms one after the other.
#[derive(Debug, Default)]
pub struct Pipeline {
    steps: Vec<Box<dyn Transform>>,
}

impl Pipeline {
    /// Changes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Does all of this, then `step`.
    #[must_use]
    pub fn then(mut self, step: impl Transform + 'static) -> Self {
        self.steps.push(Box::new(step));
        self
    }
}

impl Transform for Pipeline {
    fn output(&self, channels: usize, size: [usize; 2]) -> Result<(usize, [usize; 2])> {
        self.steps
            .iter()
            .try_fold((channels, size), |(c, s), step| step.output(c, s))
    }

    fn apply(&self, image: Image, rng: &mut Philox) -> Result<Image> {
        self.steps
            .iter()
            .try_fold(image, |image, step| step.apply(image, rng))
    }
}

/// Uniform in `[low, high)`.
fn between(rng: &mut Philox, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.uniform_f64()
}

/// Uniform among the whole numbers `-limit..=limit`.
fn up_to(rng: &mut Philox, limit: usize) -> isize {
    // Limits are sides of pictures, which fit an allocation: neither cast can wrap.
    rng.below(2 * limit as u64 + 1) as isize - limit as isize
}

/// An error unless every number is finite and the rule holds.
fn check(field: &'static str, values: &[f64], rule: &str, holds: bool) -> Result<()> {
    if holds && values.iter().all(|v| v.is_finite()) {
        return Ok(());
    }
    Err(Error::config(field, format!("{values:?}: {rule}")))
}

#[cfg(test)]
fn counting(size: [usize; 2]) -> Image {
    let values = (1..=size[0] * size[1]).map(|i| i as f32).collect();
    Image::new(1, size, values).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_applies_its_steps_in_order() {
        let pipeline = Pipeline::new()
            .then(Shift { limit: [1, 1] })
            .then(CentreCrop { size: [2, 2] })
            .then(Normalise::new(vec![1.0], vec![2.0]).unwrap());
        assert_eq!(pipeline.output(1, [4, 4]).unwrap(), (1, [2, 2]));
        assert!(pipeline.output(1, [1, 4]).is_err());
        let image = pipeline
            .apply(counting([4, 4]), &mut Philox::new(1))
            .unwrap();
        assert_eq!(image.size(), [2, 2]);
    }

    #[test]
    fn the_same_generator_gives_the_same_picture() {
        let pipeline = Pipeline::new()
            .then(
                Affine::canvas([9, 7])
                    .scale(0.5, 2.0)
                    .rotation(30.0)
                    .shift(0.2)
                    .shear(10.0),
            )
            .then(Flip {
                axis: Axis::Horizontal,
                probability: 0.5,
            })
            .then(RandomCrop {
                size: [8, 8],
                padding: 2,
            });
        let one = |seed| {
            pipeline
                .apply(counting([5, 6]), &mut Philox::new(seed))
                .unwrap()
        };
        assert_eq!(one(3), one(3));
        assert_ne!(one(3), one(4));
    }

    #[test]
    fn whole_numbers_reach_both_limits() {
        let mut rng = Philox::new(0);
        let mut seen: Vec<isize> = (0..200).map(|_| up_to(&mut rng, 2)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [-2, -1, 0, 1, 2]);
        assert_eq!(up_to(&mut rng, 0), 0);
    }
}
