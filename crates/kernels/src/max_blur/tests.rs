//! Blurred maxima on every level against the loops.

use super::*;
use crate::testing::{Random, assert_same_on_threads, to_f64, worst_error};
use striate_simd::test_each_level;

fn geometry(random: &mut Random) -> MaxBlurGeometry {
    loop {
        let channels = [1, 3, 8, 17, 64, 83][random.below(6)];
        let mut pair = |least, n| [least + random.below(n), least + random.below(n)];
        let ([n, dilated], size) = (pair(1, 2), pair(1, 14));
        let window = PoolWindow {
            kernel: pair(1, 4),
            stride: if dilated == 1 { pair(1, 2) } else { [1; 2] },
            padding: [random.below(2), random.below(2), 0, random.below(2)],
            dilation: [dilated; 2],
            ceil_mode: random.below(2) == 0,
        };
        let modes = [PadMode::Reflect, PadMode::Replicate, PadMode::Zeros];
        let mut pair = |least, n| [least + random.below(n), least + random.below(n)];
        let (taps, stride, extra) = (pair(1, 7), pair(1, 3), pair(0, 3));
        let (input, mode) = ([n, channels, size[0], size[1]], modes[random.below(3)]);
        if let Ok(g) = MaxBlurGeometry::new("max blur", input, window, taps, stride, extra, mode) {
            return g;
        }
    }
}

fn len(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

/// Values without and with a record of the taps, and gradients.
fn run<R: Real>(level: Level, g: &MaxBlurGeometry, x: &[R], dy: &[R]) -> [Vec<R>; 3] {
    let new = |shape| vec![R::NAN; len(shape)];
    let [mut plain, mut y, mut dx] = [g.output(), g.output(), g.input()].map(new);
    let mut taps = vec![0; len(g.maxima())];
    let x = View::nhwc(x, g.input()).unwrap();
    let dy = View::nhwc(dy, g.output()).unwrap();
    let mut taps = ViewMut::nhwc(&mut taps, g.maxima()).unwrap();
    let plain_view = &mut ViewMut::nhwc(&mut plain, g.output()).unwrap();
    let y_view = &mut ViewMut::nhwc(&mut y, g.output()).unwrap();
    let dx_view = &mut ViewMut::nhwc(&mut dx, g.input()).unwrap();
    forward(level, g, &x, plain_view, None).unwrap();
    forward(level, g, &x, y_view, Some(&mut taps)).unwrap();
    backward(level, g, &taps.as_view(), &dy, dx_view).unwrap();
    [plain, y, dx]
}

test_each_level! {
    fn blurred_maxima_agree_with_the_loops(level: Level) {
        let mut random = Random::new(1);
        for _ in 0..150 {
            let g = geometry(&mut random);
            let (x, dy) = (random.floats(len(g.input())), random.floats(len(g.output())));
            let all = run(level, &g, &x, &dy);
            assert_eq!(all[0], all[1], "with and without a record: {g:?}");
            let exact = run(level, &g, &to_f64(&x), &to_f64(&dy));
            for (which, (got, exact)) in all.iter().zip(&exact).enumerate() {
                let worst = worst_error(got, exact, |_| [1.0, 1.0, 16.0][which]);
                assert!(worst <= 12.0, "{g:?}, result {which}: {worst} roundings");
            }
        }
    }

    fn threads_do_not_change_blurred_maxima(level: Level) {
        let mut random = Random::new(2);
        for mode in [PadMode::Reflect, PadMode::Replicate, PadMode::Zeros] {
            let (window, input) = (PoolWindow::new(2, 1), [2, 70, 61, 57]);
            let (taps, stride) = ([4, 7], [2, 3]);
            let g = MaxBlurGeometry::new("max blur", input, window, taps, stride, [0; 2], mode).unwrap();
            let (x, dy) = (random.floats(len(g.input())), random.floats(len(g.output())));
            assert_same_on_threads(|| run(level, &g, &x, &dy).concat());
        }
    }
}

#[test]
fn what_is_not_a_number_stays_so() {
    let level = Level::detect();
    let (window, input) = (PoolWindow::new(2, 1), [1, 16, 9, 8]);
    let new = |taps| {
        let (stride, mode) = ([2; 2], PadMode::Reflect);
        MaxBlurGeometry::new("max blur", input, window, [taps; 2], stride, [0; 2], mode)
    };
    let g = new(3).unwrap();
    let mut x = Random::new(3).floats(len(input));
    x[(4 * 8 + 3) * 16 + 5] = f32::NAN;
    let dy = vec![1.0; len(g.output())];
    let [plain, y, _] = run(level, &g, &x, &dy);
    for y in [plain, y] {
        let (channels, others): (Vec<_>, Vec<_>) =
            (0..y.len()).partition(|i| i % 16 == 5 && y[*i].is_nan());
        // Maxima of two rows and columns, which two outputs of three taps each are made of.
        assert_eq!(channels.len(), 4);
        assert!(others.iter().all(|&i| y[i].is_finite()));
    }
    assert!(new(8).is_err() && new(0).is_err());
    let wide = MaxBlurGeometry::new(
        "max blur",
        [1, 1, 20, 20],
        PoolWindow::new(16, 1),
        [3; 2],
        [2; 2],
        [0; 2],
        PadMode::Reflect,
    );
    assert!(wide.is_err(), "taps that a byte cannot tell apart");
}
