//! Group normalisation: one mean and variance for the channels of a group of one image.

use super::apply::{Parameters, apply, gradient};
use super::vector::{gradient_sums, moments};
use super::{Affine, After, NormGeometry, Statistics, Upstream, reference};
use crate::error::{KernelError, check_len};
use crate::geometry::GeometryError;
use crate::real::Real;
use std::ops::Range;
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

    /// Which mean and variance the `i`-th of `[N * C]` has.
    fn index(&self, i: usize) -> usize {
        i / (self.array.channels() / self.groups)
    }

    /// Which of `[N * C]` have the `i`-th mean and variance.
    fn members(&self, i: usize) -> Range<usize> {
        let channels = self.array.channels() / self.groups;
        i * channels..(i + 1) * channels
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
    level: Level,
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
    if let (Some(x), Some(y)) = (R::as_f32(x), R::as_f32_mut(y)) {
        let array = &g.array;
        let sums = moments(level, array, x);
        // Channels of a group have the same number of elements each.
        let count = array.spatial() as f64;
        for (i, (mean, var)) in mean.iter_mut().zip(var.iter_mut()).enumerate() {
            let members = g.members(i);
            let (means, squares) = (&sums.first[members.clone()], &sums.second[members.clone()]);
            let middle = means.iter().sum::<f64>() / members.len() as f64;
            let apart: f64 = means.iter().map(|m| (m - middle).powi(2)).sum();
            let total = squares.iter().sum::<f64>() + apart * count;
            *mean = R::from_f64(if count > 0.0 { middle } else { f64::NAN });
            *var = R::from_f64(total / (count * members.len() as f64));
        }
        let stats = Statistics { mean, var, epsilon };
        let channels = array.channels();
        let parameters = Parameters::new(array.batch() * channels, |i| {
            let (of, c) = (g.index(i), i % channels);
            let scale = affine.weight_of(c) * stats.inverse_deviation(of);
            [stats.mean[of].to_f64(), scale, affine.bias_of(c)]
        });
        apply(level, array, x, parameters, After::NONE, y);
    } else {
        reference::statistics(&g.array, g.share(), x, mean, var);
        let stats = Statistics { mean, var, epsilon };
        reference::apply(&g.array, g.share(), x, &stats, affine, y);
    }
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
    level: Level,
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
    let upstream = Upstream { x, dy, mask: None };
    if let (Some(upstream), Some(dx)) = (upstream.as_f32(), R::as_f32_mut(dx)) {
        backward_vectors(level, g, upstream, stats, affine, dx, dweight, dbias);
    } else {
        reference::backward_affine(&g.array, g.share(), x, dy, stats, dweight, dbias);
        reference::backward_input(&g.array, g.share(), x, dy, stats, affine, dx);
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "those of the function above")]
fn backward_vectors<R: Real>(
    level: Level,
    g: &GroupGeometry,
    upstream: Upstream<'_, f32>,
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    dx: &mut [f32],
    dweight: &mut [R],
    dbias: &mut [R],
) {
    let array = &g.array;
    if array.total() == 0 {
        // Nothing has no statistics to divide by.
        dweight.fill(R::ZERO);
        dbias.fill(R::ZERO);
        return;
    }
    let (batch, channels) = (array.batch(), array.channels());
    let mean: Vec<f32> = (0..batch * channels)
        .map(|i| stats.mean[g.index(i)].to_f64() as f32)
        .collect();
    let sums = gradient_sums(level, array, upstream, &mean);
    for c in 0..channels {
        let images = || (0..batch).map(|n| n * channels + c);
        dbias[c] = R::from_f64(images().map(|i| sums.first[i]).sum());
        let normal = |i: usize| sums.second[i] * stats.inverse_deviation(g.index(i));
        dweight[c] = R::from_f64(images().map(normal).sum());
    }
    // The means of `g` and `g * (x - mean)` of each group.
    let means: Vec<[f64; 2]> = (0..g.statistics_len())
        .map(|i| {
            let weighted = |v: &[f64]| -> f64 {
                g.members(i)
                    .map(|m| v[m] * affine.weight_of(m % channels))
                    .sum()
            };
            let count = (g.members(i).len() * array.spatial()) as f64;
            [
                weighted(&sums.first) / count,
                weighted(&sums.second) / count,
            ]
        })
        .collect();
    let parameters = Parameters::new(batch * channels, |i| {
        let (of, inverse) = (g.index(i), stats.inverse_deviation(g.index(i)));
        let [sum, product] = means[of];
        let scale = affine.weight_of(i % channels) * inverse;
        [
            f64::from(mean[i]),
            scale,
            sum * inverse,
            product * inverse.powi(3),
        ]
    });
    gradient(level, array, upstream, parameters, dx, None);
}
