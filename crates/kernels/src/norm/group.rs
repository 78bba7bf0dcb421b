//! Group normalisation: one mean and variance for the channels of a group of one image.

use super::{Affine, NormGeometry, Statistics, reference};
use crate::error::{KernelError, check_len};
use crate::geometry::GeometryError;
use crate::real::Real;
use striate_simd::Level;

/// An array whose channels fall into groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupGeometry {
    array: NormGeometry,
    groups: usize,
}

impl GroupGeometry {
    /// The channels of `array` in `groups` groups of neighbours.
    ///
    /// # Errors
    /// If the channels cannot be divided into that many equal groups.
    pub fn new(array: NormGeometry, groups: usize) -> Result<Self, GeometryError> {
        if groups == 0 || !array.channels().is_multiple_of(groups) {
            let rule = format!("it must divide the {} channels", array.channels());
            return Err(GeometryError::new(
                "group norm",
                "groups",
                groups.to_string(),
                rule,
            ));
        }
        Ok(Self { array, groups })
    }

    /// The array.
    pub fn array(&self) -> NormGeometry {
        self.array
    }

    /// The number of groups of one image.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The number of means and of variances: one per image and group.
    pub fn statistics_len(&self) -> usize {
        self.array.batch() * self.groups
    }

    /// Which mean and variance a channel of an image has.
    fn share(&self) -> impl Fn(usize, usize) -> usize {
        let (groups, channels) = (self.groups, self.array.channels() / self.groups);
        move |n, c| n * groups + c / channels
    }
}

/// `y = (x - mean) / sqrt(var + epsilon) * weight + bias`; writes the means and biased variances of each image and group,
/// `[N, G]`, for the backward pass.
///
/// # Errors
/// If a slice does not have the geometry's length.
#[expect(clippy::too_many_arguments, reason = "one input and three outputs")]
pub fn forward<R: Real>(
    _level: Level,
    g: &GroupGeometry,
    x: &[R],
    affine: &Affine<'_, R>,
    epsilon: f64,
    y: &mut [R],
    mean: &mut [R],
    var: &mut [R],
) -> Result<(), KernelError> {
    let op = "group norm";
    check_len(op, "x", x.len(), g.array.total())?;
    check_len(op, "y", y.len(), g.array.total())?;
    check_len(op, "mean", mean.len(), g.statistics_len())?;
    check_len(op, "var", var.len(), g.statistics_len())?;
    affine.check(op, g.array.channels())?;
    reference::statistics(&g.array, g.share(), x, mean, var);
    let stats = Statistics { mean, var, epsilon };
    reference::apply(&g.array, g.share(), x, &stats, affine, y);
    Ok(())
}

/// The gradients.
///
/// ```text
/// dbias   = sum(dy)             over images and positions
/// dweight = sum(dy * normal)                        normal = (x - mean) / sqrt(var + epsilon)
/// dx      = (g - mean(g) - normal * mean(g * normal)) / sqrt(var + epsilon)    g = dy * weight
/// ```
///
/// # Errors
/// If a slice does not have the geometry's length.
#[expect(clippy::too_many_arguments, reason = "three inputs and three outputs")]
pub fn backward<R: Real>(
    _level: Level,
    g: &GroupGeometry,
    x: &[R],
    dy: &[R],
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    dx: &mut [R],
    dweight: &mut [R],
    dbias: &mut [R],
) -> Result<(), KernelError> {
    let op = "group norm backward";
    check_len(op, "x", x.len(), g.array.total())?;
    check_len(op, "dy", dy.len(), g.array.total())?;
    check_len(op, "dx", dx.len(), g.array.total())?;
    check_len(op, "dweight", dweight.len(), g.array.channels())?;
    check_len(op, "dbias", dbias.len(), g.array.channels())?;
    stats.check(op, g.statistics_len())?;
    affine.check(op, g.array.channels())?;
    reference::backward_affine(&g.array, g.share(), x, dy, stats, dweight, dbias);
    reference::backward_input(&g.array, g.share(), x, dy, stats, affine, dx);
    Ok(())
}
