//! The sums of one pixel, channel by channel.

use super::InvolutionGeometry;
use super::geometry::Term;
use crate::real::Real;

/// `out[c] = sum over terms of weight[group of c] * source[c]`
pub(super) fn sums<R: Real>(
    g: &InvolutionGeometry,
    terms: &[Term],
    weight: &[R],
    source: &[R],
    out: &mut [R],
) {
    for (c, out) in out.iter_mut().enumerate() {
        let group = c / g.group_channels() * g.windows().taps();
        let term = |t: &Term| weight[t.weight + group] * source[t.pixel + c];
        *out = terms.iter().map(term).sum();
    }
}

/// `dweight[group, tap] = sum over the channels of the group of dy[c] * x[c]`, and 0 at taps outside of the image.
pub(super) fn products<R: Real>(
    g: &InvolutionGeometry,
    terms: &[Term],
    dy: &[R],
    x: &[R],
    dweight: &mut [R],
) {
    dweight.fill(R::ZERO);
    for (group, dy) in dy.chunks_exact(g.group_channels()).enumerate() {
        for t in terms {
            let x = &x[t.pixel + group * dy.len()..][..dy.len()];
            let products = dy.iter().zip(x).map(|(&dy, &x)| dy * x);
            dweight[t.weight + group * g.windows().taps()] = products.sum();
        }
    }
}
