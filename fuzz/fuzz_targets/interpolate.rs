//! Any resizing is refused with an error or computed like its formula, forward and backward.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use striate_fuzz::{close, fractions, is_small, level, wide};
use striate_kernels::geometry::{Interpolation, ResizeGeometry};
use striate_kernels::real::Real;
use striate_kernels::resample;
use striate_kernels::view::{View, ViewMut};
use striate_simd::Level;

#[derive(Arbitrary, Debug)]
struct Problem {
    input: [usize; 4],
    output: [usize; 2],
    mode: u8,
    align_corners: bool,
    channels_last: bool,
    /// Whether the sizes are taken as they are, to try overflow, or folded into a computable range.
    raw: bool,
    level: u8,
}

/// The resized image, and the gradient of `dy`.
fn run<R: Real>(level: Level, g: &ResizeGeometry, channels_last: bool, x: &[R], dy: &[R]) -> [Vec<R>; 2] {
    let ok = "the geometry's lengths";
    let view = |data, shape| if channels_last { View::nhwc(data, shape) } else { View::nchw(data, shape) };
    let (mut y, mut dx) = (vec![R::NAN; dy.len()], vec![R::NAN; x.len()]);
    let mut out = if channels_last { ViewMut::nhwc(&mut y, g.output()) } else { ViewMut::nchw(&mut y, g.output()) }.expect(ok);
    resample::resize(level, g, &view(x, g.input()).expect(ok), &mut out).expect(ok);
    let mut out = if channels_last { ViewMut::nhwc(&mut dx, g.input()) } else { ViewMut::nchw(&mut dx, g.input()) }.expect(ok);
    resample::resize_backward(level, g, &view(dy, g.output()).expect(ok), &mut out).expect(ok);
    [y, dx]
}

fuzz_target!(|problem: Problem| {
    let mut p = problem;
    if !p.raw {
        p.input = [p.input[0] % 3, p.input[1] % 40, p.input[2] % 20, p.input[3] % 20];
        p.output = p.output.map(|n| n % 40);
    }
    let align_corners = p.align_corners;
    let interpolation = match p.mode % 3 {
        0 => Interpolation::Nearest,
        1 => Interpolation::Bilinear { align_corners },
        _ => Interpolation::Bicubic { align_corners },
    };
    let Ok(g) = ResizeGeometry::new("interpolate", p.input, p.output, interpolation) else {
        return;
    };
    let [x_len, y_len] = [g.input(), g.output()].map(|shape| shape.iter().product());
    if !is_small(0.0, [x_len, y_len, p.output[0].max(p.output[1])]) {
        return;
    }
    let level = level(p.level);
    let (x, dy) = (fractions(x_len, 1), fractions(y_len, 2));
    let [y, dx] = run(level, &g, p.channels_last, &x, &dy);
    let [exact_y, exact_dx] = run(level, &g, p.channels_last, &wide(&x), &wide(&dy));
    close("interpolate", &g, 16, &y, &exact_y);
    close("gradient of interpolate", &g, y_len, &dx, &exact_dx);
});
