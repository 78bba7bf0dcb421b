//! Mirrors.

use striate_tensor::Philox;

use super::{Transform, check};
use crate::data::Image;
use crate::error::Result;

/// What a mirror exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Left and right.
    Horizontal,
    /// Top and bottom.
    Vertical,
}

/// Mirrors the picture with a given probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flip {
    /// What is exchanged.
    pub axis: Axis,
    /// 0 to 1.
    pub probability: f64,
}

impl Transform for Flip {
    fn output(&self, channels: usize, size: [usize; 2]) -> Result<(usize, [usize; 2])> {
        let p = self.probability;
        check("flip probability", &[p], "0 to 1", (0.0..=1.0).contains(&p))?;
        Ok((channels, size))
    }

    fn apply(&self, mut image: Image, rng: &mut Philox) -> Result<Image> {
        self.output(image.channels(), image.size())?;
        if rng.uniform_f64() >= self.probability {
            return Ok(image);
        }
        let [h, w] = image.size();
        for plane in image.planes_mut() {
            match self.axis {
                Axis::Horizontal => plane.chunks_exact_mut(w).for_each(<[f32]>::reverse),
                Axis::Vertical => {
                    for y in 0..h / 2 {
                        let (upper, lower) = plane.split_at_mut((h - 1 - y) * w);
                        upper[y * w..(y + 1) * w].swap_with_slice(&mut lower[..w]);
                    }
                }
            }
        }
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::super::counting;
    use super::*;

    fn flipped(axis: Axis, probability: f64) -> Vec<f32> {
        let flip = Flip { axis, probability };
        flip.apply(counting([3, 2]), &mut Philox::new(0))
            .unwrap()
            .values()
            .to_vec()
    }

    #[test]
    fn both_axes() {
        assert_eq!(flipped(Axis::Horizontal, 1.0), [2., 1., 4., 3., 6., 5.]);
        assert_eq!(flipped(Axis::Vertical, 1.0), [5., 6., 3., 4., 1., 2.]);
        assert_eq!(flipped(Axis::Vertical, 0.0), [1., 2., 3., 4., 5., 6.]);
    }

    #[test]
    fn half_of_the_pictures_are_flipped() {
        let flip = Flip {
            axis: Axis::Horizontal,
            probability: 0.5,
        };
        let mut rng = Philox::new(1);
        let changed =
            |rng: &mut Philox| flip.apply(counting([1, 2]), rng).unwrap().values()[0] == 2.0;
        let count = (0..1000).filter(|_| changed(&mut rng)).count();
        assert!((440..560).contains(&count), "{count}");
        let wrong = Flip {
            axis: Axis::Horizontal,
            probability: 1.5,
        };
        assert!(wrong.apply(counting([1, 2]), &mut rng).is_err());
    }
}
