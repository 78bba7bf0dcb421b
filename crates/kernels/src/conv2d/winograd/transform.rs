//! The one-dimensional transforms; applied along both axes they are the two-dimensional ones.
//!
//! A tile of `M` outputs of a kernel of `R` taps is the product of two polynomials, taken at
//! `N = M + R - 1` points of which the last is infinity. With the matrices `A^T`, `G` and `B^T` of the
//! points,
//!
//! ```text
//! y = A^T ((G g) * (B^T d))
//! ```
//!
//! (Lavin and Gray, arXiv:1509.09308). `B^T` depends on the points alone: the same points serve more
//! outputs of fewer taps. The other two transforms are transposes, for the gradient of the weights:
//! `dg = G^T ((A dy) * (B^T d))`.

use striate_simd::Simd;

/// A set of `N` points.
pub(super) trait Points<const N: usize> {
    /// `B^T d`
    fn input<S: Simd>(s: S, d: [S::F32; N]) -> [S::F32; N];
}

/// The transforms of tiles of `M` outputs of `R` taps at `N` points.
pub(super) trait Transform<const R: usize, const M: usize, const N: usize>:
    Points<N>
{
    /// `G g`
    fn filter<S: Simd>(s: S, g: [S::F32; R]) -> [S::F32; N];

    /// `A^T m`
    fn output<S: Simd>(s: S, m: [S::F32; N]) -> [S::F32; M];

    /// `A y`
    fn gradient<S: Simd>(s: S, y: [S::F32; M]) -> [S::F32; N];

    /// `G^T u`
    fn filter_gradient<S: Simd>(s: S, u: [S::F32; N]) -> [S::F32; R];
}

/// The points 0, 1, -1: small integers stay exact.
pub(super) struct FourPoints;

/// No points: the products of two pixels with three taps between zeros,
///
/// ```text
/// y0 = x0 h1 + x1 h2 = (x0 + x1) h1 + x1 (h2 - h1)
/// y1 = x0 h0 + x1 h1 = (x0 + x1) h1 + x0 (h0 - h1)
/// ```
///
/// Small integers stay exact.
pub(super) struct TwoPixels;

/// The points 1/2, -1/2, 5/4, -5/4, whose rounding error is less than that of any choice that has 0 as
/// well.
pub(super) struct FivePoints;

/// The points 0, `1/sqrt 2`, `-1/sqrt 2`, `sqrt 2`, `-sqrt 2`: of the symmetric choices the one with
/// the smallest rounding error.
pub(super) struct SixPoints;

/// `c * x + y`
#[inline(always)]
fn scaled<S: Simd>(s: S, c: f32, x: S::F32, y: S::F32) -> S::F32 {
    s.mul_add(s.splat(c), x, y)
}

/// `c * x`
#[inline(always)]
fn times<S: Simd>(s: S, c: f32, x: S::F32) -> S::F32 {
    s.mul(s.splat(c), x)
}

impl Points<4> for FourPoints {
    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::F32; 4]) -> [S::F32; 4] {
        [
            s.sub(d[0], d[2]),
            s.add(d[1], d[2]),
            s.sub(d[2], d[1]),
            s.sub(d[3], d[1]),
        ]
    }
}

impl Transform<3, 2, 4> for FourPoints {
    #[inline(always)]
    fn filter<S: Simd>(s: S, g: [S::F32; 3]) -> [S::F32; 4] {
        let ends = s.add(g[0], g[2]);
        [
            g[0],
            times(s, 0.5, s.add(ends, g[1])),
            times(s, 0.5, s.sub(ends, g[1])),
            g[2],
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::F32; 4]) -> [S::F32; 2] {
        [
            s.add(m[0], s.add(m[1], m[2])),
            s.add(s.sub(m[1], m[2]), m[3]),
        ]
    }

    #[inline(always)]
    fn gradient<S: Simd>(s: S, y: [S::F32; 2]) -> [S::F32; 4] {
        [y[0], s.add(y[0], y[1]), s.sub(y[0], y[1]), y[1]]
    }

    #[inline(always)]
    fn filter_gradient<S: Simd>(s: S, u: [S::F32; 4]) -> [S::F32; 3] {
        let even = times(s, 0.5, s.add(u[1], u[2]));
        let odd = times(s, 0.5, s.sub(u[1], u[2]));
        [s.add(u[0], even), odd, s.add(even, u[3])]
    }
}

