use super::tiles::{Pixels, Tiles};
use super::{Size, backward_weight, cost, pack, run};
use crate::conv2d::backward_input::phases;
use crate::conv2d::taps::{Reduce, Taps};
use crate::conv2d::tests::{
    Problem, exact_backward_input, exact_backward_weight, exact_forward, square,
};
use crate::conv2d::{Algorithm, Conv2dGeometry, PackedWeights};
use crate::epilogue::{Activation, Epilogue};
use crate::geometry::Layout;
use crate::testing::{Random, on_threads};
use proptest::prelude::*;
use proptest::sample::select;
use striate_simd::{Level, test_each_level};

/// The algorithms that compute `g`.
fn algorithms(g: &Conv2dGeometry) -> impl Iterator<Item = Algorithm> {
    let all = [
        Algorithm::Winograd4x4,
        Algorithm::Winograd3x3,
        Algorithm::Winograd2x2,
        Algorithm::Winograd2of2,
    ];
    let g = *g;
    all.into_iter()
        .filter(move |algorithm| algorithm.accepts(&g, Layout::Nhwc, Level::detect()))
}

fn size_of(algorithm: Algorithm) -> Size {
    algorithm.tile().expect("a Winograd algorithm")
}

fn forward(level: Level, algorithm: Algorithm, p: &Problem, epilogue: &Epilogue<'_>) -> Vec<f32> {
    let mut y = vec![f32::NAN; p.g.y_len()];
    PackedWeights::with_algorithm(level, &p.g, Layout::Nhwc, &p.weight, algorithm)
        .unwrap()
        .forward(&p.g, &p.x, epilogue, &mut y)
        .unwrap();
    y
}

fn input_gradient(level: Level, size: Size, p: &Problem) -> Vec<f32> {
    let mut dx = vec![f32::NAN; p.g.x_len()];
    for taps in &phases(&p.g) {
        let weights = pack(level, size, taps, Reduce::Outputs, &p.weight).unwrap();
        run(level, size, taps, &weights, &p.dy, &Epilogue::NONE, &mut dx).unwrap();
    }
    dx
}

fn weight_gradient(level: Level, algorithm: Algorithm, p: &Problem) -> Vec<f32> {
    let (mut dw, taps) = (vec![f32::NAN; p.g.weight_len()], Taps::forward(&p.g));
    let sums = [(&taps, size_of(algorithm))];
    backward_weight(level, &sums, Reduce::Inputs, &p.x, &p.dy, &mut dw).unwrap();
    dw
}

/// For each element of a channels-last image the largest of its channel in its tile.
fn largest_in_tile(
    size: Size,
    g: &Conv2dGeometry,
    [_, c, h, w]: [usize; 4],
    values: &[f64],
) -> Vec<f64> {
    let cell = |at: usize, axis: usize| {
        let step = g.dilation()[axis];
        (at / (step * size.outputs()), at % step)
    };
    let key = |i: usize| {
        (
            i / c / w / h,
            i % c,
            cell(i / c / w % h, 0),
            cell(i / c % w, 1),
        )
    };
    let mut largest = std::collections::BTreeMap::new();
    for (i, &value) in values.iter().enumerate() {
        let entry = largest.entry(key(i)).or_insert(0.0_f64);
        *entry = entry.max(value);
    }
    (0..values.len()).map(|i| largest[&key(i)]).collect()
}

/// For each output of `taps` the sum of magnitudes it had if all that it sees was as large as the largest
/// input of its channel in the tile, NaN for outputs of other taps. `weights(o, k)` is the sum of the
/// magnitudes of a kernel.
fn worst_magnitudes(
    size: Size,
    taps: &Taps,
    x: &[f32],
    weights: impl Fn(usize, usize) -> f64,
) -> Vec<f64> {
    let zeros = vec![0.0; taps.in_channels];
    let pixels = Pixels {
        data: x,
        size: taps.in_size,
        channels: taps.in_channels,
        zeros: &zeros,
    };
    let out_pixels = taps.batch * taps.out_size[0] * taps.out_size[1];
    let mut scale = vec![f64::NAN; out_pixels * taps.out_channels];
    let tiles = Tiles::of(taps, size);
    for tile in (0..tiles.len()).map(|index| tiles.tile(index)) {
        let ([y, x], [rows, columns]) = (tiles.input(&tile), tiles.outputs(&tile));
        let mut largest = vec![0.0_f64; taps.in_channels];
        for (i, j) in (0..rows + size.taps() - 1)
            .flat_map(|i| (0..columns + size.taps() - 1).map(move |j| (i, j)))
        {
            let place = [
                y.wrapping_add(i * tiles.step[0]),
                x.wrapping_add(j * tiles.step[1]),
            ];
            let inputs = pixels.get(tile.image, place, 0..taps.in_channels);
            largest
                .iter_mut()
                .zip(inputs)
                .for_each(|(l, &x)| *l = l.max(f64::from(x).abs()));
        }
        for o in 0..taps.out_channels {
            let first = o / taps.columns() * taps.k_len();
            let sum: f64 = (0..taps.k_len())
                .map(|k| largest[first + k] * weights(o, k))
                .sum();
            for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                let at = [
                    tile.image,
                    tile.first[0] + i * tiles.step[0],
                    tile.first[1] + j * tiles.step[1],
                ];
                scale[taps.out_pixel(at) * taps.out_channels + o] = sum;
            }
        }
    }
    scale
}

