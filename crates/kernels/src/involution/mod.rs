//! Involution: a convolution with a kernel for every pixel, which the channels of a group share.
//!
//! `y[n, c, i, j] = sum over u, v of w[n, g, u, v, i, j] x[n, c, i*stride + u*dilation - top, j*stride + v*dilation - left]`
//! with `g` the group of `c` (Li et al., "Involution", 2021). Outside of the image, `x` is 0.
//!
//! All images are channels-last; the kernels are `[N, OH, OW, groups * taps]`. The channels of a pixel are summed a vector
//! at a time, straight from the image: windows are never copied. Both gradients gather as well: that of the image sums over
//! the pixels that read it, that of the kernels takes an inner product over the channels of a group.

mod geometry;
mod reference;
mod vector;

#[cfg(test)]
mod tests;

pub use geometry::InvolutionGeometry;

use crate::error::{KernelError, check_len};
use crate::parallel::{Cut, for_each_chunk};
use crate::real::Real;
use geometry::Term;
use striate_simd::{Level, dispatch};

/// Computes `y` from the image and the kernels.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn forward<R: Real>(
    level: Level,
    g: &InvolutionGeometry,
    x: &[R],
    weight: &[R],
    y: &mut [R],
) -> Result<(), KernelError> {
    check(g, x, weight, y)?;
    sums(
        level,
        g,
        [weight, x],
        y,
        InvolutionGeometry::terms_of_output,
    );
    Ok(())
}

/// Computes the gradient of the image.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn backward_input<R: Real>(
    level: Level,
    g: &InvolutionGeometry,
    dy: &[R],
    weight: &[R],
    dx: &mut [R],
) -> Result<(), KernelError> {
    check(g, dx, weight, dy)?;
    sums(
        level,
        g,
        [weight, dy],
        dx,
        InvolutionGeometry::terms_of_input,
    );
    Ok(())
}

/// Computes the gradient of the kernels.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn backward_weight<R: Real>(
    level: Level,
    g: &InvolutionGeometry,
    x: &[R],
    dy: &[R],
    dweight: &mut [R],
) -> Result<(), KernelError> {
    check(g, x, dweight, dy)?;
    let (weights, channels) = (g.weights(), g.windows().in_channels());
    let cut = Cut::new(
        g.windows().y_len() / channels,
        channels * g.windows().taps(),
    );
    for_each_chunk(dweight, cut.per_task() * weights, |task, dweight| {
        let mut terms = Vec::new();
        for (pixel, dweight) in cut.range(task).zip(dweight.chunks_exact_mut(weights)) {
            g.terms_of_output(pixel, &mut terms);
            // Weights are where a term says, seen from the first pixel.
            let first = pixel * weights;
            terms.iter_mut().for_each(|term| term.weight -= first);
            let dy = &dy[pixel * channels..][..channels];
            match (R::as_f32(dy), R::as_f32(x), R::as_f32_mut(dweight)) {
                (Some(dy), Some(x), Some(dweight)) => {
                    dispatch!(level, s => vector::products(s, g, &terms, dy, x, dweight));
                }
                _ => reference::products(g, &terms, dy, x, dweight),
            }
        }
    });
    Ok(())
}

/// For every pixel of `out` the sum over its terms of weights times pixels of `source`.
fn sums<R: Real>(
    level: Level,
    g: &InvolutionGeometry,
    [weight, source]: [&[R]; 2],
    out: &mut [R],
    terms_of: fn(&InvolutionGeometry, usize, &mut Vec<Term>),
) {
    let channels = g.windows().in_channels();
    let cut = Cut::new(out.len() / channels, channels * g.windows().taps());
    for_each_chunk(out, cut.per_task() * channels, |task, out| {
        let mut terms = Vec::new();
        for (pixel, out) in cut.range(task).zip(out.chunks_exact_mut(channels)) {
            terms_of(g, pixel, &mut terms);
            match (R::as_f32(weight), R::as_f32(source), R::as_f32_mut(out)) {
                (Some(weight), Some(source), Some(out)) => {
                    dispatch!(level, s => vector::sums(s, g, &terms, weight, source, out));
                }
                _ => reference::sums(g, &terms, weight, source, out),
            }
        }
    });
}

fn check<R>(g: &InvolutionGeometry, x: &[R], weight: &[R], y: &[R]) -> Result<(), KernelError> {
    const OP: &str = "involution";
    check_len(OP, "x", x.len(), g.windows().x_len())?;
    check_len(OP, "weight", weight.len(), g.weight_len())?;
    check_len(OP, "y", y.len(), g.windows().y_len())
}
