//! Resizing on every level against the loops, and the loops against worked values.

use super::*;
use crate::geometry::Interpolation;
use crate::testing::{Random, assert_same_on_threads, to_f64, worst_error};
use striate_simd::test_each_level;

const WAYS: [Interpolation; 5] = [
    Interpolation::Nearest,
    Interpolation::Bilinear {
        align_corners: false,
    },
    Interpolation::Bilinear {
        align_corners: true,
    },
    Interpolation::Bicubic {
        align_corners: false,
    },
    Interpolation::Bicubic {
        align_corners: true,
    },
];

fn geometry(random: &mut Random) -> ResizeGeometry {
    let channels = [1, 3, 8, 17, 64, 83, 130][random.below(7)];
    let mut pair = |n| [random.below(n) + 1, random.below(n) + 1];
    let ([n, h], [w, _], output) = (pair(9), pair(9), pair(20));
    ResizeGeometry::new(
        "resize",
        [n.min(3), channels, h, w],
        output,
        WAYS[random.below(5)],
    )
    .unwrap()
}

fn len(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

/// Values and gradients of one layout.
fn run<R: Real>(
    level: Level,
    g: &ResizeGeometry,
    layout: Layout,
    x: &[R],
    dy: &[R],
) -> [Vec<R>; 2] {
    let (input, output) = (g.input(), g.output());
    let (mut y, mut dx) = (vec![R::NAN; len(output)], vec![R::NAN; len(input)]);
    let x = View::dense(x, input, layout).unwrap();
    resize(
        level,
        g,
        &x,
        &mut ViewMut::dense(&mut y, output, layout).unwrap(),
    )
    .unwrap();
    let dy = View::dense(dy, output, layout).unwrap();
    resize_backward(
        level,
        g,
        &dy,
        &mut ViewMut::dense(&mut dx, input, layout).unwrap(),
    )
    .unwrap();
    [y, dx]
}

test_each_level! {
    fn resizing_agrees_with_the_loops(level: Level) {
        let mut random = Random::new(1);
        for _ in 0..200 {
            let g = geometry(&mut random);
            let (x, dy) = (random.floats(len(g.input())), random.floats(len(g.output())));
            for layout in [Layout::Nhwc, Layout::Nchw] {
                let [y, dx] = run(level, &g, layout, &x, &dy);
                let [exact_y, exact_dx] = run(level, &g, layout, &to_f64(&x), &to_f64(&dy));
                let worst = worst_error(&y, &exact_y, |_| 1.0);
                assert!(worst <= 12.0, "{g:?} {layout:?}: {worst} roundings");
                // Each input is in some outputs, with weights of at most 1.3 each.
                let [_, _, h, w] = g.input();
                let [_, _, oh, ow] = g.output();
                let outputs = 25.0 * (oh.div_ceil(h) * ow.div_ceil(w)) as f64;
                let worst = worst_error(&dx, &exact_dx, |_| outputs);
                assert!(worst <= 12.0, "gradient of {g:?} {layout:?}: {worst} roundings");
            }
        }
    }

    fn threads_change_nothing(level: Level) {
        let mut random = Random::new(2);
        for way in WAYS {
            let g = ResizeGeometry::new("resize", [2, 70, 33, 31], [47, 65], way).unwrap();
            let (x, dy) = (random.floats(len(g.input())), random.floats(len(g.output())));
            assert_same_on_threads(|| run(level, &g, Layout::Nhwc, &x, &dy).concat());
        }
    }

    fn no_place_is_moved_without_a_change_of_size(level: Level) {
        let mut random = Random::new(3);
        let x = random.floats(2 * 20 * 5 * 7);
        for way in WAYS {
            let g = ResizeGeometry::new("resize", [2, 20, 5, 7], [5, 7], way).unwrap();
            let [y, dx] = run(level, &g, Layout::Nhwc, &x, &x);
            assert_eq!((&y, &dx), (&x, &x), "{way:?}");
        }
    }
}

/// Resizes a line of pixels.
fn resized(x: &[f64], size: usize, way: Interpolation) -> Vec<f64> {
    let g = ResizeGeometry::new("resize", [1, 1, 1, x.len()], [1, size], way).unwrap();
    let mut y = vec![0.0; size];
    let x = View::nchw(x, g.input()).unwrap();
    reference::sum(
        &Plan::of_resize(&g),
        &x,
        &mut ViewMut::nchw(&mut y, g.output()).unwrap(),
    );
    y
}

#[test]
fn places_are_those_of_pytorch() {
    let x = [1.0, 2.0, 4.0];
    let [nearest, edges, corners, cubic, cubic_corners] = WAYS.map(|way| resized(&x, 5, way));
    assert_eq!(nearest, [1.0, 1.0, 2.0, 2.0, 4.0]);
    assert_eq!(corners, [1.0, 1.5, 2.0, 3.0, 4.0]);
    // torch.nn.functional.interpolate in double precision.
    let close = |got: &[f64], expected: &[f64]| {
        got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12)
    };
    assert!(close(&edges, &[1.0, 1.4, 2.0, 3.2, 4.0]), "{edges:?}");
    assert!(
        close(&cubic, &[0.904, 1.244, 2.0, 3.296, 4.192]),
        "{cubic:?}"
    );
    assert!(
        close(&cubic_corners, &[1.0, 1.3125, 2.0, 3.09375, 4.0]),
        "{cubic_corners:?}"
    );
    assert_eq!(resized(&x, 1, WAYS[2]), [1.0], "the first corner");
    assert_eq!(resized(&x, 1, WAYS[1]), [2.0], "the middle");
}

#[test]
fn nothing_is_made_of_nothing() {
    let way = Interpolation::Bilinear {
        align_corners: false,
    };
    assert!(ResizeGeometry::new("resize", [1, 1, 0, 3], [2, 2], way).is_err());
    assert!(ResizeGeometry::new("resize", [1, 1, 2, 3], [usize::MAX, 2], way).is_err());
    for level in Level::available() {
        // No outputs: no gradients. No pixels: no outputs either.
        let g = ResizeGeometry::new("resize", [1, 2, 2, 3], [4, 0], way).unwrap();
        assert_eq!(
            run(level, &g, Layout::Nhwc, &[1.0_f32; 12], &[])[1],
            [0.0; 12]
        );
        let g = ResizeGeometry::new("resize", [1, 2, 0, 3], [4, 0], way).unwrap();
        assert!(run::<f32>(level, &g, Layout::Nhwc, &[], &[])[0].is_empty());
    }
}
