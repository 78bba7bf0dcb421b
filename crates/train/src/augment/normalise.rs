//! Shifts and scales each channel to mean 0 and standard deviation 1.

use striate_tensor::Philox;

use super::Transform;
use crate::data::{Dataset, Image};
use crate::error::{Error, Result};

/// `(x - mean[c]) / std[c]` for each channel `c`.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalise {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Normalise {
    /// With a mean and a standard deviation for each channel.
    ///
    /// # Errors
    /// When there are not as many of one as of the other, a number is not finite, or a deviation is not above 0.
    pub fn new(mean: Vec<f32>, std: Vec<f32>) -> Result<Self> {
        let usable = mean.iter().all(|m| m.is_finite())
            && std
                .iter()
                .all(|s| s.is_finite() && *s > 0.0 && s.recip().is_finite());
        if mean.len() != std.len() || !usable {
            let detail =
                format!("mean {mean:?}, std {std:?}: one of each a channel, finite, std above 0");
            return Err(Error::config("normalise", detail));
        }
        Ok(Self { mean, std })
    }

    /// With the mean and the deviation over all pixels of a data set (a channel without contrast keeps its scale).
    ///
    /// # Errors
    /// When a picture cannot be read.
    pub fn measured(data: &dyn Dataset) -> Result<Self> {
        let channels = data.channels();
        let (mut sum, mut square) = (vec![0f64; channels], vec![0f64; channels]);
        for i in 0..data.len() {
            let image = data.get(i)?.image;
            for (c, plane) in image.planes().enumerate() {
                for &v in plane {
                    sum[c] += f64::from(v);
                    square[c] += f64::from(v) * f64::from(v);
                }
            }
        }
        let [h, w] = data.image_size();
        let count = (data.len() * h * w).max(1) as f64;
        let mean: Vec<f64> = sum.iter().map(|s| s / count).collect();
        let deviation = |(m, q): (&f64, &f64)| (q / count - m * m).max(0.0).sqrt();
        let std = mean.iter().zip(&square).map(deviation);
        let std = std.map(|s| if s > 1e-6 { s as f32 } else { 1.0 }).collect();
        Self::new(mean.into_iter().map(|m| m as f32).collect(), std)
    }

    /// The mean of each channel.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The standard deviation of each channel.
    pub fn std(&self) -> &[f32] {
        &self.std
    }
}

impl Transform for Normalise {
    fn output(&self, channels: usize, size: [usize; 2]) -> Result<(usize, [usize; 2])> {
        if channels != self.mean.len() {
            let got = self.mean.len();
            return Err(Error::config(
                "normalise",
                format!("{got} channels, the picture has {channels}"),
            ));
        }
        Ok((channels, size))
    }

    fn apply(&self, mut image: Image, _rng: &mut Philox) -> Result<Image> {
        self.output(image.channels(), image.size())?;
        for ((plane, mean), std) in image.planes_mut().zip(&self.mean).zip(&self.std) {
            plane.iter_mut().for_each(|v| *v = (*v - mean) / std);
        }
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageSet;

    #[test]
    fn a_measured_data_set_becomes_standard() {
        let pixels = vec![0, 50, 100, 250, 30, 30, 30, 30];
        let classes = vec!["a".to_owned()];
        let set = ImageSet::new(pixels, vec![0], 2, [2, 2], 250, classes).unwrap();
        let normalise = Normalise::measured(&set).unwrap();
        assert_eq!(normalise.std()[1], 1.0);
        let image = set.get(0).unwrap().image;
        let image = normalise.apply(image, &mut Philox::new(0)).unwrap();
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
        let first = &image.values()[..4];
        assert!(mean(first).abs() < 1e-6, "{first:?}");
        let squares: Vec<f32> = first.iter().map(|v| v * v).collect();
        assert!((mean(&squares) - 1.0).abs() < 1e-6);
        assert!(image.values()[4..].iter().all(|v| v.abs() < 1e-6));
    }

    #[test]
    fn wrong_numbers_are_errors() {
        assert!(Normalise::new(vec![0.0], vec![]).is_err());
        assert!(Normalise::new(vec![0.0], vec![0.0]).is_err());
        assert!(Normalise::new(vec![f32::NAN], vec![1.0]).is_err());
        assert!(Normalise::new(vec![0.0], vec![1e-45]).is_err());
        let one = Normalise::new(vec![0.5], vec![2.0]).unwrap();
        assert!(one.output(3, [1, 1]).is_err());
    }
}
