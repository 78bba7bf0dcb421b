//! The formulas, for any assignment of elements to means.
//!
//! `share(n, c)` is the index of the mean and variance of channel `c` of image `n`.

use super::{Affine, After, NormGeometry, Statistics};
use crate::real::Real;

/// Calls `f(n, c, offset)` for every element.
fn for_each_element(g: &NormGeometry, mut f: impl FnMut(usize, usize, usize)) {
    for n in 0..g.batch() {
        for c in 0..g.channels() {
            for s in 0..g.spatial() {
                f(n, c, g.offset(n, c, s));
            }
        }
    }
}

/// Means and biased variances, in two passes.
pub(super) fn statistics<R: Real>(
    g: &NormGeometry,
    share: impl Fn(usize, usize) -> usize,
    x: &[R],
    mean: &mut [R],
    var: &mut [R],
) {
    let mut count = vec![0.0; mean.len()];
    let mut sum = vec![0.0; mean.len()];
    for_each_element(g, |n, c, at| {
        count[share(n, c)] += 1.0;
        sum[share(n, c)] += x[at].to_f64();
    });
    let exact: Vec<f64> = sum.iter().zip(&count).map(|(s, n)| s / n).collect();
    let mut squares = vec![0.0; mean.len()];
    for_each_element(g, |n, c, at| {
        squares[share(n, c)] += (x[at].to_f64() - exact[share(n, c)]).powi(2);
    });
    for i in 0..mean.len() {
        mean[i] = R::from_f64(exact[i]);
        var[i] = R::from_f64(squares[i] / count[i]);
    }
}

/// `y = (x - mean) / sqrt(var + epsilon) * weight + bias`
pub(super) fn apply<R: Real>(
    g: &NormGeometry,
    share: impl Fn(usize, usize) -> usize,
    x: &[R],
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    y: &mut [R],
) {
    for_each_element(g, |n, c, at| {
        let i = share(n, c);
        let centred = x[at].to_f64() - stats.mean[i].to_f64();
        let normal = centred * stats.inverse_deviation(i);
        y[at] = R::from_f64(normal * affine.weight_of(c) + affine.bias_of(c));
    });
}

/// The sum with a residual, then a `relu`.
pub(super) fn after<R: Real>(after: After<'_, R>, y: &mut [R]) {
    if let Some(residual) = after.residual {
        y.iter_mut().zip(residual).for_each(|(y, &r)| *y += r);
    }
    if after.relu {
        y.iter_mut().for_each(|y| *y = y.maximum(R::ZERO));
    }
}

/// The gradients of the scale and shift: `dweight = sum(dy * normal)`, `dbias = sum(dy)` over each channel.
pub(super) fn backward_affine<R: Real>(
    g: &NormGeometry,
    share: impl Fn(usize, usize) -> usize,
    x: &[R],
    dy: &[R],
    stats: &Statistics<'_, R>,
    dweight: &mut [R],
    dbias: &mut [R],
) {
    let mut sums = vec![(0.0, 0.0); g.channels()];
    for_each_element(g, |n, c, at| {
        let i = share(n, c);
        let centred = x[at].to_f64() - stats.mean[i].to_f64();
        sums[c].0 += dy[at].to_f64() * centred * stats.inverse_deviation(i);
        sums[c].1 += dy[at].to_f64();
    });
    for (c, (weight, bias)) in sums.into_iter().enumerate() {
        dweight[c] = R::from_f64(weight);
        dbias[c] = R::from_f64(bias);
    }
}

/// The gradient of the input where the mean and variance are those of the input itself:
/// `dx = (g - mean(g) - normal * mean(g * normal)) / sqrt(var + epsilon)` with `g = dy * weight` and means over the elements
/// that share.
pub(super) fn backward_input<R: Real>(
    g: &NormGeometry,
    share: impl Fn(usize, usize) -> usize,
    x: &[R],
    dy: &[R],
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    dx: &mut [R],
) {
    let parts = |n: usize, c: usize, at: usize| {
        let i = share(n, c);
        let centred = x[at].to_f64() - stats.mean[i].to_f64();
        let normal = centred * stats.inverse_deviation(i);
        (i, dy[at].to_f64() * affine.weight_of(c), normal)
    };
    let mut sums = vec![(0.0, 0.0, 0.0); stats.mean.len()];
    for_each_element(g, |n, c, at| {
        let (i, gradient, normal) = parts(n, c, at);
        sums[i].0 += 1.0;
        sums[i].1 += gradient;
        sums[i].2 += gradient * normal;
    });
    for_each_element(g, |n, c, at| {
        let (i, gradient, normal) = parts(n, c, at);
        let (count, sum, product) = sums[i];
        let inner = gradient - sum / count - normal * product / count;
        dx[at] = R::from_f64(inner * stats.inverse_deviation(i));
    });
}

/// The gradient of the input where the mean and variance are constants: `dx = dy * weight / sqrt(var + epsilon)`.
pub(super) fn backward_input_constant<R: Real>(
    g: &NormGeometry,
    share: impl Fn(usize, usize) -> usize,
    dy: &[R],
    stats: &Statistics<'_, R>,
    affine: &Affine<'_, R>,
    dx: &mut [R],
) {
    for_each_element(g, |n, c, at| {
        let scale = affine.weight_of(c) * stats.inverse_deviation(share(n, c));
        dx[at] = R::from_f64(dy[at].to_f64() * scale);
    });
}

/// `y = x * scale + shift`, with a scale and a shift for each channel of each image.
pub(super) fn modulate<R: Real>(g: &NormGeometry, x: &[R], scale: &[R], shift: &[R], y: &mut [R]) {
    for_each_element(g, |n, c, at| {
        let i = n * g.channels() + c;
        y[at] = x[at] * scale[i] + shift[i];
    });
}

/// `dscale = sum(dy * x)` and `dshift = sum(dy)` of each channel of each image.
pub(super) fn modulate_sums<R: Real>(
    g: &NormGeometry,
    x: &[R],
    dy: &[R],
    dscale: &mut [R],
    dshift: &mut [R],
) {
    dscale.fill(R::ZERO);
    dshift.fill(R::ZERO);
    for_each_element(g, |n, c, at| {
        let i = n * g.channels() + c;
        dscale[i] += dy[at] * x[at];
        dshift[i] += dy[at];
    });
}
