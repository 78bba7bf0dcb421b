//! Sampling on every level against the loops, and the loops against what sampling must keep.

use super::*;
use crate::geometry::{SampleMode, SamplePadding};
use crate::testing::{Random, assert_same_on_threads, to_f64, worst_error};
use striate_simd::test_each_level;

const MODES: [SampleMode; 3] = [
    SampleMode::Bilinear,
    SampleMode::Nearest,
    SampleMode::Bicubic,
];
const PADDINGS: [SamplePadding; 3] = [
    SamplePadding::Zeros,
    SamplePadding::Border,
    SamplePadding::Reflection,
];

/// Every mode with every padding.
fn ways() -> impl Iterator<Item = (SampleMode, SamplePadding, bool)> + Clone {
    (0..18).map(|i| (MODES[i % 3], PADDINGS[i / 3 % 3], i / 9 == 0))
}

fn len(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

/// Values and both gradients.
fn run<R: Real>(level: Level, g: &SampleGeometry, x: &[R], grid: &[R], dy: &[R]) -> [Vec<R>; 3] {
    let nhwc = |data, shape| View::nhwc(data, shape).unwrap();
    let (x, dy) = (nhwc(x, g.input()), nhwc(dy, g.output()));
    let grid = View::nchw(grid, g.grid()).unwrap();
    let mut y = vec![R::NAN; len(g.output())];
    grid_sample(
        level,
        g,
        &x,
        &grid,
        &mut ViewMut::nhwc(&mut y, g.output()).unwrap(),
    )
    .unwrap();
    let mut dx = vec![R::NAN; len(g.input())];
    let view = &mut ViewMut::nhwc(&mut dx, g.input()).unwrap();
    grid_sample_backward_input(level, g, &grid, &dy, view).unwrap();
    let mut dgrid = vec![R::NAN; len(g.grid())];
    let view = &mut ViewMut::nchw(&mut dgrid, g.grid()).unwrap();
    grid_sample_backward_grid(level, g, &x, &grid, &dy, view).unwrap();
    [y, dx, dgrid]
}

test_each_level! {
    fn sampling_agrees_with_the_loops(level: Level) {
        let mut random = Random::new(1);
        for (mode, padding, corners) in ways().cycle().take(90) {
            let channels = [1, 3, 8, 17, 40, 64, 83][random.below(7)];
            let mut size = |n| random.below(n) + 1;
            let (input, output) = ([size(3), channels, size(7), size(7)], [size(9), size(9)]);
            let g = SampleGeometry::new("sample", input, output, mode, padding, corners).unwrap();
            let (x, dy) = (random.floats(len(input)), random.floats(len(g.output())));
            let mut grid: Vec<f32> = (0..len(g.grid())).map(|_| random.uniform(-2.2, 2.2) as f32).collect();
            if let Some(place) = grid.get_mut(4) {
                *place = [f32::NAN, f32::INFINITY, 1e30, -1.0][random.below(4)];
            }
            let [y, dx, dgrid] = run(level, &g, &x, &grid, &dy);
            let [exact_y, exact_dx, exact_dgrid] = run(level, &g, &to_f64(&x), &to_f64(&grid), &to_f64(&dy));
            let worst = worst_error(&y, &exact_y, |_| 2.0);
            assert!(worst <= 12.0, "{g:?}: {worst} roundings");
            let places = (output[0] * output[1]) as f64;
            let worst = worst_error(&dx, &exact_dx, |_| 2.0 * places);
            assert!(worst <= 12.0, "gradient by x of {g:?}: {worst} roundings");
            let worst = worst_error(&dgrid, &exact_dgrid, |_| 20.0 * channels as f64);
            assert!(worst <= 12.0, "gradient by places of {g:?}: {worst} roundings");
        }
    }

    fn threads_change_nothing(level: Level) {
        let mut random = Random::new(2);
        for (mode, padding, corners) in ways() {
            let g = SampleGeometry::new("sample", [2, 70, 13, 11], [23, 24], mode, padding, corners).unwrap();
            let (x, dy) = (random.floats(len(g.input())), random.floats(len(g.output())));
            let grid: Vec<f32> = (0..len(g.grid())).map(|_| random.uniform(-1.2, 1.2) as f32).collect();
            assert_same_on_threads(|| run(level, &g, &x, &grid, &dy).concat());
        }
    }
}

/// Samples one line of pixels.
fn sampled(x: &[f64], places: &[f64], way: (SampleMode, SamplePadding, bool)) -> Vec<f64> {
    let (input, output) = ([1, 1, 1, x.len()], [1, places.len()]);
    let g = SampleGeometry::new("sample", input, output, way.0, way.1, way.2).unwrap();
    let grid: Vec<f64> = places.iter().flat_map(|&x| [x, 0.0]).collect();
    let level = Level::available()[0];
    let [y, ..] = run(level, &g, x, &grid, &vec![1.0; places.len()]);
    y
}

#[test]
fn outside_is_what_the_padding_says() {
    let x = [1.0, 2.0, 4.0, 8.0];
    // Pixels -1.5, -1, -0.5, 0, 3, 3.5, 4 and 4.5, and nothing.
    let at = |pixel: f64| (2.0 * pixel + 1.0) / 4.0 - 1.0;
    let places = [
        at(-1.5),
        at(-1.0),
        at(-0.5),
        at(0.0),
        at(3.0),
        at(3.5),
        at(4.0),
        f64::NAN,
    ];
    let values = |padding| sampled(&x, &places, (SampleMode::Bilinear, padding, false));
    assert_eq!(
        values(SamplePadding::Zeros),
        [0.0, 0.0, 0.5, 1.0, 8.0, 4.0, 0.0, 0.0]
    );
    assert_eq!(
        values(SamplePadding::Border),
        [1.0, 1.0, 1.0, 1.0, 8.0, 8.0, 8.0, 1.0]
    );
    assert_eq!(
        values(SamplePadding::Reflection),
        [1.5, 1.0, 1.0, 1.0, 8.0, 8.0, 8.0, 1.0]
    );
    let corners = [-1.0, -1.0 / 3.0, 0.0, 1.0, 5.0 / 3.0];
    let values = sampled(
        &x,
        &corners,
        (SampleMode::Bilinear, SamplePadding::Reflection, true),
    );
    let expected = [1.0, 2.0, 3.0, 8.0, 4.0];
    assert!(
        values
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < 1e-12),
        "{values:?}"
    );
    // Halfway between two pixels the even one is nearest.
    let halves = [at(0.5), at(1.5), at(2.5)];
    assert_eq!(
        sampled(
            &x,
            &halves,
            (SampleMode::Nearest, SamplePadding::Zeros, false)
        ),
        [1.0, 4.0, 4.0]
    );
}

