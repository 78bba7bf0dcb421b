//! The loss of classification with shares of several classes.

use super::cross_entropy::CrossEntropyOptions;
use crate::{Error, Result, Tensor};

const OP: &str = "cross_entropy_soft";

impl Tensor {
    /// [`cross_entropy_with`](Self::cross_entropy_with) for a share of each class instead of a label: mean over all places of
    /// `-sum_c w_c q_c ln(softmax(x)_c)`, with `q` smoothed to `(1 - smoothing) q + smoothing / C`.
    ///
    /// The mean is over places, not over weights, as PyTorch has it. Shares should be at least 0 and sum to 1; they have
    /// gradients too.
    ///
    /// # Shapes
    /// Logits and shares `[N, C]` or `[N, C, d1, ...]`; weights `[C]`; the loss has rank 0.
    ///
    /// # Errors
    /// The shapes differ, there is no place, the smoothing is outside [0, 1], a weight is negative or not finite, a label is to
    /// be ignored, or the types are not the same float.
    pub fn cross_entropy_soft(&self, shares: &Self, options: &CrossEntropyOptions) -> Result<Self> {
        if self.shape() != shares.shape() || self.rank() < 2 || self.numel() == 0 {
            let (x, q) = (self.shape(), shares.shape());
            let rule = "must have one shape [N, C, ...], not empty";
            return Err(Error::shape(
                OP,
                format!("logits {x:?} and shares {q:?} {rule}"),
            ));
        }
        if options.ignore_index.is_some() {
            let text =
                format!("{OP}: a label is to be ignored, but there are shares and no labels");
            return Err(Error::msg(text));
        }
        let classes = self.shape()[1];
        let smoothing = options.checked_smoothing(OP)?;
        let spread = smoothing / classes as f64;
        let mut shares = shares.affine(1.0 - smoothing, spread)?;
        if options.weight.is_some() {
            let mut shape = vec![1; self.rank()];
            shape[1] = classes;
            let weights = Self::from_vec(options.weights(classes)?, shape)?;
            shares = shares.mul(&weights.to_dtype(shares.dtype())?)?;
        }
        let places = self.numel() / classes;
        let sum = self.log_softmax(1)?.mul(&shares)?.sum_all()?;
        sum.mul_scalar(-1.0 / places as f64)
    }
}