/// The sums of the magnitudes of some taps of the kernels, `[out][in / groups]`.
fn kernel_magnitudes(p: &Problem, taps: &Taps) -> Vec<f64> {
    let magnitude = |kernel: &[f32], index: usize| f64::from(kernel[index]).abs();
    let sum = |kernel| {
        taps.taps
            .iter()
            .map(|tap| magnitude(kernel, tap.index))
            .sum()
    };
    p.weight.chunks(p.g.taps()).map(sum).collect()
}

/// The bound of an error in units of rounding.
fn bound(size: Size) -> f64 {
    match size {
        Size::TwoOfImage | Size::TwoOfThree | Size::ThreeOfTwo => 8.0,
        Size::ThreeOfThree => 24.0,
        Size::FourOfThree | Size::FiveOfTwo => 40.0,
    }
}

fn check(place: &str, got: &[f32], exact: &[f64], scale: &[f64], bound: f64) {
    for (i, &got) in got.iter().enumerate() {
        let error = (f64::from(got) - exact[i]).abs() * f64::from(1 << 24);
        assert!(
            error <= bound * scale[i] + 1e-30,
            "{place}, element {i}: {got} instead of {}, off by {} > {bound}",
            exact[i],
            error / scale[i],
        );
    }
}

/// Checks all passes against a bound that holds for any numbers in any tile.
fn check_all_passes(level: Level, algorithm: Algorithm, p: &Problem) {
    let (g, size) = (&p.g, size_of(algorithm));
    let bound = bound(size);
    let place = |what| format!("{what} of {algorithm:?} on {level} for {g:?}");
    let kernels = kernel_magnitudes(p, &Taps::forward(g));
    let inputs = g.group_in_channels();
    let scale = worst_magnitudes(size, &Taps::forward(g), &p.x, |o, k| {
        kernels[o * inputs + k]
    });
    let y = forward(level, algorithm, p, &Epilogue::NONE);
    check(
        &place("y"),
        &y,
        &exact_forward(p, Layout::Nhwc)[0],
        &scale,
        bound,
    );

    check_input_gradient(level, size, p);

    let dw = weight_gradient(level, algorithm, p);
    let exact = exact_backward_weight(p, Layout::Nhwc);
    check(&place("dw"), &dw, &exact[0], &channel_norms(p), bound);
}

/// Checks the gradient of the input against such a bound.
fn check_input_gradient(level: Level, size: Size, p: &Problem) {
    let [inputs, outputs] = [p.g.group_in_channels(), p.g.group_out_channels()];
    let (dx, exact) = (input_gradient(level, size, p), exact_backward_input(p));
    let mut reached = 0;
    for taps in &phases(&p.g) {
        let kernels = kernel_magnitudes(p, taps);
        let scale = worst_magnitudes(size, taps, &p.dy, |i, k| {
            kernels[(i / inputs * outputs + k) * inputs + i % inputs]
        });
        for (i, scale) in scale
            .iter()
            .enumerate()
            .filter(|(_, scale)| !scale.is_nan())
        {
            let place = format!("element {i} of dx of {size:?} on {level} for {:?}", p.g);
            check(&place, &dx[i..=i], &exact[0][i..=i], &[*scale], bound(size));
            reached += 1;
        }
    }
    assert_eq!(reached, dx.len(), "{:?}", p.g);
}