#[test]
fn an_image_is_sampled_at_its_own_pixels_as_it_is() {
    let x = [1.0, -2.0, 4.0, 0.5, 3.0];
    for (mode, padding, corners) in ways() {
        let place = |i: usize| {
            if corners {
                i as f64 / 2.0 - 1.0
            } else {
                (2 * i + 1) as f64 / 5.0 - 1.0
            }
        };
        let y = sampled(&x, &[0, 1, 2, 3, 4].map(place), (mode, padding, corners));
        assert!(
            y.iter().zip(x).all(|(a, b)| (a - b).abs() < 1e-12),
            "{mode:?} {padding:?}: {y:?}"
        );
    }
}

#[test]
fn nothing_is_sampled_from_nothing() {
    let new =
        |input, output| SampleGeometry::new("sample", input, output, MODES[0], PADDINGS[0], false);
    assert!(new([1, 1, 0, 3], [2, 2]).is_err());
    assert!(new([1, 1, 2, 3], [usize::MAX, 2]).is_err());
    for level in Level::available() {
        // No places: no gradients. No channels: none either.
        let g = new([1, 2, 2, 3], [4, 0]).unwrap();
        assert_eq!(run(level, &g, &[1.0_f32; 12], &[], &[])[1], [0.0; 12]);
        let g = new([1, 0, 2, 3], [1, 2]).unwrap();
        assert_eq!(run(level, &g, &[], &[0.5_f32; 4], &[])[2], [0.0; 4]);
    }
}
