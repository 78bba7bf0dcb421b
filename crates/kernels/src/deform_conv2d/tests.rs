//! Every level against the loops, and the loops against a convolution without offsets.

use super::*;
use crate::conv2d::Conv2dGeometry;
use crate::testing::{Random, assert_same_on_threads, to_f64, worst_error};
use crate::view::{View, ViewMut};
use striate_simd::test_each_level;

fn geometry(random: &mut Random) -> DeformConv2dGeometry {
    loop {
        let groups = [1, 1, 2, 3][random.below(4)];
        let offset_groups = [1, 1, 2, 6][random.below(4)];
        let channels = 6 * [1, 2, 3, 8, 16][random.below(5)];
        let out = groups * [1, 5, 16, 24][random.below(4)];
        let mut pair = |n| [random.below(n) + 1, random.below(n) + 1];
        let (input, kernel, stride, dilation) = (pair(9), pair(3), pair(2), pair(2));
        let padding = [0; 4].map(|_| random.below(3));
        let batch = random.below(3) + 1;
        let conv = Conv2dGeometry::new(
            batch, channels, input, out, kernel, stride, padding, dilation, groups,
        );
        if let Ok(conv) = conv {
            let border = [DeformBorder::Zeros, DeformBorder::Legacy][random.below(2)];
            let g = DeformConv2dGeometry::new(conv, offset_groups).unwrap();
            return g.with_border(border);
        }
    }
}

