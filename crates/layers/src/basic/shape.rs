//! Layers that only rearrange.

use striate_tensor::{Error, Result, Tensor};

use crate::{Layer, Module, Visitor};

/// The input itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

impl Layer for Identity {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for Identity {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.clone())
    }
}

/// One row a sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flatten;

impl Layer for Flatten {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for Flatten {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C*H*W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.flatten(1, x.rank().saturating_sub(1))
    }
}

/// Deals the channels of groups out in turn: the first of every group, then the second of every group, and so on.
///
/// Paper: Zhang et al., *ShuffleNet*, CVPR 2018, arXiv:1707.01083.
///
/// # Shapes
/// `[N, C, H, W] -> [N, C, H, W]`
///
/// # Errors
/// The channels are no multiple of the groups.
pub fn channel_shuffle(x: &Tensor, groups: usize) -> Result<Tensor> {
    const OP: &str = "channel_shuffle";
    let [n, c, h, w] = x.dims_array(OP)?;
    if groups == 0 || !c.is_multiple_of(groups) {
        let detail = format!("{c} channels are no multiple of {groups} groups");
        return Err(Error::shape(OP, detail));
    }
    let one = c / groups;
    if x.is_channels_last() {
        let pixels = x.permute(&[0, 2, 3, 1])?.reshape([n, h, w, groups, one])?;
        let pixels = pixels.transpose(3, 4)?.reshape([n, h, w, c])?;
        return pixels.permute(&[0, 3, 1, 2]);
    }
    let planes = x.reshape([n, groups, one, h, w])?.transpose(1, 2)?;
    planes.reshape([n, c, h, w])
}