impl Transform<2, 3, 4> for FourPoints {
    #[inline(always)]
    fn filter<S: Simd>(s: S, g: [S::F32; 2]) -> [S::F32; 4] {
        [
            g[0],
            times(s, 0.5, s.add(g[0], g[1])),
            times(s, 0.5, s.sub(g[0], g[1])),
            g[1],
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::F32; 4]) -> [S::F32; 3] {
        let even = s.add(m[1], m[2]);
        [s.add(m[0], even), s.sub(m[1], m[2]), s.add(even, m[3])]
    }

    #[inline(always)]
    fn gradient<S: Simd>(s: S, y: [S::F32; 3]) -> [S::F32; 4] {
        let even = s.add(y[0], y[2]);
        [y[0], s.add(even, y[1]), s.sub(even, y[1]), y[2]]
    }

    #[inline(always)]
    fn filter_gradient<S: Simd>(s: S, u: [S::F32; 4]) -> [S::F32; 2] {
        let even = times(s, 0.5, s.add(u[1], u[2]));
        let odd = times(s, 0.5, s.sub(u[1], u[2]));
        [s.add(u[0], even), s.add(odd, u[3])]
    }
}

impl TwoPixels {
    /// As [`Points::input`].
    #[inline(always)]
    pub(super) fn input<S: Simd>(s: S, x: [S::F32; 2]) -> [S::F32; 3] {
        [s.add(x[0], x[1]), x[1], x[0]]
    }

    /// As [`Transform::filter`].
    #[inline(always)]
    pub(super) fn filter<S: Simd>(s: S, h: [S::F32; 3]) -> [S::F32; 3] {
        [h[1], s.sub(h[2], h[1]), s.sub(h[0], h[1])]
    }

    /// As [`Transform::output`].
    #[inline(always)]
    pub(super) fn output<S: Simd>(s: S, m: [S::F32; 3]) -> [S::F32; 2] {
        [s.add(m[0], m[1]), s.add(m[0], m[2])]
    }

    /// As [`Transform::gradient`].
    #[inline(always)]
    pub(super) fn gradient<S: Simd>(s: S, y: [S::F32; 2]) -> [S::F32; 3] {
        [s.add(y[0], y[1]), y[0], y[1]]
    }

    /// As [`Transform::filter_gradient`].
    #[inline(always)]
    pub(super) fn filter_gradient<S: Simd>(s: S, u: [S::F32; 3]) -> [S::F32; 3] {
        [u[2], s.sub(u[0], s.add(u[1], u[2])), u[1]]
    }
}

impl Points<5> for FivePoints {
    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::F32; 5]) -> [S::F32; 5] {
        let (even_a, odd_a) = (
            scaled(s, -1.5625, d[0], d[2]),
            scaled(s, -1.5625, d[1], d[3]),
        );
        let (even_b, odd_b) = (scaled(s, -0.25, d[0], d[2]), scaled(s, -0.25, d[1], d[3]));
        [
            scaled(s, 0.5, even_a, odd_a),
            scaled(s, -0.5, even_a, odd_a),
            scaled(s, 1.25, even_b, odd_b),
            scaled(s, -1.25, even_b, odd_b),
            scaled(s, -1.8125, d[2], scaled(s, 0.390_625, d[0], d[4])),
        ]
    }
}

impl Transform<3, 3, 5> for FivePoints {
    #[inline(always)]
    fn filter<S: Simd>(s: S, g: [S::F32; 3]) -> [S::F32; 5] {
        let even_a = scaled(s, -4.0 / 21.0, g[2], times(s, -16.0 / 21.0, g[0]));
        let even_b = scaled(s, 10.0 / 21.0, g[2], times(s, 32.0 / 105.0, g[0]));
        let (odd_a, odd_b) = (times(s, -8.0 / 21.0, g[1]), times(s, 8.0 / 21.0, g[1]));
        [
            s.add(odd_a, even_a),
            s.sub(odd_a, even_a),
            s.add(odd_b, even_b),
            s.sub(odd_b, even_b),
            g[2],
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::F32; 5]) -> [S::F32; 3] {
        let (even_a, odd_a) = (s.add(m[0], m[1]), s.sub(m[0], m[1]));
        let (even_b, odd_b) = (s.add(m[2], m[3]), s.sub(m[2], m[3]));
        [
            s.add(even_a, even_b),
            scaled(s, 0.5, odd_a, times(s, 1.25, odd_b)),
            scaled(s, 0.25, even_a, scaled(s, 1.5625, even_b, m[4])),
        ]
    }

