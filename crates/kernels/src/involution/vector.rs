//! The sums of one pixel in `f32`, a vector of channels at a time.

use super::InvolutionGeometry;
use super::geometry::Term;
use striate_simd::Simd;

/// A vector of the channels of a group, or what is left of them.
#[inline(always)]
fn load<S: Simd>(s: S, x: &[f32]) -> S::F32 {
    if x.len() == S::LANES {
        s.load(x)
    } else {
        s.load_partial(x)
    }
}

/// As the reference's.
#[inline(always)]
pub(super) fn sums<S: Simd>(
    s: S,
    g: &InvolutionGeometry,
    terms: &[Term],
    weight: &[f32],
    source: &[f32],
    out: &mut [f32],
) {
    let (taps, channels) = (g.windows().taps(), g.group_channels());
    for (group, out) in out.chunks_exact_mut(channels).enumerate() {
        for (i, out) in out.chunks_mut(S::LANES).enumerate() {
            let first = group * channels + i * S::LANES;
            let mut sum = s.splat(0.0);
            for t in terms {
                let weight = s.splat(weight[t.weight + group * taps]);
                let pixel = load(s, &source[t.pixel + first..][..out.len()]);
                sum = s.mul_add(weight, pixel, sum);
            }
            s.store_partial(sum, out);
        }
    }
}

/// As the reference's.
#[inline(always)]
pub(super) fn products<S: Simd>(
    s: S,
    g: &InvolutionGeometry,
    terms: &[Term],
    dy: &[f32],
    x: &[f32],
    dweight: &mut [f32],
) {
    dweight.fill(0.0);
    for (group, dy) in dy.chunks_exact(g.group_channels()).enumerate() {
        for t in terms {
            let x = &x[t.pixel + group * dy.len()..][..dy.len()];
            let mut sum = s.splat(0.0);
            for (dy, x) in dy.chunks(S::LANES).zip(x.chunks(S::LANES)) {
                sum = s.mul_add(load(s, dy), load(s, x), sum);
            }
            dweight[t.weight + group * g.windows().taps()] = s.sum(sum);
        }
    }
}