fn len(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

/// All operands of a problem.
struct Problem {
    g: DeformConv2dGeometry,
    x: Vec<f32>,
    offset: Vec<f32>,
    mask: Option<Vec<f32>>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    dy: Vec<f32>,
}

impl Problem {
    fn new(g: DeformConv2dGeometry, random: &mut Random) -> Self {
        let conv = g.conv();
        let (masks, offsets) = (len(g.mask_shape()), len(g.offset_shape()));
        let mask = (random.below(2) == 0).then(|| random.floats(masks));
        Self {
            x: random.floats(conv.x_len()),
            offset: random
                .normals(offsets)
                .into_iter()
                .map(|o| 2.0 * o)
                .collect(),
            mask,
            weight: random.floats(conv.weight_len()),
            bias: random.floats(conv.out_channels()),
            dy: random.floats(conv.y_len()),
            g,
        }
    }

    /// Output and gradients by the input, the offsets, the mask and the weights.
    fn run(&self, level: Level) -> [Vec<f32>; 5] {
        let g = &self.g;
        let inputs = Inputs {
            x: &self.x,
            offset: &self.offset,
            mask: self.mask.as_deref(),
        };
        let nan = |len| vec![f32::NAN; len];
        let mut y = nan(self.dy.len());
        let packed = PackedWeights::new(level, g, &self.weight).unwrap();
        forward(level, g, &inputs, &packed, Some(&self.bias), &mut y).unwrap();
        let [mut dx, mut doffset] = [self.x.len(), self.offset.len()].map(nan);
        let mut dmask = nan(len(g.mask_shape()));
        let gradients = [&mut dx[..], &mut doffset, &mut dmask];
        backward_input(level, g, &inputs, &self.weight, &self.dy, gradients).unwrap();
        let mut dweight = nan(self.weight.len());
        backward_weight(level, g, &inputs, &self.dy, &mut dweight).unwrap();
        [y, dx, doffset, dmask, dweight]
    }

    fn exact(&self) -> [Vec<f64>; 5] {
        let g = &self.g;
        let [x, offset, weight] = [&self.x, &self.offset, &self.weight].map(|v| to_f64(v));
        let [bias, dy] = [&self.bias, &self.dy].map(|v| to_f64(v));
        let mask = self.mask.as_deref().map(to_f64);
        let inputs = Inputs {
            x: &x,
            offset: &offset,
            mask: mask.as_deref(),
        };
        let mut y = vec![0.0; dy.len()];
        reference::forward(g, &inputs, &weight, Some(&bias), &mut y);
        let [mut dx, mut doffset] = [x.len(), offset.len()].map(|len| vec![0.0; len]);
        let mut dmask = vec![0.0; len(g.mask_shape())];
        let gradients = [&mut dx[..], &mut doffset, &mut dmask];
        reference::backward_input(g, &inputs, &weight, &dy, gradients);
        let mut dweight = vec![0.0; weight.len()];
        reference::backward_weight(g, &inputs, &dy, &mut dweight);
        [y, dx, doffset, dmask, dweight]
    }
}

test_each_level! {
    fn everything_agrees_with_the_loops(level: Level) {
        let mut random = Random::new(1);
        for _ in 0..60 {
            let problem = Problem::new(geometry(&mut random), &mut random);
            let conv = problem.g.conv();
            // Sums of as many products of numbers below one, of which a sample has some rounding of its own.
            let outputs = (conv.batch() * len([1, 1, conv.out_size()[0], conv.out_size()[1]])) as f64;
            let terms = (conv.taps() * conv.group_in_channels()) as f64;
            let out = conv.group_out_channels() as f64;
            let shared = (conv.in_channels() / problem.g.offset_groups()) as f64;
            let scales = [
                terms,
                out * outputs * conv.taps() as f64 / conv.batch() as f64,
                2.0 * out * shared,
                out * shared,
                outputs,
            ];
            let results = problem.run(level).into_iter().zip(problem.exact()).zip(scales);
            for (i, ((fast, exact), scale)) in results.enumerate() {
                let worst = worst_error(&fast, &exact, |_| scale);
                assert!(worst <= 12.0, "result {i} of {:?}: {worst} roundings", problem.g);
            }
        }
    }

    fn threads_change_nothing(level: Level) {
        let mut random = Random::new(2);
        let conv = Conv2dGeometry::new(2, 80, [17, 13], 24, [3, 3], [1, 1], [1; 4], [1, 1], 1);
        let g = DeformConv2dGeometry::new(conv.unwrap(), 2).unwrap();
        let problem = Problem::new(g, &mut random);
        assert_same_on_threads(|| problem.run(level).concat());
    }

    fn without_offsets_it_is_a_convolution(level: Level) {
        let mut random = Random::new(3);
        for _ in 0..20 {
            let mut problem = Problem::new(geometry(&mut random), &mut random);
            problem.offset.fill(0.0);
            problem.mask = None;
            let conv = problem.g.conv();
            let [x, weight, bias] = [&problem.x, &problem.weight, &problem.bias].map(|v| to_f64(v));
            let mut expected = vec![0.0; problem.dy.len()];
            crate::conv2d::reference::forward(
                conv,
                &View::nhwc(&x, conv.x_shape()).unwrap(),
                &View::nhwc(&weight, conv.weight_shape()).unwrap(),
                Some(&bias),
                &mut ViewMut::nhwc(&mut expected, conv.y_shape()).unwrap(),
            )
            .unwrap();
            let [y, ..] = problem.run(level);
            let terms = (conv.taps() * conv.group_in_channels()) as f64;
            assert!(worst_error(&y, &expected, |_| terms) <= 12.0, "{:?}", problem.g);
        }
    }
}

#[test]
fn lengths_and_groups_are_checked() {
    let conv = Conv2dGeometry::new(1, 6, [5, 5], 4, [3, 3], [1, 1], [1; 4], [1, 1], 1).unwrap();
    assert!(
        DeformConv2dGeometry::new(conv, 4).is_err() && DeformConv2dGeometry::new(conv, 0).is_err()
    );
    let g = DeformConv2dGeometry::new(conv, 3).unwrap();
    assert_eq!(
        (g.offset_shape(), g.mask_shape()),
        ([1, 54, 5, 5], [1, 27, 5, 5])
    );
    let mut problem = Problem::new(g, &mut Random::new(4));
    let level = Level::available()[0];
    let packed = PackedWeights::new(level, &g, &problem.weight).unwrap();
    problem.offset.pop();
    let inputs = Inputs {
        x: &problem.x,
        offset: &problem.offset,
        mask: None,
    };
    let mut y = vec![0.0; problem.dy.len()];
    let error = forward(level, &g, &inputs, &packed, None, &mut y).unwrap_err();
    assert!(error.to_string().contains("offset"), "{error}");
}

#[test]
fn beyond_the_border_by_hand() {
    let conv = Conv2dGeometry::new(1, 1, [1, 4], 1, [1, 1], [1, 1], [0; 4], [1, 1], 1).unwrap();
    let g = DeformConv2dGeometry::new(conv, 1).unwrap();
    let mut problem = Problem::new(g, &mut Random::new(6));
    problem.x = vec![2.0, 4.0, 6.0, 8.0];
    (problem.mask, problem.weight, problem.bias) = (None, vec![1.0], vec![0.0]);
    problem.dy = vec![1.0; 4];
    // To -1/2, 1/2, 3 1/4 and 4.
    problem.offset = vec![0.0, -0.5, 0.0, -0.5, 0.0, 1.25, 0.0, 1.0];
    for (border, y, slopes) in [
        (
            DeformBorder::Zeros,
            [1.0, 3.0, 6.0, 0.0],
            [2.0, 2.0, -8.0, 0.0],
        ),
        (
            DeformBorder::Legacy,
            [0.0, 3.0, 8.0, 0.0],
            [0.0, 2.0, 0.0, 0.0],
        ),
    ] {
        problem.g = g.with_border(border);
        for level in Level::available() {
            let [got, _, doffset, ..] = problem.run(level);
            assert_eq!(got, y, "{border:?} {level}");
            let right: Vec<f32> = doffset.chunks(2).map(|d| d[1]).collect();
            assert_eq!(right, slopes, "{border:?} {level}");
        }
    }
}

#[test]
fn places_that_are_no_numbers_are_outside() {
    let conv = Conv2dGeometry::new(1, 8, [3, 3], 2, [1, 1], [1, 1], [0; 4], [1, 1], 1).unwrap();
    let g = DeformConv2dGeometry::new(conv, 1).unwrap();
    let mut problem = Problem::new(g, &mut Random::new(5));
    problem.offset[..6].copy_from_slice(&[f32::NAN, 0.0, f32::INFINITY, 0.0, -1e30, 1e30]);
    for level in Level::available() {
        let [y, ..] = problem.run(level);
        assert_eq!(y[..6], problem.bias.repeat(3), "{level}");
    }
}
