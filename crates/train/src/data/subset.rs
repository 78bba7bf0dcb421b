//! A part of a data set, and the cut into a part to train on and a part to test with.

use std::sync::Arc;

use super::{Dataset, Sample, check_index};
use crate::error::{Error, Result};

/// Some samples of a data set, in a given order.
#[derive(Clone, Debug)]
pub struct Subset {
    of: Arc<dyn Dataset>,
    indices: Vec<usize>,
}

impl Subset {
    /// The samples of `of` that `indices` name, in that order.
    ///
    /// # Errors
    /// When an index is not below `of.len()`.
    pub fn new(of: Arc<dyn Dataset>, indices: Vec<usize>) -> Result<Self> {
        for &index in &indices {
            check_index(index, of.len())?;
        }
        Ok(Self { of, indices })
    }

    /// Which samples of the whole these are.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    fn source(&self, index: usize) -> Result<usize> {
        Ok(self.indices[check_index(index, self.indices.len())?])
    }
}

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn image_size(&self) -> [usize; 2] {
        self.of.image_size()
    }

    fn channels(&self) -> usize {
        self.of.channels()
    }

    fn classes(&self) -> &[String] {
        self.of.classes()
    }

    fn label(&self, index: usize) -> Result<usize> {
        self.of.label(self.source(index)?)
    }

    fn get(&self, index: usize) -> Result<Sample> {
        self.of.get(self.source(index)?)
    }
}

/// Cuts a data set in two: every `every`-th sample of each class, in the order of the data set, is held out.
///
/// The `k`-th sample of its class (from 0) is held out when `k % every == every - 1`: no random numbers, the same share of each
/// class, and a class of fewer than `every` samples is trained on whole.
///
/// Returns the part to train on and the part held out.
///
/// # Errors
/// When `every` is below 2, or when a label cannot be read.
pub fn hold_out(of: &Arc<dyn Dataset>, every: usize) -> Result<(Subset, Subset)> {
    if every < 2 {
        return Err(Error::config(
            "every",
            format!("{every} leaves nothing to train on: at least 2"),
        ));
    }
    let mut seen = vec![0usize; of.classes().len()];
    let (mut train, mut held) = (Vec::new(), Vec::new());
    for index in 0..of.len() {
        let label = of.label(index)?;
        let count = seen.get_mut(label).ok_or_else(|| {
            Error::Mismatch(format!("label {label} with {} classes", of.classes().len()))
        })?;
        let part = if *count % every == every - 1 {
            &mut held
        } else {
            &mut train
        };
        part.push(index);
        *count += 1;
    }
    Ok((
        Subset::new(Arc::clone(of), train)?,
        Subset::new(Arc::clone(of), held)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageSet;

    fn labelled(labels: Vec<u32>) -> Arc<dyn Dataset> {
        let pixels = (0..labels.len() as u8).collect();
        let classes = vec!["a".into(), "b".into()];
        Arc::new(ImageSet::new(pixels, labels, 1, [1, 1], 255, classes).unwrap())
    }

    #[test]
    fn holds_out_every_third_of_each_class() {
        let set = labelled(vec![0, 0, 1, 0, 1, 0, 1, 1, 0, 0]);
        let (train, held) = hold_out(&set, 3).unwrap();
        assert_eq!(held.indices(), [3, 6, 9]);
        assert_eq!(train.indices(), [0, 1, 2, 4, 5, 7, 8]);
        assert_eq!(held.get(1).unwrap(), set.get(6).unwrap());
        assert_eq!(held.label(1).unwrap(), 1);
        assert!(held.get(3).is_err());
    }

    #[test]
    fn wrong_arguments_are_errors() {
        let set = labelled(vec![0, 1]);
        assert!(hold_out(&set, 1).is_err());
        assert!(Subset::new(set, vec![2]).is_err());
    }
}
