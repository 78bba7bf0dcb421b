//! Blurring on every level against a naive restatement: pad, then slide the filter.

use super::*;
use crate::geometry::PadMode;
use crate::testing::{Random, assert_same_on_threads, to_f64, worst_error};
use striate_simd::test_each_level;

const PADDINGS: [PadMode; 3] = [PadMode::Reflect, PadMode::Replicate, PadMode::Zeros];

/// Rows of Pascal's triangle.
const BINOMIAL: [&[f64]; 7] = [
    &[1.0],
    &[1.0, 1.0],
    &[1.0, 2.0, 1.0],
    &[1.0, 3.0, 3.0, 1.0],
    &[1.0, 4.0, 6.0, 4.0, 1.0],
    &[1.0, 5.0, 10.0, 10.0, 5.0, 1.0],
    &[1.0, 6.0, 15.0, 20.0, 15.0, 6.0, 1.0],
];

/// A problem as its user states it.
#[derive(Clone, Copy, Debug)]
struct Problem {
    input: [usize; 4],
    taps: [usize; 2],
    stride: [usize; 2],
    extra: [usize; 2],
    padding: PadMode,
}

impl Problem {
    fn random(random: &mut Random) -> Self {
        let channels = [1, 3, 8, 17, 64, 83][random.below(6)];
        let mut pair = |least, n| [least + random.below(n), least + random.below(n)];
        let ([n, _], [h, w]) = (pair(1, 2), pair(6, 7));
        Self {
            input: [n, channels, h, w],
            taps: pair(1, 7),
            stride: pair(1, 3),
            extra: pair(0, 3),
            padding: PADDINGS[random.below(3)],
        }
    }

    fn geometry(&self) -> Result<BlurGeometry, crate::geometry::GeometryError> {
        let (taps, stride, extra) = (self.taps, self.stride, self.extra);
        BlurGeometry::new("blur", self.input, taps, stride, extra, self.padding)
    }

    /// The value of a padded image.
    fn padded(&self, x: &View<'_, f64>, [n, c]: [usize; 2], at: [isize; 2]) -> f64 {
        let mut place = [0; 2];
        for axis in 0..2 {
            let len = self.input[2 + axis] as isize;
            let outside = at[axis] < 0 || at[axis] >= len;
            let inside = match self.padding {
                PadMode::Zeros if outside => return 0.0,
                PadMode::Zeros => at[axis],
                PadMode::Replicate => at[axis].min(len - 1).max(0),
                // A triangle wave.
                PadMode::Reflect => (len - 1) - (len - 1 - at[axis].abs()).abs(),
            };
            place[axis] = inside as usize;
        }
        x.at(n, c, place[0], place[1])
    }

    /// The sums as they are written down, `[n, c, oh, ow]`.
    fn naive(&self, x: &[f64], output: [usize; 4]) -> Vec<f64> {
        let (x, [n, c, h, w]) = (View::nhwc(x, self.input).unwrap(), output);
        let mut y = vec![0.0; n * c * h * w];
        let filters = self.taps.map(|n| BINOMIAL[n - 1]);
        let sums = filters.map(|f| f.iter().sum::<f64>());
        for (i, y) in y.iter_mut().enumerate() {
            let (channel, image) = (i % c, i / c / w / h);
            let place = [i / c / w % h, i / c % w];
            for (p, row) in filters[0].iter().enumerate() {
                for (q, column) in filters[1].iter().enumerate() {
                    let at = [0, 1].map(|axis| {
                        let before = (self.taps[axis] - 1) / 2 + self.extra[axis];
                        (place[axis] * self.stride[axis] + [p, q][axis]) as isize - before as isize
                    });
                    *y += row / sums[0] * column / sums[1] * self.padded(&x, [image, channel], at);
                }
            }
        }
        y
    }
}

fn len(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

/// Values and gradients.
fn run<R: Real>(level: Level, g: &BlurGeometry, x: &[R], dy: &[R]) -> [Vec<R>; 2] {
    let (input, output) = (g.input(), g.output());
    let (mut y, mut dx) = (vec![R::NAN; len(output)], vec![R::NAN; len(input)]);
    let view = &mut ViewMut::nhwc(&mut y, output).unwrap();
    blur(level, g, &View::nhwc(x, input).unwrap(), view).unwrap();
    let view = &mut ViewMut::nhwc(&mut dx, input).unwrap();
    blur_backward(level, g, &View::nhwc(dy, output).unwrap(), view).unwrap();
    [y, dx]
}

test_each_level! {
    fn filters_agree_with_the_naive_sums(level: Level) {
        let mut random = Random::new(1);
        for _ in 0..150 {
            let problem = Problem::random(&mut random);
            // The image may be too small to be reflected.
            let Ok(g) = problem.geometry() else { continue };
            let (x, dy) = (random.floats(len(g.input())), random.floats(len(g.output())));
            let [y, dx] = run(level, &g, &x, &dy);
            let exact = problem.naive(&to_f64(&x), g.output());
            let worst = worst_error(&y, &exact, |_| 1.0);
            assert!(worst <= 12.0, "{problem:?}: {worst} roundings");
            // The way back is the transposed of the way there.
            let [_, exact_dx] = run(level, &g, &to_f64(&x), &to_f64(&dy));
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let (there, back) = (dot(&exact, &to_f64(&dy)), dot(&to_f64(&x), &exact_dx));
            let scale = 1.0 + len(g.input()) as f64 + len(g.output()) as f64;
            assert!((there - back).abs() < 1e-12 * scale, "{problem:?}: {there} and {back}");
            let worst = worst_error(&dx, &exact_dx, |_| 8.0);
            assert!(worst <= 12.0, "gradient of {problem:?}: {worst} roundings");
        }
    }

    fn threads_do_not_change_a_blurred_image(level: Level) {
        let mut random = Random::new(2);
        for padding in PADDINGS {
            let (taps, stride) = ([4, 7], [2, 3]);
            let g = BlurGeometry::new("blur", [2, 70, 61, 57], taps, stride, [0; 2], padding).unwrap();
            let (x, dy) = (random.floats(len(g.input())), random.floats(len(g.output())));
            assert_same_on_threads(|| run(level, &g, &x, &dy).concat());
        }
    }
}

#[test]
fn geometries_that_cannot_be_are_refused() {
    let new = |h, n, stride, extra, padding| {
        BlurGeometry::new(
            "blur",
            [1, 2, h, 9],
            [n, 3],
            [stride, 1],
            [extra, 0],
            padding,
        )
    };
    for (h, n, stride, extra, padding) in [
        (8, 0, 1, 0, PadMode::Zeros),
        (8, 8, 1, 0, PadMode::Zeros),
        (8, 3, 0, 0, PadMode::Zeros),
        (0, 3, 1, 0, PadMode::Zeros),
        (3, 7, 1, 0, PadMode::Reflect),
        (3, 3, 1, 2, PadMode::Reflect),
        (3, 3, 1, usize::MAX, PadMode::Zeros),
        (3, 3, 1, isize::MAX as usize, PadMode::Replicate),
    ] {
        assert!(
            new(h, n, stride, extra, padding).is_err(),
            "{h} {n} {stride} {extra} {padding:?}"
        );
    }
    assert!(new(4, 7, 1, 0, PadMode::Reflect).is_ok());
}
