//! Pooling on every level against the loops, and the loops against each other.

use super::*;
use crate::geometry::PoolWindow;
use crate::testing::{Random, assert_same_on_threads, to_f64, worst_error};
use crate::view::dense_strides;
use striate_simd::test_each_level;

/// A random window over a random image, often with padding, dilation and a last window that hangs over.
fn geometry(random: &mut Random) -> PoolGeometry {
    loop {
        let channels = [1, 3, 8, 15, 16, 17, 40, 64, 83][random.below(9)];
        let input = [
            random.below(3) + 1,
            channels,
            random.below(12) + 1,
            random.below(12) + 1,
        ];
        let mut pair = |n| [random.below(n) + 1, random.below(n) + 1];
        let (kernel, stride, dilation) = (pair(4), pair(3), pair(2));
        let reach = |a: usize| (kernel[a / 2] - 1) * dilation[a / 2] + 1;
        let padding = [0, 1, 2, 3].map(|a| random.below(reach(a) / 2 + 1));
        let ceil_mode = random.below(2) == 0;
        let window = PoolWindow {
            kernel,
            stride,
            padding,
            dilation,
            ceil_mode,
        };
        if let Ok(g) = PoolGeometry::new("pool", input, window) {
            return g;
        }
    }
}

fn cells(random: &mut Random) -> AdaptivePoolGeometry {
    let channels = [1, 8, 17, 64, 83][random.below(5)];
    let input = [
        random.below(3) + 1,
        channels,
        random.below(12) + 1,
        random.below(12) + 1,
    ];
    let output = [random.below(14) + 1, random.below(5) + 1];
    AdaptivePoolGeometry::new("pool", input, output).unwrap()
}

