//! Every level against the definition, and the gradients as adjoints of it.

use super::*;
use crate::conv2d::Conv2dGeometry;
use crate::testing::{Random, assert_close, assert_same_on_threads, to_f64};
use striate_simd::test_each_level;

/// Images, channels, size, kernel, stride, padding, dilation, groups.
type Case = (
    usize,
    usize,
    [usize; 2],
    [usize; 2],
    usize,
    usize,
    usize,
    usize,
);

const CASES: [Case; 7] = [
    (1, 1, [3, 4], [1, 1], 1, 0, 1, 1),
    (2, 6, [5, 4], [3, 3], 1, 1, 1, 2),
    (1, 40, [6, 5], [3, 5], 2, 2, 1, 2),
    (2, 16, [7, 9], [7, 7], 1, 3, 1, 1),
    (1, 34, [9, 6], [3, 3], 3, 2, 2, 2),
    (1, 5, [2, 3], [5, 5], 2, 4, 1, 5),
    (0, 4, [3, 3], [3, 3], 1, 1, 1, 4),
];

fn geometry(&(n, c, size, kernel, stride, pad, dilation, groups): &Case) -> InvolutionGeometry {
    let [stride, dilation] = [[stride; 2], [dilation; 2]];
    Conv2dGeometry::new(n, c, size, c, kernel, stride, [pad; 4], dilation, c)
        .and_then(|windows| InvolutionGeometry::new(windows, groups))
        .expect("a valid case")
}

/// Image, kernels and output.
fn operands(g: &InvolutionGeometry) -> [Vec<f32>; 3] {
    let mut random = Random::new(5);
    [g.windows().x_len(), g.weight_len(), g.windows().y_len()].map(|len| random.floats(len))
}

/// The definition, with the place of every element spelled out, and the sum of magnitudes.
fn defined(g: &InvolutionGeometry, x: &[f32], weight: &[f32]) -> Vec<[f64; 2]> {
    let conv = g.windows();
    let ([n, channels, h, w], [_, _, oh, ow]) = (conv.x_shape(), conv.y_shape());
    let [kh, kw] = conv.kernel();
    let mut y = vec![[0.0; 2]; conv.y_len()];
    for (i, y) in y.iter_mut().enumerate() {
        let (c, ox, oy, image) = (
            i % channels,
            i / channels % ow,
            i / channels / ow % oh,
            i / channels / ow / oh,
        );
        let group = c / (channels / g.groups());
        for (u, v) in (0..kh).flat_map(|u| (0..kw).map(move |v| (u, v))) {
            let at = [
                oy * conv.stride()[0] + u * conv.dilation()[0],
                ox * conv.stride()[1] + v * conv.dilation()[1],
            ];
            let (Some(iy), Some(ix)) = (
                at[0].checked_sub(conv.padding()[0]),
                at[1].checked_sub(conv.padding()[2]),
            ) else {
                continue;
            };
            if image < n && iy < h && ix < w {
                let taps = g.groups() * kh * kw;
                let weight =
                    weight[((image * oh + oy) * ow + ox) * taps + (group * kh + u) * kw + v];
                let term =
                    f64::from(weight) * f64::from(x[((image * h + iy) * w + ix) * channels + c]);
                *y = [y[0] + term, y[1] + term.abs()];
            }
        }
    }
    y
}

test_each_level!(
    fn outputs_follow_the_definition(level: Level) {
        for case in &CASES {
            let g = geometry(case);
            let [x, weight, mut y] = operands(&g);
            forward(level, &g, &x, &weight, &mut y).expect("the lengths fit");
            for (i, &[exact, magnitude]) in defined(&g, &x, &weight).iter().enumerate() {
                assert_close(y[i], exact, magnitude, g.windows().taps(), || {
                    format!("{case:?}: {i}")
                });
            }
        }
    }
);

test_each_level!(
    fn gradients_agree_with_double_precision(level: Level) {
        for case in &CASES {
            let g = geometry(case);
            let [x, weight, dy] = operands(&g);
            let (mut dx, mut dw) = (x.clone(), weight.clone());
            backward_input(level, &g, &dy, &weight, &mut dx).expect("the lengths fit");
            backward_weight(level, &g, &x, &dy, &mut dw).expect("the lengths fit");
            let [x, weight, dy] = [x, weight, dy].map(|v| to_f64(&v));
            let (mut exact_dx, mut exact_dw) = (x.clone(), weight.clone());
            backward_input(level, &g, &dy, &weight, &mut exact_dx).expect("the lengths fit");
            backward_weight(level, &g, &x, &dy, &mut exact_dw).expect("the lengths fit");
            // Terms are at most 1, and of a pixel there are no more than taps.
            let terms = g.windows().taps().max(g.group_channels());
            for (got, exact) in [(&dx, &exact_dx), (&dw, &exact_dw)] {
                for (i, (&got, &exact)) in got.iter().zip(exact).enumerate() {
                    assert_close(got, exact, terms as f64, terms, || format!("{case:?}: {i}"));
                }
            }
            // The sum over outputs of dy * y is linear in the image and in the kernels.
            let mut y = dy.clone();
            forward(level, &g, &x, &weight, &mut y).expect("the lengths fit");
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let value = dot(&dy, &y);
            for other in [dot(&exact_dx, &x), dot(&exact_dw, &weight)] {
                assert!(
                    (value - other).abs() <= 1e-10,
                    "{case:?}: {value} and {other}"
                );
            }
        }
    }
);

#[test]
fn threads_change_nothing() {
    let g = geometry(&(2, 64, [20, 17], [5, 5], 1, 2, 1, 4));
    let [x, weight, dy] = operands(&g);
    let level = Level::detect();
    assert_same_on_threads(|| {
        let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), weight.clone());
        forward(level, &g, &x, &weight, &mut y).expect("the lengths fit");
        backward_input(level, &g, &dy, &weight, &mut dx).expect("the lengths fit");
        backward_weight(level, &g, &x, &dy, &mut dw).expect("the lengths fit");
        [y, dx, dw].concat()
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let g = geometry(&CASES[1]);
    let [x, weight, mut y] = operands(&g);
    let level = Level::detect();
    assert!(forward(level, &g, &x[1..], &weight, &mut y).is_err());
    assert!(forward(level, &g, &x, &weight[1..], &mut y).is_err());
    assert!(backward_weight(level, &g, &x, &y[1..], &mut weight.clone()).is_err());
    assert!(
        InvolutionGeometry::new(*g.windows(), 4).is_err(),
        "6 channels in 4 groups"
    );
    assert!(InvolutionGeometry::new(*g.windows(), 0).is_err());
    let dense = Conv2dGeometry::new(1, 4, [3; 2], 4, [3; 2], [1; 2], [1; 4], [1; 2], 1);
    assert!(InvolutionGeometry::new(dense.expect("a convolution"), 1).is_err());
}