    #[inline(always)]
    fn gradient<S: Simd>(s: S, y: [S::F32; 3]) -> [S::F32; 5] {
        let (even_a, even_b) = (scaled(s, 0.25, y[2], y[0]), scaled(s, 1.5625, y[2], y[0]));
        [
            scaled(s, 0.5, y[1], even_a),
            scaled(s, -0.5, y[1], even_a),
            scaled(s, 1.25, y[1], even_b),
            scaled(s, -1.25, y[1], even_b),
            y[2],
        ]
    }

    #[inline(always)]
    fn filter_gradient<S: Simd>(s: S, u: [S::F32; 5]) -> [S::F32; 3] {
        let (even_a, odd_a) = (s.sub(u[0], u[1]), s.add(u[0], u[1]));
        let (even_b, odd_b) = (s.sub(u[2], u[3]), s.add(u[2], u[3]));
        [
            scaled(s, -16.0 / 21.0, even_a, times(s, 32.0 / 105.0, even_b)),
            times(s, 8.0 / 21.0, s.sub(odd_b, odd_a)),
            scaled(s, -4.0 / 21.0, even_a, scaled(s, 10.0 / 21.0, even_b, u[4])),
        ]
    }
}

/// The points `+-A` and `+-B`.
const A: f32 = std::f32::consts::FRAC_1_SQRT_2;
const B: f32 = std::f32::consts::SQRT_2;

impl Points<6> for SixPoints {
    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::F32; 6]) -> [S::F32; 6] {
        let (even_a, odd_a) = (scaled(s, -2.0, d[2], d[4]), scaled(s, -2.0, d[1], d[3]));
        let (even_b, odd_b) = (scaled(s, -0.5, d[2], d[4]), scaled(s, -0.5, d[1], d[3]));
        [
            s.add(scaled(s, -2.5, d[2], d[0]), d[4]),
            scaled(s, A, odd_a, even_a),
            scaled(s, -A, odd_a, even_a),
            scaled(s, B, odd_b, even_b),
            scaled(s, -B, odd_b, even_b),
            s.add(scaled(s, -2.5, d[3], d[1]), d[5]),
        ]
    }
}