fn len(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

/// `[n, c, h, w]` of offset `i` in channels-last data.
fn place([_, c, h, w]: [usize; 4], i: usize) -> [usize; 4] {
    [i / (h * w * c), i % c, i / (w * c) % h, i / c % w]
}

test_each_level! {
    fn maxima_agree_with_the_loops(level: Level) {
        let mut random = Random::new(1);
        for _ in 0..150 {
            let g = geometry(&mut random);
            let (input, output) = (g.input(), g.output());
            // Whole numbers: many are equal, and the first must win.
            let mut x = random.integers(len(input));
            if random.below(3) == 0 {
                let i = random.below(x.len());
                x[i] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][random.below(3)];
            }
            let dy = random.integers(len(output));
            let x = View::nhwc(&x, input).unwrap();
            let run = |fast: bool| {
                let (mut y, mut taps) = (vec![7.0; len(output)], vec![9; len(output)]);
                let mut dx = vec![7.0; len(input)];
                {
                    let mut y = ViewMut::nhwc(&mut y, output).unwrap();
                    let mut taps = ViewMut::nhwc(&mut taps, output).unwrap();
                    if fast {
                        max(level, &g, &x, &mut y, Some(&mut taps)).unwrap();
                    } else {
                        reference::max(&g, &x, &mut y, Some(&mut taps));
                    }
                }
                let taps = View::nhwc(&taps, output).unwrap();
                let dy = View::nhwc(&dy, output).unwrap();
                let mut gradient = ViewMut::nhwc(&mut dx, input).unwrap();
                if fast {
                    max_backward(level, &g, &taps, &dy, &mut gradient).unwrap();
                } else {
                    reference::max_backward(&g, &taps, &dy, &mut gradient);
                }
                let bits: Vec<u32> = y.iter().map(|y| if y.is_nan() { 1 } else { y.to_bits() }).collect();
                (bits, taps.as_dense(Layout::Nhwc).unwrap().to_vec(), dx, y)
            };
            let (fast, slow) = (run(true), run(false));
            assert_eq!(fast.0, slow.0, "values of {g:?}");
            assert_eq!(fast.1, slow.1, "taps of {g:?}");
            assert_eq!(fast.2, slow.2, "gradients of {g:?}");
            // Without taps the values are the same.
            let mut y = vec![7.0; len(output)];
            max(level, &g, &x, &mut ViewMut::nhwc(&mut y, output).unwrap(), None).unwrap();
            assert!(y.iter().zip(&slow.3).all(|(a, b)| a == b || a.is_nan() && b.is_nan()));
            // From the input it is the same.
            let mut dx = vec![7.0; len(input)];
            let mut gradient = ViewMut::nhwc(&mut dx, input).unwrap();
            let dy = View::nhwc(&dy, output).unwrap();
            max_backward_from_input(level, &g, &x, &dy, &mut gradient).unwrap();
            assert_eq!(dx, slow.2, "gradients from the input of {g:?}");
        }
    }

    fn averages_agree_with_the_loops(level: Level) {
        let mut random = Random::new(2);
        for _ in 0..100 {
            let g = geometry(&mut random);
            let (input, output) = (g.input(), g.output());
            let x = random.floats(len(input));
            let dy = random.floats(len(output));
            for divisor in [Divisor::IncludePad, Divisor::ExcludePad, Divisor::Fixed(3)] {
                let mut y = vec![7.0; len(output)];
                let x_view = View::nhwc(&x, input).unwrap();
                average(level, &g, divisor, &x_view, &mut ViewMut::nhwc(&mut y, output).unwrap()).unwrap();
                let (x64, mut y64) = (to_f64(&x), vec![7.0; len(output)]);
                let x_view = View::nhwc(&x64, input).unwrap();
                average(level, &g, divisor, &x_view, &mut ViewMut::nhwc(&mut y64, output).unwrap()).unwrap();
                let worst = worst_error(&y, &y64, |_| 1.0);
                assert!(worst <= 30.0, "value of {g:?}: {worst} roundings");

                let mut dx = vec![7.0; len(input)];
                let dy_view = View::nhwc(&dy, output).unwrap();
                average_backward(level, &g, divisor, &dy_view, &mut ViewMut::nhwc(&mut dx, input).unwrap())
                    .unwrap();
                let (dy64, mut dx64) = (to_f64(&dy), vec![7.0; len(input)]);
                let dy_view = View::nhwc(&dy64, output).unwrap();
                average_backward(level, &g, divisor, &dy_view, &mut ViewMut::nhwc(&mut dx64, input).unwrap())
                    .unwrap();
                let worst = worst_error(&dx, &dx64, |_| 1.0);
                assert!(worst <= 30.0, "gradient of {g:?}: {worst} roundings");
                // The sum of y * dy is that of x * dx: the pass back is the adjoint.
                let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
                let (there, back) = (dot(&y64, &dy64), dot(&x64, &dx64));
                assert!((there - back).abs() < 1e-9 * (1.0 + there.abs()), "adjoint of {g:?}");
            }
        }
    }

    fn adaptive_pools_agree_with_the_loops(level: Level) {
        let mut random = Random::new(3);
        for _ in 0..80 {
            let g = cells(&mut random);
            let (input, output) = (g.input(), g.output());
            let x = random.integers(len(input));
            let dy = random.integers(len(output));
            let x_view = View::nhwc(&x, input).unwrap();
            let dy_view = View::nhwc(&dy, output).unwrap();
            let mut results = Vec::new();
            for fast in [true, false] {
                let (mut y, mut places) = (vec![7.0; len(output)], vec![9; len(output)]);
                let mut dx = vec![7.0; len(input)];
                {
                    let mut y = ViewMut::nhwc(&mut y, output).unwrap();
                    let mut places = ViewMut::nhwc(&mut places, output).unwrap();
                    if fast {
                        adaptive_max(level, &g, &x_view, &mut y, Some(&mut places)).unwrap();
                    } else {
                        reference::adaptive_max(&g, &x_view, &mut y, Some(&mut places));
                    }
                }
                let places_view = View::nhwc(&places, output).unwrap();
                let mut gradient = ViewMut::nhwc(&mut dx, input).unwrap();
                if fast {
                    adaptive_max_backward(level, &g, &places_view, &dy_view, &mut gradient).unwrap();
                } else {
                    reference::adaptive_max_backward(&g, &places_view, &dy_view, &mut gradient);
                }
                results.push((y, places, dx));
            }
            assert_eq!(results[0], results[1], "maximum of {g:?}");

            let (mut y, mut dx) = (vec![7.0; len(output)], vec![7.0; len(input)]);
            let mut y_view = ViewMut::nhwc(&mut y, output).unwrap();
            adaptive_average(level, &g, &x_view, &mut y_view).unwrap();
            let mut dx_view = ViewMut::nhwc(&mut dx, input).unwrap();
            adaptive_average_backward(level, &g, &dy_view, &mut dx_view).unwrap();
            let (x64, dy64) = (to_f64(&x), to_f64(&dy));
            let (mut y64, mut dx64) = (vec![7.0; len(output)], vec![7.0; len(input)]);
            let mut y_view = ViewMut::nhwc(&mut y64, output).unwrap();
            adaptive_average(level, &g, &View::nhwc(&x64, input).unwrap(), &mut y_view).unwrap();
            let mut dx_view = ViewMut::nhwc(&mut dx64, input).unwrap();
            adaptive_average_backward(level, &g, &View::nhwc(&dy64, output).unwrap(), &mut dx_view).unwrap();
            assert!(worst_error(&y, &y64, |_| 3.0) <= 8.0, "average of {g:?}");
            assert!(worst_error(&dx, &dx64, |_| 3.0) <= 60.0, "gradient of the average of {g:?}");
        }
    }

    fn layouts_agree(level: Level) {
        let mut random = Random::new(4);
        for _ in 0..20 {
            let g = geometry(&mut random);
            let (input, output) = (g.input(), g.output());
            let last = random.integers(len(input));
            let mut first = vec![0.0; last.len()];
            let strides = dense_strides(input, Layout::Nchw);
            for (i, &x) in last.iter().enumerate() {
                let at = place(input, i);
                first[(0..4).map(|d| at[d] * strides[d]).sum::<usize>()] = x;
            }
            let mut y = [vec![0.0; len(output)], vec![0.0; len(output)]];
            let [a, b] = &mut y;
            let x = View::nhwc(&last, input).unwrap();
            max(level, &g, &x, &mut ViewMut::nhwc(a, output).unwrap(), None).unwrap();
            let x = View::nchw(&first, input).unwrap();
            max(level, &g, &x, &mut ViewMut::nhwc(b, output).unwrap(), None).unwrap();
            assert_eq!(y[0], y[1], "{g:?}");
        }
    }

    fn threads_do_not_change_bits(level: Level) {
        let window = PoolWindow { padding: [1; 4], ..PoolWindow::new(3, 2) };
        let g = PoolGeometry::new("pool", [3, 40, 61, 59], window).unwrap();
        let x = Random::new(5).floats(len(g.input()));
        assert_same_on_threads(|| {
            let (mut y, mut dx) = (vec![0.0; len(g.output())], vec![0.0; len(g.input())]);
            let x = View::nhwc(&x, g.input()).unwrap();
            let mut view = ViewMut::nhwc(&mut y, g.output()).unwrap();
            average(level, &g, Divisor::ExcludePad, &x, &mut view).unwrap();
            let dy = View::nhwc(&y, g.output()).unwrap();
            let mut view = ViewMut::nhwc(&mut dx, g.input()).unwrap();
            average_backward(level, &g, Divisor::ExcludePad, &dy, &mut view).unwrap();
            [y, dx].concat()
        });
    }

    fn nothing_to_pool(level: Level) {
        for input in [[0, 16, 4, 4], [2, 0, 4, 4]] {
            let g = PoolGeometry::new("pool", input, PoolWindow::new(2, 2)).unwrap();
            let x = View::nhwc(&[0.0_f32; 0], input).unwrap();
            max(level, &g, &x, &mut ViewMut::nhwc(&mut [], g.output()).unwrap(), None).unwrap();
            let dy = View::nhwc(&[0.0_f32; 0], g.output()).unwrap();
            let mut dx = ViewMut::nhwc(&mut [], input).unwrap();
            average_backward(level, &g, Divisor::IncludePad, &dy, &mut dx).unwrap();
        }
        // An image without rows, and padding enough for a window.
        let window = PoolWindow { padding: [1, 1, 0, 0], ..PoolWindow::new(2, 1) };
        let g = PoolGeometry::new("pool", [1, 8, 0, 2], window).unwrap();
        assert_eq!(g.output(), [1, 8, 1, 1]);
        let (mut y, mut taps) = ([1.0_f32; 8], [0; 8]);
        let mut taps_view = ViewMut::nhwc(&mut taps, g.output()).unwrap();
        let x = View::nhwc(&[], g.input()).unwrap();
        max(level, &g, &x, &mut ViewMut::nhwc(&mut y, g.output()).unwrap(), Some(&mut taps_view)).unwrap();
        assert_eq!((y, taps), ([f32::NEG_INFINITY; 8], [NO_TAP; 8]));
        average(level, &g, Divisor::ExcludePad, &x, &mut ViewMut::nhwc(&mut y, g.output()).unwrap()).unwrap();
        assert_eq!(y, [0.0; 8]);
    }
}

