//! Fuse and select: the two steps that all selective-kernel modules share.

use std::sync::Arc;

use striate_tensor::{Error, Result, Tensor};

use crate::probe::{self, ProbeKind};

/// The mean of the sum of the branches over each channel, `[N, C, 1, 1]`.
///
/// It is the sum of the branches' means: the sum of the maps is never made.
///
/// # Errors
/// There is no branch, or their shapes differ.
pub fn fuse(branches: &[Tensor]) -> Result<Tensor> {
    let (first, rest) = branches
        .split_first()
        .ok_or_else(|| Error::msg("fuse: no branch"))?;
    for branch in rest {
        if branch.shape() != first.shape() {
            let detail = format!(
                "branches must have one shape, got {:?} and {:?}",
                first.shape(),
                branch.shape()
            );
            return Err(Error::shape("fuse", detail));
        }
    }
    let mean = |branch: &Tensor| branch.mean(&[2, 3], true);
    rest.iter()
        .try_fold(mean(first)?, |sum, branch| sum.add(&mean(branch)?))
}

/// The sum of the branches, each channel weighed by the softmax over the branches of its logits.
///
/// Emits the weights as [`ProbeKind::BranchWeights`].
///
/// # Shapes
/// `M` branches `[N, C, H, W]`, logits with `N*M*C` elements, branch by branch, to `[N, C, H, W]`.
///
/// # Errors
/// There is no branch, or the shapes do not fit.
pub fn select(path: &Arc<str>, branches: &[Tensor], logits: &Tensor) -> Result<Tensor> {
    let first = branches
        .first()
        .ok_or_else(|| Error::msg("select: no branch"))?;
    let [n, c, _, _] = first.dims_array("select")?;
    let branches: Vec<&Tensor> = branches.iter().collect();
    choose(path, &branches, &logits.reshape([n, branches.len(), c])?)
}

/// [`select`] for logits `[N, M, C]`, and branches that may also be the channels of one map `[N, M * C, H, W]`.
pub(super) fn choose(path: &Arc<str>, branches: &[&Tensor], logits: &Tensor) -> Result<Tensor> {
    let weights = logits.softmax(1)?;
    probe::emit(path, ProbeKind::BranchWeights, &weights);
    Tensor::mix_maps(branches, &weights)
}
