//! One picture as numbers.

use crate::error::{Error, Result};

/// A picture of `channels` planes of `height` rows of `width` values, plane after plane (CHW). Readers give values in
/// 0 to 1; a normalisation moves them.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// How many planes.
    channels: usize,
    /// Rows and columns.
    size: [usize; 2],
    values: Vec<f32>,
}

impl Image {
    /// A picture of the given values.
    ///
    /// # Errors
    /// When `values` does not hold `channels * height * width` numbers.
    pub fn new(channels: usize, size: [usize; 2], values: Vec<f32>) -> Result<Self> {
        let expected = volume(channels, size);
        if expected != Some(values.len()) {
            let [h, w] = size;
            return Err(Error::Mismatch(format!(
                "an image of {channels}x{h}x{w} cannot have {} values",
                values.len()
            )));
        }
        Ok(Self {
            channels,
            size,
            values,
        })
    }

    /// A picture of one value everywhere.
    ///
    /// # Errors
    /// When the size overflows.
    pub fn filled(channels: usize, size: [usize; 2], value: f32) -> Result<Self> {
        let len = volume(channels, size)
            .filter(|&n| n <= isize::MAX as usize / size_of::<f32>())
            .ok_or_else(|| {
                Error::Mismatch(format!("an image of {channels}x{size:?} is too large"))
            })?;
        Ok(Self {
            channels,
            size,
            values: vec![value; len],
        })
    }

    /// How many planes it has.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Height and width.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// All values, plane after plane, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to change.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The planes, one slice of `height * width` each; none of a picture without pixels.
    pub fn planes(&self) -> impl Iterator<Item = &[f32]> {
        self.values
            .chunks_exact((self.size[0] * self.size[1]).max(1))
    }

    /// The planes, to change.
    pub fn planes_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.values
            .chunks_exact_mut((self.size[0] * self.size[1]).max(1))
    }
}

/// `channels * height * width`, unless that overflows.
pub(crate) fn volume(channels: usize, [h, w]: [usize; 2]) -> Option<usize> {
    channels.checked_mul(h)?.checked_mul(w)
}