#[test]
fn output_sizes_are_those_of_pytorch() {
    // kernel, stride, padding, dilation, ceil, input -> output
    let cases = [
        (3, 2, 1, 1, false, 112, 56),
        (2, 2, 0, 1, false, 7, 3),
        (2, 2, 0, 1, true, 7, 4),
        (3, 2, 0, 1, true, 6, 3),
        (3, 2, 1, 1, true, 6, 4),
        // The last window would start in the padding at the end.
        (2, 2, 1, 1, true, 3, 2),
        (1, 3, 0, 1, true, 5, 2),
        (3, 1, 1, 2, false, 5, 3),
    ];
    for (kernel, stride, pad, dilation, ceil_mode, input, output) in cases {
        let window = PoolWindow {
            padding: [pad; 4],
            dilation: [dilation; 2],
            ceil_mode,
            ..PoolWindow::new(kernel, stride)
        };
        let g = PoolGeometry::new("pool", [1, 1, input, input], window).unwrap();
        assert_eq!(
            g.output(),
            [1, 1, output, output],
            "{window:?} over {input}"
        );
    }
}

#[test]
fn averages_count_what_pytorch_counts() {
    // torch.nn.functional.avg_pool2d(torch.arange(1., 6.).view(1, 1, 1, 5), (1, 3), 2, (0, 1), ceil_mode=True, ...)
    let window = PoolWindow {
        kernel: [1, 3],
        stride: [1, 2],
        padding: [0, 0, 1, 1],
        dilation: [1, 1],
        ceil_mode: true,
    };
    let g = PoolGeometry::new("avg_pool2d", [1, 1, 1, 5], window).unwrap();
    let x = View::nchw(&[1.0, 2.0, 3.0, 4.0, 5.0], g.input()).unwrap();
    let of = |divisor| {
        let mut y = [0.0; 3];
        let mut view = ViewMut::nchw(&mut y, g.output()).unwrap();
        average(Level::detect(), &g, divisor, &x, &mut view).unwrap();
        y
    };
    assert_eq!(of(Divisor::IncludePad), [1.0, 3.0, 3.0]);
    assert_eq!(of(Divisor::ExcludePad), [1.5, 3.0, 4.5]);
    assert_eq!(of(Divisor::Fixed(2)), [1.5, 4.5, 4.5]);
}

