//! Data sets: what is read from where, as pictures with labels.
//!
//! | reader | what it reads |
//! |---|---|
//! | [`digits`] | 1,797 handwritten digits that are part of this library |
//! | [`idx`] | MNIST, Fashion-MNIST and whatever else is in their format |
//! | [`cifar10`] | the binary version of CIFAR-10 |
//! | [`folder`] | a folder of JPEG and PNG files, one subfolder a class |
//! | [`csv`](mod@csv) | a line of pixel values and a label for each picture |
//!
//! Each gives a [`Dataset`]. Files may be plain or gzip; nothing a file claims about its size is believed before it is checked.

pub mod cifar10;
pub mod csv;
pub mod digits;
pub mod folder;
pub mod gzip;
pub mod idx;
mod image;
mod image_set;
pub mod picture;
mod resample;
mod subset;

use std::fmt::Debug;

pub use image::Image;
pub(crate) use image::volume;
pub use image_set::ImageSet;
pub use picture::Picture;
pub use subset::{Subset, hold_out};

use crate::error::{Error, Result};

/// A picture and the number of its class.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The picture, values in 0 to 1.
    pub image: Image,
    /// An index into [`Dataset::classes`].
    pub label: usize,
}

/// Labelled pictures of one size, found by their number.
pub trait Dataset: Send + Sync + Debug {
    /// How many samples there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Height and width of every picture.
    fn image_size(&self) -> [usize; 2];

    /// How many values a pixel has: 1 for grey, 3 for red, green and blue.
    fn channels(&self) -> usize;

    /// The names of the classes; a label is an index into them.
    fn classes(&self) -> &[String];

    /// The label of one sample, without reading its picture.
    ///
    /// # Errors
    /// When `index` is not below `len()`.
    fn label(&self, index: usize) -> Result<usize>;

    /// One sample. The same index gives the same sample every time.
    ///
    /// # Errors
    /// When `index` is not below `len()`, or when a file behind it cannot be read.
    fn get(&self, index: usize) -> Result<Sample>;
}

/// `index`, if there is such a sample.
pub(crate) fn check_index(index: usize, len: usize) -> Result<usize> {
    if index < len {
        Ok(index)
    } else {
        Err(Error::Index { index, len })
    }
}