/// For each weight the product of the norms of its input channel and of its output channel's gradient,
/// which no sum of magnitudes exceeds.
fn channel_norms(p: &Problem) -> Vec<f64> {
    let norms = |x: &[f32], channels: usize| -> Vec<f64> {
        let mut squares = vec![0.0; channels];
        for (i, &x) in x.iter().enumerate() {
            squares[i % channels] += f64::from(x) * f64::from(x);
        }
        squares.into_iter().map(f64::sqrt).collect()
    };
    let (x, dy) = (
        norms(&p.x, p.g.in_channels()),
        norms(&p.dy, p.g.out_channels()),
    );
    let [_, k_len, ..] = p.g.weight_shape();
    let norm = |i: usize| {
        let kernel = i / p.g.taps();
        let (output, input) = (kernel / k_len, kernel % k_len);
        dy[output] * x[output / p.g.group_out_channels() * k_len + input]
    };
    (0..p.g.weight_len()).map(norm).collect()
}

/// Three by three taps with stride 1 and any other attributes.
fn geometries() -> impl Strategy<Value = Conv2dGeometry> {
    let channels = || select(vec![1, 3, 8, 16, 17, 31, 33, 64, 65]);
    let narrow = || select(vec![4, 8, 16]);
    let groups = || select(vec![1, 1, 1, 2, 3]);
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    (
        select(vec![1, 1, 2, 3, 0]),
        pair(1..15),
        [0_usize..5, 0..5, 0..5, 0..5],
        prop_oneof![3 => Just([1, 1]), 1 => [1_usize..4, 1..4]],
        prop_oneof![
            2 => (groups(), (channels(), channels())),
            1 => (1_usize..12, narrow().prop_map(|width| (width, width))),
        ],
    )
        .prop_filter_map(
            "a possible convolution",
            |(n, size, pad, dilation, (groups, (i, o)))| {
                let (inputs, outputs) = (groups * i, groups * o);
                Conv2dGeometry::new(
                    n,
                    inputs,
                    size,
                    outputs,
                    [3, 3],
                    [1, 1],
                    pad,
                    dilation,
                    groups,
                )
                .ok()
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn all_passes_agree_with_double_precision(g in geometries()) {
        let problem = Problem::new(g, Random::normals);
        for level in Level::available() {
            for algorithm in algorithms(&g) {
                check_all_passes(level, algorithm, &problem);
            }
        }
    }

    #[test]
    fn images_of_two_pixels_agree_with_double_precision(g in geometries_of_two()) {
        let problem = Problem::new(g, Random::normals);
        for level in Level::available() {
            check_all_passes(level, Algorithm::Winograd2of2, &problem);
        }
    }
}

/// Dilations that leave images of at most two pixels a side and as much padding before them as a tap reaches.
fn geometries_of_two() -> impl Strategy<Value = Conv2dGeometry> {
    let channels = || select(vec![1, 8, 17, 33, 65]);
    let axis = || (1_usize..5).prop_flat_map(|step| (Just(step), 1..=2 * step, 1..=2 * step));
    (
        select(vec![1, 1, 2, 0]),
        axis(),
        axis(),
        select(vec![1, 1, 2]),
        (channels(), channels()),
    )
        .prop_filter_map("a possible convolution", |(n, y, x, groups, (i, o))| {
            // Padding behind the image such that there are `out` outputs.
            let behind = |(step, size, out): (usize, usize, usize)| (out + step).checked_sub(size);
            let pad = [y.0, behind(y)?, x.0, behind(x)?];
            let (size, dilation) = ([y.1, x.1], [y.0, x.0]);
            let (inputs, outputs) = (groups * i, groups * o);
            let g = Conv2dGeometry::new(
                n,
                inputs,
                size,
                outputs,
                [3, 3],
                [1, 1],
                pad,
                dilation,
                groups,
            );
            g.ok()
        })
}

/// Kernels of which a stride leaves `side` by `side` taps for every remainder.
fn strided_geometries() -> impl Strategy<Value = (usize, Conv2dGeometry)> {
    let channels = || select(vec![1, 3, 8, 16, 17, 33, 65]);
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    (
        2_usize..4,
        select(vec![1, 1, 2, 0]),
        pair(2..17),
        pair(1..4),
        [0_usize..5, 0..5, 0..5, 0..5],
        pair(1..4),
        select(vec![1, 1, 2]),
        (channels(), channels()),
    )
        .prop_filter_map(
            "a possible convolution",
            |(side, n, size, stride, pad, dilation, groups, (i, o))| {
                let kernel = stride.map(|stride| stride * side);
                let (inputs, outputs) = (groups * i, groups * o);
                let g = Conv2dGeometry::new(
                    n, inputs, size, outputs, kernel, stride, pad, dilation, groups,
                )
                .ok()?;
                // A factor in common with the dilation leaves more taps for fewer remainders.
                let possible = phases(&g).iter().all(|taps| {
                    taps.taps.len() == side * side && cost::Problem::of(taps).is_some()
                });
                possible.then_some((side, g))
            },
        )
}

/// The gradient of the weights, remainder by remainder.
fn weight_gradient_by_phases(level: Level, size: Size, p: &Problem) -> Vec<f32> {
    let mut dw = vec![f32::NAN; p.g.weight_len()];
    let phases = phases(&p.g);
    let sums: Vec<_> = phases.iter().map(|taps| (taps, size)).collect();
    backward_weight(level, &sums, Reduce::Outputs, &p.dy, &p.x, &mut dw).unwrap();
    dw
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn gradients_of_strided_convolutions_agree_with_double_precision((side, g) in strided_geometries()) {
        let p = Problem::new(g, Random::normals);
        let sizes: &[Size] = match side {
            2 => &[Size::ThreeOfTwo, Size::FiveOfTwo],
            _ => &[Size::TwoOfThree, Size::ThreeOfThree, Size::FourOfThree],
        };
        for level in Level::available() {
            for &size in sizes {
                check_input_gradient(level, size, &p);
                if phases(&g).iter().all(|taps| taps.pixels() > 0) {
                    let dw = weight_gradient_by_phases(level, size, &p);
                    let exact = exact_backward_weight(&p, Layout::Nhwc);
                    let place = format!("dw of {size:?} on {level} for {g:?}");
                    check(&place, &dw, &exact[0], &channel_norms(&p), bound(size));
                }
            }
        }
    }
}

test_each_level! {
    fn real_layers_stay_within_the_largest_sums_of_their_tiles(level: Level) {
        for g in [square(1, 64, 28, 64, 3, 1, 1), square(5, 130, 7, 70, 3, 1, 1), square(1, 512, 8, 32, 3, 1, 1)] {
            let p = Problem::new(g, Random::normals);
            for algorithm in algorithms(&g) {
                check_all_passes(level, algorithm, &p);
                let images = |what, shape, got: &[f32], exact: [Vec<f64>; 2]| {
                    let scale = largest_in_tile(size_of(algorithm), &g, shape, &exact[1]);
                    let place = format!("{what} of {algorithm:?} on {level} for {g:?}");
                    check(&place, got, &exact[0], &scale, bound(size_of(algorithm)));
                };
                let y = forward(level, algorithm, &p, &Epilogue::NONE);
                images("y", g.y_shape(), &y, exact_forward(&p, Layout::Nhwc));
                let dx = input_gradient(level, size_of(algorithm), &p);
                images("dx", g.x_shape(), &dx, exact_backward_input(&p));
            }
        }
    }
}

test_each_level! {
    fn strips_and_bands_of_narrow_groups_agree_with_double_precision(level: Level) {
        for g in [square(1, 24, 35, 24, 3, 1, 3), square(2, 32, 21, 32, 3, 1, 2), square(1, 48, 37, 48, 3, 1, 3)] {
            check_all_passes(level, Algorithm::Winograd4x4, &Problem::new(g, Random::normals));
        }
    }
}

test_each_level! {
    fn not_a_number_stays_in_its_group(level: Level) {
        for width in [4, 8, 16] {
            let g = square(1, 5 * width, 9, 5 * width, 3, 1, 5);
            let mut p = Problem::new(g, Random::normals);
            let clean = forward(level, Algorithm::Winograd4x4, &p, &Epilogue::NONE);
            (0..81).for_each(|pixel| p.x[pixel * 5 * width + 3 * width + width / 2] = f32::NAN);
            let y = forward(level, Algorithm::Winograd4x4, &p, &Epilogue::NONE);
            for (i, (y, clean)) in y.into_iter().zip(clean).enumerate() {
                let bad = i % (5 * width) / width == 3;
                assert!(if bad { y.is_nan() } else { y == clean }, "{width} channels, element {i}: {y}");
            }
        }
    }
}

test_each_level! {
    fn small_tiles_are_exact_on_small_integers(level: Level) {
        for g in [square(2, 5, 9, 37, 3, 1, 1), square(1, 32, 12, 48, 3, 1, 2)] {
            let p = Problem::new(g, Random::integers);
            let algorithm = Algorithm::Winograd2x2;
            let same = |got: &[f32], exact: [Vec<f64>; 2]| {
                assert!(got.iter().zip(&exact[0]).all(|(&a, &b)| f64::from(a) == b), "{g:?}");
            };
            same(&forward(level, algorithm, &p, &Epilogue::NONE), exact_forward(&p, Layout::Nhwc));
            same(&input_gradient(level, size_of(algorithm), &p), exact_backward_input(&p));
            same(&weight_gradient(level, algorithm, &p), exact_backward_weight(&p, Layout::Nhwc));
        }
        let g = square(2, 19, 2, 37, 3, 1, 1);
        let p = Problem::new(g, Random::integers);
        let algorithm = Algorithm::Winograd2of2;
        let same = |got: &[f32], exact: [Vec<f64>; 2]| {
            assert!(got.iter().zip(&exact[0]).all(|(&a, &b)| f64::from(a) == b), "{g:?}");
        };
        same(&forward(level, algorithm, &p, &Epilogue::NONE), exact_forward(&p, Layout::Nhwc));
        same(&input_gradient(level, size_of(algorithm), &p), exact_backward_input(&p));
        same(&weight_gradient(level, algorithm, &p), exact_backward_weight(&p, Layout::Nhwc));
        let g = square(2, 19, 10, 37, 4, 2, 1);
        let p = Problem::new(g, Random::integers);
        let same = |got: &[f32], exact: [Vec<f64>; 2]| {
            assert!(got.iter().zip(&exact[0]).all(|(&a, &b)| f64::from(a) == b), "{g:?}");
        };
        same(&input_gradient(level, Size::ThreeOfTwo, &p), exact_backward_input(&p));
        same(&weight_gradient_by_phases(level, Size::ThreeOfTwo, &p), exact_backward_weight(&p, Layout::Nhwc));
    }
}

#[test]
fn weights_for_images_of_two_pixels_serve_no_others() {
    let dilated = |size: usize| {
        Conv2dGeometry::new(1, 8, [size; 2], 8, [3; 2], [1; 2], [3; 4], [3; 2], 1).unwrap()
    };
    let p = Problem::new(dilated(6), Random::normals);
    let (level, algorithm) = (Level::detect(), Algorithm::Winograd2of2);
    let weights =
        PackedWeights::with_algorithm(level, &p.g, Layout::Nhwc, &p.weight, algorithm).unwrap();
    let forward = |g: &Conv2dGeometry| {
        let (x, mut y) = (vec![1.0; g.x_len()], vec![0.0; g.y_len()]);
        weights.forward(g, &x, &Epilogue::NONE, &mut y)
    };
    assert!(forward(&dilated(4)).is_ok());
    let error = forward(&dilated(7)).unwrap_err().to_string();
    assert!(error.contains("at most two pixels"), "{error}");
    assert!(!algorithm.accepts(&dilated(7), Layout::Nhwc, level));
}

test_each_level! {
    fn not_a_number_stays_in_its_tiles(level: Level) {
        let g = square(1, 16, 16, 20, 3, 1, 1);
        for (algorithm, bad) in [(Algorithm::Winograd4x4, f32::NAN), (Algorithm::Winograd3x3, f32::NAN), (Algorithm::Winograd2x2, f32::INFINITY)] {
            let mut p = Problem::new(g, Random::normals);
            let clean = forward(level, algorithm, &p, &Epilogue::NONE);
            // Pixel (5, 9), seen by the outputs (4..=6, 8..=10).
            p.x[(5 * 16 + 9) * 16 + 3] = bad;
            let y = forward(level, algorithm, &p, &Epilogue::NONE.activation(Activation::Relu));
            let side = size_of(algorithm).outputs();
            for (i, &y) in y.iter().enumerate() {
                let [row, column] = [i / 20 / 16, i / 20 % 16];
                let reached = |at: usize, first: usize, last: usize| (first / side..=last / side).contains(&(at / side));
                if reached(row, 4, 6) && reached(column, 8, 10) {
                    let seen = (4..=6).contains(&row) && (8..=10).contains(&column);
                    assert!(!seen || !y.is_finite() || bad == f32::INFINITY && y == 0.0, "pixel {row}, {column}: {y}");
                } else {
                    assert_eq!(y, clean[i].max(0.0), "pixel {row}, {column}");
                }
            }
        }
    }
}

test_each_level! {
    fn the_number_of_threads_changes_no_bit(level: Level) {
        let apart = Conv2dGeometry::new(2, 300, [7; 2], 140, [3; 2], [1; 2], [4; 4], [4; 2], 1).unwrap();
        for g in [square(3, 20, 30, 70, 3, 1, 1), square(2, 64, 14, 64, 3, 1, 2), square(1, 130, 12, 140, 3, 1, 1), square(2, 128, 41, 128, 3, 1, 16), square(2, 96, 29, 96, 3, 1, 6), apart] {
            let p = Problem::new(g, Random::normals);
            for algorithm in algorithms(&g) {
                let results = on_threads(|| [
                    forward(level, algorithm, &p, &Epilogue::NONE),
                    input_gradient(level, size_of(algorithm), &p),
                    weight_gradient(level, algorithm, &p),
                ]);
                assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{g:?}");
            }
        }
    }
}