#[test]
fn impossible_windows_are_refused() {
    let window = PoolWindow::new(3, 1);
    let huge = usize::MAX;
    let refused = |input, window, rule: &str| {
        let error = PoolGeometry::new("pool", input, window).unwrap_err();
        assert!(error.to_string().contains(rule), "{window:?}: {error}");
    };
    let small = [1, 1, 5, 5];
    let positive = "must be positive";
    let stride = [0, 1];
    refused(small, PoolWindow { stride, ..window }, positive);
    let dilation = [1, 0];
    refused(small, PoolWindow { dilation, ..window }, positive);
    let kernel = [0, 1];
    refused(small, PoolWindow { kernel, ..window }, positive);
    let padding = [2; 4];
    refused(small, PoolWindow { padding, ..window }, "at most half");
    let padding = [huge; 4];
    refused(small, PoolWindow { padding, ..window }, "at most half");
    let kernel = [huge, 3];
    refused(small, PoolWindow { kernel, ..window }, "address space");
    let dilation = [huge, 3];
    refused(small, PoolWindow { dilation, ..window }, "address space");
    refused([1, 1, 2, 5], window, "not be larger than the padded input");
    refused([huge, 0, 5, 5], window, "address space");

    let far = PoolWindow {
        stride: [huge; 2],
        ceil_mode: true,
        ..window
    };
    assert!(PoolGeometry::new("pool", small, far).is_ok());
    assert!(AdaptivePoolGeometry::new("pool", [1, 1, 0, 5], [1, 1]).is_err());
    assert!(AdaptivePoolGeometry::new("pool", small, [huge, 1]).is_err());
    assert!(AdaptivePoolGeometry::new("pool", [0, 1, 5, 5], [2, 2]).is_ok());
}

