//! Any sampling of an image at places of a grid, whatever numbers they are, is refused with an error or computed like its formula.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use striate_fuzz::{close, fractions, is_small, level, nhwc, wide};
use striate_kernels::geometry::{SampleGeometry, SampleMode, SamplePadding};
use striate_kernels::sample;
use striate_kernels::view::{View, ViewMut};

#[derive(Arbitrary, Debug)]
struct Problem {
    input: [usize; 4],
    output: [usize; 2],
    mode: u8,
    padding: u8,
    align_corners: bool,
    /// Some of the places; the others lie on a lattice around the image.
    places: Vec<f32>,
    raw: bool,
    level: u8,
}

fuzz_target!(|problem: Problem| {
    let mut p = problem;
    if !p.raw {
        p.input = [p.input[0] % 3, p.input[1] % 40, p.input[2] % 20, p.input[3] % 20];
        p.output = p.output.map(|n| n % 20);
    }
    let mode = [SampleMode::Bilinear, SampleMode::Nearest, SampleMode::Bicubic][usize::from(p.mode % 3)];
    let padding =
        [SamplePadding::Zeros, SamplePadding::Border, SamplePadding::Reflection][usize::from(p.padding % 3)];
    let Ok(g) = SampleGeometry::new("grid_sample", p.input, p.output, mode, padding, p.align_corners) else {
        return;
    };
    let [x_len, y_len, grid_len] = [g.input(), g.output(), g.grid()].map(|shape| shape.iter().product());
    if !is_small(0.0, [x_len, y_len, grid_len]) {
        return;
    }
    let (level, ok) = (level(p.level), "the geometry's lengths");
    let (x, dy) = (fractions(x_len, 1), fractions(y_len, 2));
    // Sixteenths, away from the lines between pixels where the nearest pixel of a rounded place is another one.
    let mut grid: Vec<f32> = (0..grid_len).map(|i| (i * 37 % 61) as f32 / 16.0 - 1.9).collect();
    for (own, given) in grid.iter_mut().zip(&p.places) {
        *own = *given;
    }
    let places = View::nchw(&grid, g.grid()).expect(ok);
    let (mut y, mut dx, mut dgrid) = (vec![f32::NAN; y_len], vec![f32::NAN; x_len], vec![f32::NAN; grid_len]);
    let mut out = ViewMut::nhwc(&mut y, g.output()).expect(ok);
    sample::grid_sample(level, &g, &nhwc(&x, g.input()), &places, &mut out).expect(ok);
    let mut out = ViewMut::nhwc(&mut dx, g.input()).expect(ok);
    sample::grid_sample_backward_input(level, &g, &places, &nhwc(&dy, g.output()), &mut out).expect(ok);
    let mut out = ViewMut::nchw(&mut dgrid, g.grid()).expect(ok);
    let dy_view = nhwc(&dy, g.output());
    sample::grid_sample_backward_grid(level, &g, &nhwc(&x, g.input()), &places, &dy_view, &mut out).expect(ok);
    let finite = |v: &[f32]| v.iter().all(|v| v.is_finite());
    assert!(finite(&y) && finite(&dx), "places that are no numbers lie outside: {g:?}");
    if !p.places.is_empty() || mode == SampleMode::Nearest {
        return;
    }
    let (x, grid) = (wide(&x), wide(&grid));
    let mut exact = vec![f64::NAN; y_len];
    let mut out = ViewMut::nhwc(&mut exact, g.output()).expect(ok);
    let (x, places) = (View::nhwc(&x, g.input()).expect(ok), View::nchw(&grid, g.grid()).expect(ok));
    sample::grid_sample(level, &g, &x, &places, &mut out).expect(ok);
    // A place of an image of 20 pixels is rounded to 20 of its units.
    close("grid_sample", &g, 32, &y, &exact);
});
