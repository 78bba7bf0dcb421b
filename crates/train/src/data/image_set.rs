//! Pictures that fit in memory, one byte a value.

use super::image::volume;
use super::{Dataset, Image, Sample, check_index};
use crate::error::{Error, Result};

/// A data set held as bytes: `pixels` is `[N, C, H, W]`, and a byte `b` stands for the value `b / white`.
#[derive(Clone, PartialEq)]
pub struct ImageSet {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    channels: usize,
    size: [usize; 2],
    white: u8,
    classes: Vec<String>,
}

impl ImageSet {
    /// A data set of the given bytes and labels.
    ///
    /// # Errors
    /// When the number of bytes is not `labels.len() * channels * height * width`, a label has no class, the pictures
    /// have no pixels, or a byte is above `white`.
    pub fn new(
        pixels: Vec<u8>,
        labels: Vec<u32>,
        channels: usize,
        size: [usize; 2],
        white: u8,
        classes: Vec<String>,
    ) -> Result<Self> {
        let image = volume(channels, size).filter(|&n| n > 0).ok_or_else(|| {
            Error::Mismatch(format!(
                "pictures of {channels}x{}x{} have no pixels",
                size[0], size[1]
            ))
        })?;
        if image.checked_mul(labels.len()) != Some(pixels.len()) {
            return Err(Error::Mismatch(format!(
                "{} labels and pictures of {channels}x{}x{} do not go with {} values",
                labels.len(),
                size[0],
                size[1],
                pixels.len()
            )));
        }
        if let Some(&label) = labels.iter().find(|&&l| l as usize >= classes.len()) {
            let count = classes.len();
            return Err(Error::Mismatch(format!(
                "label {label} with {count} classes"
            )));
        }
        if let Some(&value) = pixels.iter().find(|&&p| p > white) {
            return Err(Error::Mismatch(format!(
                "a pixel of {value} is above the white of {white}"
            )));
        }
        Ok(Self {
            pixels,
            labels,
            channels,
            size,
            white: white.max(1),
            classes,
        })
    }

    /// The same pictures with other names for the classes.
    ///
    /// # Errors
    /// When a label has no name.
    pub fn with_classes(self, classes: Vec<String>) -> Result<Self> {
        Self::new(
            self.pixels,
            self.labels,
            self.channels,
            self.size,
            self.white,
            classes,
        )
    }

    /// The bytes of one picture, `[C, H, W]`.
    ///
    /// # Errors
    /// When `index` is not below `len()`.
    pub fn bytes(&self, index: usize) -> Result<&[u8]> {
        let index = check_index(index, self.labels.len())?;
        let image = self.channels * self.size[0] * self.size[1];
        Ok(&self.pixels[index * image..(index + 1) * image])
    }
}

impl Dataset for ImageSet {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn image_size(&self) -> [usize; 2] {
        self.size
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Result<usize> {
        Ok(self.labels[check_index(index, self.labels.len())?] as usize)
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let white = f32::from(self.white);
        let values = self
            .bytes(index)?
            .iter()
            .map(|&b| f32::from(b) / white)
            .collect();
        let image = Image::new(self.channels, self.size, values)?;
        Ok(Sample {
            image,
            label: self.label(index)?,
        })
    }
}

impl std::fmt::Debug for ImageSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageSet")
            .field("len", &self.labels.len())
            .field("channels", &self.channels)
            .field("size", &self.size)
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}

/// The class names "0", "1", ... of labels without names.
pub(crate) fn numbered_classes(count: usize) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pixels: Vec<u8>, labels: Vec<u32>, white: u8) -> Result<ImageSet> {
        ImageSet::new(pixels, labels, 1, [1, 2], white, numbered_classes(3))
    }

    #[test]
    fn values_run_from_zero_to_one() {
        let set = set(vec![0, 4, 8, 16], vec![2, 0], 16).unwrap();
        assert_eq!(set.get(0).unwrap().image.values(), [0.0, 0.25]);
        assert_eq!(set.get(1).unwrap().image.values(), [0.5, 1.0]);
        assert_eq!(
            (set.len(), set.label(0).unwrap(), set.label(1).unwrap()),
            (2, 2, 0)
        );
        assert_eq!(
            set.get(2).unwrap_err().to_string(),
            "sample 2 of a data set of 2"
        );
    }

    #[test]
    fn wrong_arguments_are_errors() {
        assert!(set(vec![0, 4, 8], vec![2, 0], 16).is_err());
        assert_eq!(
            set(vec![0, 4], vec![3], 16).unwrap_err().to_string(),
            "label 3 with 3 classes"
        );
        assert!(set(vec![0, 17], vec![1], 16).is_err());
        assert!(ImageSet::new(vec![], vec![1, 1], 1, [0, 2], 16, numbered_classes(3)).is_err());
        assert!(ImageSet::new(vec![], vec![], usize::MAX, [2, 2], 16, vec![]).is_err());
    }
}