#[test]
fn a_large_window_has_no_recorded_taps() {
    let level = Level::detect();
    let g = PoolGeometry::new("pool", [1, 1, 16, 16], PoolWindow::new(16, 1)).unwrap();
    assert!(!taps_fit(&g));
    let x: Vec<f64> = (0..256).map(|i| f64::from(i * 37 % 256)).collect();
    let x = View::nchw(&x, g.input()).unwrap();
    let (mut y, mut taps) = ([0.0], [0]);
    let mut y = ViewMut::nchw(&mut y, g.output()).unwrap();
    let mut taps = ViewMut::nchw(&mut taps, g.output()).unwrap();
    assert!(max(level, &g, &x, &mut y, Some(&mut taps)).is_err());
    max(level, &g, &x, &mut y, None).unwrap();
    assert_eq!(y.at(0, 0, 0, 0), 255.0);
    let mut dx = [0.0; 256];
    let dy = View::nchw(&[2.0], g.output()).unwrap();
    let mut view = ViewMut::nchw(&mut dx, g.input()).unwrap();
    max_backward_from_input(level, &g, &x, &dy, &mut view).unwrap();
    assert_eq!((dx.iter().sum::<f64>(), dx[83]), (2.0, 2.0));
}

#[test]
fn wrong_shapes_are_refused() {
    let level = Level::detect();
    let g = PoolGeometry::new("pool", [1, 2, 4, 4], PoolWindow::new(2, 2)).unwrap();
    let data = [0.0_f32; 64];
    let wrong = View::nchw(&data[..18], [1, 2, 3, 3]).unwrap();
    let right = View::nchw(&data[..32], g.input()).unwrap();
    let mut y = [0.0; 8];
    let mut y = ViewMut::nchw(&mut y, g.output()).unwrap();
    assert!(max(level, &g, &wrong, &mut y, None).is_err());
    assert!(average(level, &g, Divisor::Fixed(0), &right, &mut y).is_err());
    assert!(average(level, &g, Divisor::IncludePad, &right, &mut y).is_ok());
}
