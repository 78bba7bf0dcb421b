//! How good predictions are: running means, top-k accuracy, the confusion matrix.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The mean of numbers as they come, weighted by how many samples each stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    /// Adds a value that stands for `count` samples.
    pub fn add(&mut self, value: f64, count: u64) {
        self.sum += value * count as f64;
        self.count += count;
    }

    /// How many samples were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean; 0 of nothing.
    pub fn value(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }
}

/// How many rows of `scores` (`[N, classes]`, row-major) have the right label among their `k` highest scores.
///
/// Of equal scores the lower class counts as higher; a score that is not a number is never among the highest.
///
/// # Errors
/// When the lengths do not fit, or a label is not a class.
pub fn top_k(scores: &[f32], classes: usize, labels: &[i64], k: usize) -> Result<u64> {
    let mut correct = 0;
    for (row, label) in rows(scores, classes, labels)? {
        let own = row[label];
        let before =
            |(class, &score): (usize, &f32)| score > own || (score == own && class < label);
        let rank = row.iter().enumerate().filter(|&s| before(s)).count();
        correct += u64::from(!own.is_nan() && rank < k);
    }
    Ok(correct)
}

/// The rows of a score matrix, each with its label.
fn rows<'a>(
    scores: &'a [f32],
    classes: usize,
    labels: &'a [i64],
) -> Result<impl Iterator<Item = (&'a [f32], usize)>> {
    if classes == 0 || Some(scores.len()) != classes.checked_mul(labels.len()) {
        let (got, n) = (scores.len(), labels.len());
        return Err(Error::Mismatch(format!(
            "{got} scores for {n} labels of {classes} classes"
        )));
    }
    let known = |&label: &i64| usize::try_from(label).is_ok_and(|l| l < classes);
    if let Some(label) = labels.iter().find(|l| !known(l)) {
        return Err(Error::Mismatch(format!(
            "label {label} with {classes} classes"
        )));
    }
    Ok(scores
        .chunks_exact(classes)
        .zip(labels.iter().map(|&l| l as usize)))
}

/// How often each class was taken for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfusionMatrix {
    classes: Vec<String>,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// Of the given classes, with nothing counted yet.
    pub fn new(classes: &[String]) -> Self {
        Self {
            classes: classes.to_vec(),
            counts: vec![0; classes.len() * classes.len()],
        }
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// How many samples of class `truth` were taken for `predicted`; 0 for what is no class.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        let n = self.classes.len();
        if truth < n && predicted < n {
            self.counts[truth * n + predicted]
        } else {
            0
        }
    }

    /// Counts the class with the highest score of each row of `scores` (`[N, classes]`, row-major) as its prediction.
    ///
    /// # Errors
    /// When the lengths do not fit, or a label is not a class: nothing is counted then.
    pub fn add(&mut self, scores: &[f32], labels: &[i64]) -> Result<()> {
        let n = self.classes.len();
        for (row, truth) in rows(scores, n, labels)? {
            self.counts[truth * n + highest(row)] += 1;
        }
        Ok(())
    }

    /// How many samples were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The share of samples that were taken for what they are; 0 of nothing.
    pub fn accuracy(&self) -> f64 {
        let correct: u64 = (0..self.classes.len()).map(|c| self.count(c, c)).sum();
        correct as f64 / self.total().max(1) as f64
    }

    /// How many samples of a class there were.
    pub fn truths(&self, class: usize) -> u64 {
        (0..self.classes.len()).map(|p| self.count(class, p)).sum()
    }

    /// The share of a class's samples that were found; 0 of none.
    pub fn recall(&self, class: usize) -> f64 {
        self.count(class, class) as f64 / self.truths(class).max(1) as f64
    }

    /// The share of what was taken for a class that is of it; 0 of none.
    pub fn precision(&self, class: usize) -> f64 {
        let taken: u64 = (0..self.classes.len()).map(|t| self.count(t, class)).sum();
        self.count(class, class) as f64 / taken.max(1) as f64
    }
}

/// The index of the highest score, the first of equals; what is not a number is lower than anything.
pub fn highest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (i, &score) in scores.iter().enumerate() {
        if score > scores[best] || (scores[best].is_nan() && !score.is_nan()) {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f32; 9] = [0.1, 0.7, 0.2, 0.5, 0.5, 0.0, f32::NAN, -1.0, -2.0];

    #[test]
    fn top_k_counts_ranks() {
        let count = |labels: [i64; 3], k| top_k(&SCORES, 3, &labels, k).unwrap();
        assert_eq!(count([1, 0, 1], 1), 3);
        assert_eq!(count([2, 1, 2], 1), 0);
        assert_eq!(count([2, 1, 2], 2), 3);
        assert_eq!(count([0, 2, 0], 3), 2);
        assert_eq!(count([1, 1, 1], 0), 0);
    }

    #[test]
    fn wrong_lengths_and_labels_are_errors() {
        assert!(top_k(&SCORES, 3, &[0, 1], 1).is_err());
        assert!(top_k(&[], 0, &[], 1).is_err());
        assert!(top_k(&SCORES, 3, &[0, 1, -1], 1).is_err());
        let mut matrix = ConfusionMatrix::new(&["a".into(), "b".into(), "c".into()]);
        let message = matrix.add(&SCORES, &[0, 3, 0]).unwrap_err().to_string();
        assert_eq!(message, "label 3 with 3 classes");
        assert_eq!(matrix.total(), 0);
    }

    #[test]
    fn the_confusion_matrix_counts() {
        let mut matrix = ConfusionMatrix::new(&["a".into(), "b".into(), "c".into()]);
        matrix.add(&SCORES, &[1, 1, 1]).unwrap();
        matrix.add(&SCORES, &[2, 0, 1]).unwrap();
        assert_eq!(
            (matrix.count(1, 1), matrix.count(1, 0), matrix.count(2, 1)),
            (3, 1, 1)
        );
        assert_eq!(
            (matrix.total(), matrix.truths(1), matrix.count(9, 0)),
            (6, 4, 0)
        );
        assert_eq!(matrix.accuracy(), 4.0 / 6.0);
        assert_eq!((matrix.recall(1), matrix.precision(0)), (0.75, 0.5));
        assert_eq!((matrix.recall(2), matrix.precision(2)), (0.0, 0.0));
    }

    #[test]
    fn means_are_weighted() {
        let mut mean = Mean::default();
        assert_eq!(mean.value(), 0.0);
        mean.add(1.0, 3);
        mean.add(5.0, 1);
        assert_eq!((mean.value(), mean.count()), (2.0, 4));
    }
}