impl Transform<3, 4, 6> for SixPoints {
    #[inline(always)]
    fn filter<S: Simd>(s: S, g: [S::F32; 3]) -> [S::F32; 6] {
        let even_a = scaled(s, -1.0 / 3.0, g[2], times(s, -2.0 / 3.0, g[0]));
        let even_b = scaled(s, 1.0 / 3.0, g[2], times(s, 1.0 / 6.0, g[0]));
        [
            g[0],
            scaled(s, -2.0 / 3.0 * A, g[1], even_a),
            scaled(s, 2.0 / 3.0 * A, g[1], even_a),
            scaled(s, B / 6.0, g[1], even_b),
            scaled(s, -B / 6.0, g[1], even_b),
            g[2],
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::F32; 6]) -> [S::F32; 4] {
        let (even_a, odd_a) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (even_b, odd_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        [
            s.add(s.add(m[0], even_a), even_b),
            scaled(s, A, odd_a, times(s, B, odd_b)),
            scaled(s, 0.5, even_a, times(s, 2.0, even_b)),
            scaled(s, 0.5 * A, odd_a, scaled(s, 2.0 * B, odd_b, m[5])),
        ]
    }

    #[inline(always)]
    fn gradient<S: Simd>(s: S, y: [S::F32; 4]) -> [S::F32; 6] {
        let (even_a, odd_a) = (scaled(s, 0.5, y[2], y[0]), scaled(s, 0.5, y[3], y[1]));
        let (even_b, odd_b) = (scaled(s, 2.0, y[2], y[0]), scaled(s, 2.0, y[3], y[1]));
        [
            y[0],
            scaled(s, A, odd_a, even_a),
            scaled(s, -A, odd_a, even_a),
            scaled(s, B, odd_b, even_b),
            scaled(s, -B, odd_b, even_b),
            y[3],
        ]
    }

    #[inline(always)]
    fn filter_gradient<S: Simd>(s: S, u: [S::F32; 6]) -> [S::F32; 3] {
        let (even_a, odd_a) = (s.add(u[1], u[2]), s.sub(u[1], u[2]));
        let (even_b, odd_b) = (s.add(u[3], u[4]), s.sub(u[3], u[4]));
        [
            scaled(s, -2.0 / 3.0, even_a, scaled(s, 1.0 / 6.0, even_b, u[0])),
            scaled(s, -2.0 / 3.0 * A, odd_a, times(s, B / 6.0, odd_b)),
            scaled(s, -1.0 / 3.0, even_a, scaled(s, 1.0 / 3.0, even_b, u[5])),
        ]
    }
}

impl Transform<2, 5, 6> for SixPoints {
    #[inline(always)]
    fn filter<S: Simd>(s: S, g: [S::F32; 2]) -> [S::F32; 6] {
        let even_a = times(s, -2.0 / 3.0, g[0]);
        let even_b = times(s, 1.0 / 6.0, g[0]);
        [
            g[0],
            scaled(s, -2.0 / 3.0 * A, g[1], even_a),
            scaled(s, 2.0 / 3.0 * A, g[1], even_a),
            scaled(s, B / 6.0, g[1], even_b),
            scaled(s, -B / 6.0, g[1], even_b),
            g[1],
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::F32; 6]) -> [S::F32; 5] {
        let (even_a, odd_a) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (even_b, odd_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        [
            s.add(s.add(m[0], even_a), even_b),
            scaled(s, A, odd_a, times(s, B, odd_b)),
            scaled(s, 0.5, even_a, times(s, 2.0, even_b)),
            scaled(s, 0.5 * A, odd_a, times(s, 2.0 * B, odd_b)),
            scaled(s, 0.25, even_a, scaled(s, 4.0, even_b, m[5])),
        ]
    }

    #[inline(always)]
    fn gradient<S: Simd>(s: S, y: [S::F32; 5]) -> [S::F32; 6] {
        let even_a = scaled(s, 0.25, y[4], scaled(s, 0.5, y[2], y[0]));
        let even_b = scaled(s, 4.0, y[4], scaled(s, 2.0, y[2], y[0]));
        let (odd_a, odd_b) = (scaled(s, 0.5, y[3], y[1]), scaled(s, 2.0, y[3], y[1]));
        [
            y[0],
            scaled(s, A, odd_a, even_a),
            scaled(s, -A, odd_a, even_a),
            scaled(s, B, odd_b, even_b),
            scaled(s, -B, odd_b, even_b),
            y[4],
        ]
    }

    #[inline(always)]
    fn filter_gradient<S: Simd>(s: S, u: [S::F32; 6]) -> [S::F32; 2] {
        let (even_a, odd_a) = (s.add(u[1], u[2]), s.sub(u[1], u[2]));
        let (even_b, odd_b) = (s.add(u[3], u[4]), s.sub(u[3], u[4]));
        [
            scaled(s, -2.0 / 3.0, even_a, scaled(s, 1.0 / 6.0, even_b, u[0])),
            scaled(s, -2.0 / 3.0 * A, odd_a, scaled(s, B / 6.0, odd_b, u[5])),
        ]
    }
}

impl Transform<4, 3, 6> for SixPoints {
    #[inline(always)]
    fn filter<S: Simd>(s: S, g: [S::F32; 4]) -> [S::F32; 6] {
        let even_a = scaled(s, -1.0 / 3.0, g[2], times(s, -2.0 / 3.0, g[0]));
        let even_b = scaled(s, 1.0 / 3.0, g[2], times(s, 1.0 / 6.0, g[0]));
        let (odd_a, odd_b) = (scaled(s, 0.5, g[3], g[1]), scaled(s, 2.0, g[3], g[1]));
        [
            g[0],
            scaled(s, -2.0 / 3.0 * A, odd_a, even_a),
            scaled(s, 2.0 / 3.0 * A, odd_a, even_a),
            scaled(s, B / 6.0, odd_b, even_b),
            scaled(s, -B / 6.0, odd_b, even_b),
            g[3],
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::F32; 6]) -> [S::F32; 3] {
        let (even_a, odd_a) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (even_b, odd_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        [
            s.add(s.add(m[0], even_a), even_b),
            scaled(s, A, odd_a, times(s, B, odd_b)),
            scaled(s, 0.5, even_a, scaled(s, 2.0, even_b, m[5])),
        ]
    }

    #[inline(always)]
    fn gradient<S: Simd>(s: S, y: [S::F32; 3]) -> [S::F32; 6] {
        let (even_a, even_b) = (scaled(s, 0.5, y[2], y[0]), scaled(s, 2.0, y[2], y[0]));
        [
            y[0],
            scaled(s, A, y[1], even_a),
            scaled(s, -A, y[1], even_a),
            scaled(s, B, y[1], even_b),
            scaled(s, -B, y[1], even_b),
            y[2],
        ]
    }

    #[inline(always)]
    fn filter_gradient<S: Simd>(s: S, u: [S::F32; 6]) -> [S::F32; 4] {
        let (even_a, odd_a) = (s.add(u[1], u[2]), s.sub(u[1], u[2]));
        let (even_b, odd_b) = (s.add(u[3], u[4]), s.sub(u[3], u[4]));
        [
            scaled(s, -2.0 / 3.0, even_a, scaled(s, 1.0 / 6.0, even_b, u[0])),
            scaled(s, -2.0 / 3.0 * A, odd_a, times(s, B / 6.0, odd_b)),
            scaled(s, -1.0 / 3.0, even_a, times(s, 1.0 / 3.0, even_b)),
            scaled(s, -1.0 / 3.0 * A, odd_a, scaled(s, B / 3.0, odd_b, u[5])),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use striate_simd::{Level, dispatch, test_each_level};

    /// The largest difference between a correlation and the transforms, and between inner products
    /// and their transposes.
    #[inline(always)]
    fn worst<S, W, const R: usize, const M: usize, const N: usize>(s: S) -> f32
    where
        S: Simd,
        W: Transform<R, M, N>,
    {
        let mut random = Random::new(3);
        let mut worst = 0.0_f32;
        for _ in 0..20 {
            let mut draw = |n| random.floats(n);
            let (d, g, dy) = (draw(N), draw(R), draw(M));
            let splat = |x: &[f32], i: usize| s.splat(x[i]);
            let lane = |v: S::F32| s.max_lane(v);
            let v = W::input(s, std::array::from_fn(|i| splat(&d, i)));
            let u = W::filter(s, std::array::from_fn(|i| splat(&g, i)));
            let z = W::gradient(s, std::array::from_fn(|i| splat(&dy, i)));
            let y = W::output(s, std::array::from_fn(|i| s.mul(v[i], u[i])));
            let dg = W::filter_gradient(s, std::array::from_fn(|i| s.mul(v[i], z[i])));
            for m in 0..M {
                let expected: f32 = (0..R).map(|k| d[m + k] * g[k]).sum();
                worst = worst.max((lane(y[m]) - expected).abs());
            }
            for k in 0..R {
                let expected: f32 = (0..M).map(|m| d[m + k] * dy[m]).sum();
                worst = worst.max((lane(dg[k]) - expected).abs());
            }
        }
        worst
    }

    test_each_level! {
        fn two_pixels_have_three_products(level: Level) {
            let exact = dispatch!(level, s => {
                let of = |x: [f32; 3]| x.map(|x| s.splat(x));
                let ([x0, x1], [h0, h1, h2], [dy0, dy1]) = ([3.0, -5.0], [7.0, 11.0, -2.0], [-4.0, 9.0]);
                let v = TwoPixels::input(s, [s.splat(x0), s.splat(x1)]);
                let u = TwoPixels::filter(s, of([h0, h1, h2]));
                let z = TwoPixels::gradient(s, [s.splat(dy0), s.splat(dy1)]);
                let y = TwoPixels::output(s, std::array::from_fn(|i| s.mul(v[i], u[i])));
                let dh = TwoPixels::filter_gradient(s, std::array::from_fn(|i| s.mul(v[i], z[i])));
                y.map(|v| s.max_lane(v)) == [x0 * h1 + x1 * h2, x0 * h0 + x1 * h1]
                    && dh.map(|v| s.max_lane(v)) == [x0 * dy1, x0 * dy0 + x1 * dy1, x1 * dy0]
            });
            assert!(exact);
        }
    }

    test_each_level! {
        fn a_transformed_product_is_a_correlation(level: Level) {
            let of_four_points = [
                dispatch!(level, s => worst::<_, FourPoints, 3, 2, 4>(s)),
                dispatch!(level, s => worst::<_, FourPoints, 2, 3, 4>(s)),
            ];
            let of_five_points = dispatch!(level, s => worst::<_, FivePoints, 3, 3, 5>(s));
            let of_six_points = [
                dispatch!(level, s => worst::<_, SixPoints, 3, 4, 6>(s)),
                dispatch!(level, s => worst::<_, SixPoints, 2, 5, 6>(s)),
                dispatch!(level, s => worst::<_, SixPoints, 4, 3, 6>(s)),
            ];
            assert!(of_four_points.iter().all(|&worst| worst < 1e-6), "{of_four_points:?}");
            assert!(of_five_points < 2e-6, "{of_five_points}");
            assert!(of_six_points.iter().all(|&worst| worst < 4e-6), "{of_six_points:?}");
        }
    }
}
