//! Against the reference convolution, through functions that users call.

use crate::conv2d::{self, Algorithm, Conv2dGeometry, PackedWeights, reference};
use crate::epilogue::Epilogue;
use crate::geometry::Layout;
use crate::testing::{Random, assert_close, on_threads};
use crate::view::{View, ViewMut};
use proptest::prelude::*;
use proptest::sample::select;
use striate_simd::{Level, test_each_level};

fn depthwise(
    batch: usize,
    channels: usize,
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
    dilation: [usize; 2],
) -> Option<Conv2dGeometry> {
    let c = channels;
    Conv2dGeometry::new(batch, c, size, c, kernel, stride, padding, dilation, c).ok()
}

/// `[y, dx, dw]` of a problem, and the same in double precision with the sums of magnitudes.
fn passes(level: Level, g: &Conv2dGeometry, operands: &[Vec<f32>; 3]) -> [Vec<f32>; 3] {
    let [x, w, dy] = operands;
    let mut out = [g.y_len(), g.x_len(), g.weight_len()].map(|len| vec![f32::NAN; len]);
    PackedWeights::with_algorithm(level, g, Layout::Nhwc, w, Algorithm::Depthwise)
        .and_then(|packed| packed.forward(g, x, &Epilogue::NONE, &mut out[0]))
        .expect("valid");
    conv2d::backward_input(level, g, dy, w, &mut out[1]).expect("valid");
    conv2d::backward_weight(level, g, x, dy, &mut out[2]).expect("valid");
    out
}

fn exact(g: &Conv2dGeometry, operands: &[Vec<f32>; 3], magnitudes: bool) -> [Vec<f64>; 3] {
    let convert = |v: &Vec<f32>| -> Vec<f64> {
        let value = |&x: &f32| {
            if magnitudes {
                f64::from(x.abs())
            } else {
                f64::from(x)
            }
        };
        v.iter().map(value).collect()
    };
    let [x, w, dy] = [0, 1, 2].map(|i| convert(&operands[i]));
    let (x, dy) = (View::nhwc(&x, g.x_shape()), View::nhwc(&dy, g.y_shape()));
    let (x, dy) = (x.expect("valid"), dy.expect("valid"));
    let w = View::nchw(&w, g.weight_shape()).expect("valid");
    let mut out = [g.y_len(), g.x_len(), g.weight_len()].map(|len| vec![0.0; len]);
    let [y, dx, dw] = &mut out;
    let mut y = ViewMut::nhwc(y, g.y_shape()).expect("valid");
    reference::forward(g, &x, &w, None, &mut y).expect("valid");
    let mut dx = ViewMut::nhwc(dx, g.x_shape()).expect("valid");
    reference::backward_input(g, &dy, &w, &mut dx).expect("valid");
    let mut dw = ViewMut::nchw(dw, g.weight_shape()).expect("valid");
    reference::backward_weight(g, &x, &dy, &mut dw).expect("valid");
    out
}

fn operands(g: &Conv2dGeometry, draw: fn(&mut Random, usize) -> Vec<f32>) -> [Vec<f32>; 3] {
    let mut random = Random::new(g.x_len() as u64 + 17);
    [g.x_len(), g.weight_len(), g.y_len()].map(|len| draw(&mut random, len))
}

fn geometries() -> impl Strategy<Value = Conv2dGeometry> {
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    (
        select(vec![0_usize, 1, 1, 2, 3]),
        select(vec![2_usize, 3, 8, 15, 16, 17, 33, 65]),
        pair(1..24),
        pair(1..9),
        pair(1..4),
        [0_usize..7, 0..7, 0..7, 0..7],
        pair(1..4),
    )
        .prop_filter_map("a possible convolution", |(n, c, size, k, s, p, d)| {
            depthwise(n, c, size, k, s, p, d)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_passes_agree_with_double_precision(g in geometries()) {
        let operands = operands(&g, Random::normals);
        let (exact, magnitude) = (exact(&g, &operands, false), exact(&g, &operands, true));
        let terms = [g.taps(), g.taps(), g.batch() * g.out_size().iter().product::<usize>()];
        for level in Level::available() {
            let got = passes(level, &g, &operands);
            for pass in 0..3 {
                for (i, &got) in got[pass].iter().enumerate() {
                    let place = || format!("{} on {level}, element {i} of {g:?}", ["y", "dx", "dw"][pass]);
                    assert_close(got, exact[pass][i], magnitude[pass][i], terms[pass], place);
                }
            }
        }
    }
}

test_each_level! {
    fn small_integers_are_exact(level: Level) {
        for (c, size, k, s) in [(40, [13, 30], [3, 3], [1, 1]), (19, [15, 17], [5, 3], [2, 2]), (16, [9, 40], [7, 7], [1, 3])] {
            let pad = [k[0] / 2, k[0] / 2, k[1] / 2, k[1] / 2];
            let g = depthwise(2, c, size, k, s, pad, [1, 1]).expect("possible");
            let operands = operands(&g, Random::integers);
            let (got, exact) = (passes(level, &g, &operands), exact(&g, &operands, false));
            for pass in 0..3 {
                let same = got[pass].iter().zip(&exact[pass]).all(|(&a, &b)| f64::from(a) == b);
                assert!(same, "{} of {g:?}", ["y", "dx", "dw"][pass]);
            }
        }
    }
}

test_each_level! {
    fn strips_of_any_size_are_exact(level: Level) {
        let mut random = Random::new(5);
        let mut draw = |range: std::ops::Range<usize>| range.start + random.below(range.len());
        for case in 0..200 {
            let c = [16, 17, 24, 40][case % 4];
            // Some go down more lines than a strip does and some have one; the last paddings are too wide for strips.
            let size = if case % 8 == 0 { [draw(33..40), draw(4..7)] } else { [draw(1..10), draw(1..16)] };
            let s = draw(1..3);
            let pad = [draw(0..3), draw(0..3), draw(0..2) + case / 190, draw(0..2) + case / 190];
            let Some(g) = depthwise(1 + usize::from(case % 8 == 1), c, size, [3, 3], [s, s], pad, [1, 1]) else {
                continue;
            };
            let operands = operands(&g, Random::integers);
            let (got, exact) = (passes(level, &g, &operands), exact(&g, &operands, false));
            for pass in 0..3 {
                let same = got[pass].iter().zip(&exact[pass]).all(|(&a, &b)| f64::from(a) == b);
                assert!(same, "{} of {g:?}", ["y", "dx", "dw"][pass]);
            }
        }
    }
}

test_each_level! {
    fn the_number_of_threads_changes_no_bit(level: Level) {
        for (k, s) in [(5, [2, 1]), (3, [1, 1]), (3, [2, 2])] {
            let g = depthwise(3, 48, [30, 31], [k; 2], s, [k / 2; 4], [1, 1]).expect("possible");
            let operands = operands(&g, Random::normals);
            let results = on_threads(|| passes(level, &g, &operands));
            assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{g:?}");
        }
    }
}
