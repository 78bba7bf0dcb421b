//! Every level against the loops, and the loops against what pooling of regions must keep.

use super::*;
use crate::testing::{Random, assert_same_on_threads, to_f64, worst_error};
use striate_simd::test_each_level;

const SAMPLINGS: [RoiSampling; 6] = [
    RoiSampling::Align {
        ratio: 0,
        aligned: true,
    },
    RoiSampling::Align {
        ratio: 2,
        aligned: true,
    },
    RoiSampling::Align {
        ratio: 0,
        aligned: false,
    },
    RoiSampling::Align {
        ratio: 3,
        aligned: false,
    },
    RoiSampling::Pixels,
    RoiSampling::Steps(4),
];

/// A random pooling: some with position groups, some with offsets of classes and parts.
fn geometry(random: &mut Random) -> RoiGeometry {
    let mut pair = |n| [random.below(n) + 1, random.below(n) + 1];
    let (bins, [h, w]) = (pair(4), pair(12));
    let groups = if random.below(2) == 0 {
        [1, 1]
    } else {
        bins.map(|bins| random.below(bins) + 1)
    };
    let classes = [1, 2, 3][random.below(3)];
    let channels = classes * [1, 5, 16, 23][random.below(4)];
    let input = [2, channels * groups[0] * groups[1], h, w];
    let sampling = SAMPLINGS[random.below(6)];
    let g = RoiGeometry::new("roi", input, 4, bins, 0.25, sampling).unwrap();
    let g = g.with_groups("roi", groups).unwrap();
    if random.below(2) == 0 {
        return g;
    }
    let parts = bins.map(|bins| random.below(bins) + 1);
    let offsets = RoiOffsets {
        classes,
        parts,
        gamma: 0.1,
    };
    g.with_offsets("roi", offsets).unwrap()
}

fn rois(random: &mut Random, count: usize) -> Vec<f32> {
    let mut rois = Vec::new();
    for _ in 0..count {
        let mut at = || random.uniform(-8.0, 40.0) as f32;
        let (x, y, width, height) = (at(), at(), at().abs(), at().abs());
        rois.extend([random.below(2) as f32, x, y, x + width, y + height]);
    }
    rois
}

fn len(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

/// The value, and the gradients by images and offsets.
fn run<R: Real>(
    level: Level,
    g: &RoiGeometry,
    inputs: &Inputs<'_, R>,
    x: &[R],
    dy: &[R],
) -> [Vec<R>; 3] {
    let [mut y, mut dx] = [dy.len(), x.len()].map(|len| vec![R::NAN; len]);
    let mut doffsets = vec![R::NAN; inputs.offsets.len()];
    forward(level, g, inputs, x, &mut y).unwrap();
    backward_input(level, g, inputs, dy, &mut dx).unwrap();
    backward_offsets(level, g, inputs, x, dy, &mut doffsets).unwrap();
    [y, dx, doffsets]
}

test_each_level! {
    fn pooling_agrees_with_the_loops(level: Level) {
        let mut random = Random::new(1);
        for _ in 0..120 {
            let g = geometry(&mut random);
            let (x, dy) = (random.floats(len(g.input())), random.floats(len(g.output())));
            let (boxes, offsets) = (rois(&mut random, 4), random.normals(g.offset_shape().iter().product()));
            let inputs = Inputs { rois: &boxes, offsets: &offsets };
            let [y, dx, doffsets] = run(level, &g, &inputs, &x, &dy);
            let [x, dy, boxes, offsets] = [&x, &dy, &boxes, &offsets].map(|v| to_f64(v));
            let inputs = Inputs { rois: &boxes, offsets: &offsets };
            let [exact_y, exact_dx, exact_doffsets] = run(level, &g, &inputs, &x, &dy);
            let worst = worst_error(&y, &exact_y, |_| 1.0);
            assert!(worst <= 12.0, "{g:?}: {worst} roundings");
            let worst = worst_error(&dx, &exact_dx, |_| 64.0);
            assert!(worst <= 12.0, "gradient by x of {g:?}: {worst} roundings");
            let bins = (g.output()[2] * g.output()[3] * g.channels()) as f64;
            let worst = worst_error(&doffsets, &exact_doffsets, |_| 20.0 * bins);
            assert!(worst <= 12.0, "gradient by offsets of {g:?}: {worst} roundings");
        }
    }

    fn threads_change_nothing(level: Level) {
        let mut random = Random::new(2);
        let sampling = RoiSampling::Align { ratio: 2, aligned: true };
        let g = RoiGeometry::new("roi", [2, 70, 20, 21], 40, [5, 5], 0.25, sampling).unwrap();
        let offsets = RoiOffsets { classes: 2, parts: [3, 3], gamma: 0.1 };
        let g = g.with_offsets("roi", offsets).unwrap();
        let (x, dy) = (random.floats(len(g.input())), random.floats(len(g.output())));
        let (boxes, offsets) = (rois(&mut random, 40), random.normals(g.offset_shape().iter().product()));
        let inputs = Inputs { rois: &boxes, offsets: &offsets };
        assert_same_on_threads(|| run(level, &g, &inputs, &x, &dy).concat());
    }
}

/// The value and the gradient by images of the largest pixels, straight from the definition.
fn largest_by_loops(g: &RoiGeometry, rois: &[f32], x: &[f32], dy: &[f32]) -> [Vec<f32>; 2] {
    let ([_, channels, h, w], [_, _, bins_h, bins_w]) = (g.input(), g.output());
    let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
    let outputs = dy.len() / channels;
    for (output, c) in (0..outputs).flat_map(|o| (0..channels).map(move |c| (o, c))) {
        let roi = &rois[5 * (output / (bins_h * bins_w))..];
        let bin = [output / bins_w % bins_h, output % bins_w];
        let touches = |axis: usize, at: usize| {
            let corner = |i: usize| (roi[i] * g.scale() as f32).round();
            let (start, end) = (corner(2 - axis), corner(4 - axis));
            let step = (end - start + 1.0).max(1.0) / [bins_h, bins_w][axis] as f32;
            let first = (bin[axis] as f32 * step).floor() + start;
            let last = ((bin[axis] + 1) as f32 * step).ceil() + start;
            (first..last).contains(&(at as f32))
        };
        let mut best: Option<usize> = None;
        for (i, j) in (0..h).flat_map(|i| (0..w).map(move |j| (i, j))) {
            let at = ((roi[0] as usize * h + i) * w + j) * channels + c;
            if touches(0, i) && touches(1, j) && best.is_none_or(|best| x[at] > x[best]) {
                best = Some(at);
            }
        }
        if let Some(best) = best {
            y[output * channels + c] = x[best];
            dx[best] += dy[output * channels + c];
        }
    }
    [y, dx]
}

/// The value and the gradient of the largest pixels.
fn run_largest<R: Real>(
    level: Level,
    g: &RoiGeometry,
    rois: &[R],
    x: &[R],
    dy: &[R],
) -> [Vec<R>; 2] {
    let [mut y, mut dx] = [dy.len(), x.len()].map(|len| vec![R::NAN; len]);
    largest(level, g, rois, x, &mut y).unwrap();
    largest_backward(level, g, rois, x, dy, &mut dx).unwrap();
    [y, dx]
}

test_each_level! {
    fn the_largest_pixels_are_those_of_the_definition(level: Level) {
        let mut random = Random::new(3);
        for case in 0..60 {
            let mut pair = |n| [random.below(n) + 1, random.below(n) + 1];
            let (bins, [h, w]) = (pair(5), pair(12));
            let input = [2, [1, 5, 16, 41][case % 4], h, w];
            let g = RoiGeometry::new("roi", input, 4, bins, 0.25, RoiSampling::Pixels).unwrap();
            // Few different numbers, so that the largest is there more than once.
            let x: Vec<f32> = random.floats(len(input)).iter().map(|x| (4.0 * x).round()).collect();
            let (dy, boxes) = (random.floats(len(g.output())), rois(&mut random, 4));
            assert_eq!(run_largest(level, &g, &boxes, &x, &dy), largest_by_loops(&g, &boxes, &x, &dy), "{g:?}");
        }
    }

    fn threads_do_not_change_the_largest(level: Level) {
        let mut random = Random::new(4);
        let g = RoiGeometry::new("roi", [2, 70, 20, 21], 40, [5, 5], 0.25, RoiSampling::Pixels).unwrap();
        let (x, dy, boxes) = (random.floats(len(g.input())), random.floats(len(g.output())), rois(&mut random, 40));
        assert_same_on_threads(|| run_largest(level, &g, &boxes, &x, &dy).concat());
    }
}

#[test]
fn the_largest_of_odd_regions() {
    let g = |channels, h, w, bins| {
        RoiGeometry::new(
            "roi",
            [1, channels, h, w],
            1,
            bins,
            1.0,
            RoiSampling::Pixels,
        )
        .unwrap()
    };
    let level = Level::available()[0];
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    let dy = [1.0, 2.0, 4.0, 8.0];
    let [y, dx] = run_largest(
        level,
        &g(1, 3, 4, [2, 2]),
        &[0.0, 0.0, 0.0, 3.0, 2.0],
        &x,
        &dy,
    );
    // The middle row belongs to the bins above and below.
    assert_eq!(y, [5.0, 7.0, 9.0, 11.0]);
    assert_eq!(dx[5..], [1.0, 0.0, 2.0, 0.0, 4.0, 0.0, 8.0]);
    for far in [
        [0.0, 50.0, 50.0, 60.0, 60.0],
        [0.0, f64::NAN, 0.0, 1.0, 1.0],
        [0.0, -90.0, 0.0, -80.0, 2.0],
    ] {
        let [y, dx] = run_largest(level, &g(1, 3, 4, [2, 2]), &far, &x, &dy);
        assert_eq!((y, dx), (vec![0.0; 4], vec![0.0; 12]), "{far:?}");
    }
    let huge = [0.0, -1e30, -1e30, 1e30, 1e30];
    assert_eq!(
        run_largest(level, &g(1, 3, 4, [1, 1]), &huge, &x, &dy[..1])[0],
        [11.0]
    );
    let mut x = x;
    x[6] = f64::NAN;
    let [y, _] = run_largest(level, &g(1, 3, 4, [1, 1]), &huge, &x, &dy[..1]);
    assert!(y[0].is_nan(), "what is no number is not lost");
    let wrong = largest(
        level,
        &g(1, 3, 4, [1, 1]),
        &[1.0, 0.0, 0.0, 1.0, 1.0],
        &x,
        &mut [0.0],
    );
    assert!(wrong.is_err(), "there is no second image");
}

/// The bins of one region of a map of one channel.
fn pooled(
    map: [usize; 2],
    x: &[f64],
    region: [f64; 4],
    bins: [usize; 2],
    sampling: RoiSampling,
) -> Vec<f64> {
    let g = RoiGeometry::new("roi", [1, 1, map[0], map[1]], 1, bins, 1.0, sampling).unwrap();
    let rois = [&[0.0][..], &region].concat();
    let inputs = Inputs {
        rois: &rois,
        offsets: &[],
    };
    let mut y = vec![f64::NAN; bins[0] * bins[1]];
    forward(Level::available()[0], &g, &inputs, x, &mut y).unwrap();
    y
}

#[test]
fn a_region_of_whole_pixels_is_the_map() {
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    let align = |aligned| RoiSampling::Align { ratio: 1, aligned };
    // Pixel centres lie half a pixel inside.
    assert_eq!(
        pooled([3, 4], &x, [0.0, 0.0, 4.0, 3.0], [3, 4], align(true)),
        x
    );
    // Neither the far edges of a region nor the last pixels of the map count.
    let pixels = |region, bins| pooled([3, 4], &x, region, bins, RoiSampling::Pixels);
    assert_eq!(
        pixels([0.0, 0.0, 3.0, 2.0], [2, 3]),
        [0.0, 1.0, 2.0, 4.0, 5.0, 6.0]
    );
    assert_eq!(pixels([0.4, -0.4, 2.3, 2.4], [1, 2]), [2.0, 3.0]);
    assert_eq!(pixels([0.0, 0.0, 90.0, 90.0], [1, 1]), [3.0]);
    // Bins of one and a half pixels touch two.
    assert_eq!(pixels([0.0, 0.0, 3.0, 1.0], [1, 2]), [0.5, 1.5]);
}

#[test]
fn regions_outside_are_zero_and_huge_ones_end() {
    let x = [1.0; 12];
    for sampling in SAMPLINGS {
        let far = pooled([3, 4], &x, [50.0, 50.0, 60.0, 60.0], [2, 2], sampling);
        assert_eq!(far, [0.0; 4], "{sampling:?}");
        let huge = pooled([3, 4], &x, [-1e30, -1e30, 1e30, 1e30], [1, 1], sampling);
        assert!((0.0..=1.0).contains(&huge[0]), "{sampling:?}: {huge:?}");
        let nothing = pooled(
            [3, 4],
            &x,
            [f64::NAN, 0.0, f64::INFINITY, 2.0],
            [2, 1],
            sampling,
        );
        assert!(
            nothing.iter().all(|y| (0.0..=1.0).contains(y)),
            "{sampling:?}: {nothing:?}"
        );
    }
}

#[test]
fn arguments_are_checked() {
    let new =
        |bins, scale, sampling| RoiGeometry::new("roi", [2, 6, 3, 4], 1, bins, scale, sampling);
    assert!(new([0, 1], 1.0, RoiSampling::Pixels).is_err());
    assert!(new([1, 1], f64::NAN, RoiSampling::Pixels).is_err());
    assert!(new([1, 1], 1.0, RoiSampling::Steps(0)).is_err());
    assert!(new([1, 1], 1.0, RoiSampling::Steps(4096)).is_err());
    let g = new([2, 2], 1.0, RoiSampling::Pixels).unwrap();
    assert!(g.with_groups("roi", [2, 2]).is_err() && g.with_groups("roi", [3, 1]).is_err());
    let offsets = |classes, parts| RoiOffsets {
        classes,
        parts,
        gamma: 0.1,
    };
    assert!(g.with_offsets("roi", offsets(4, [1, 1])).is_err());
    assert!(g.with_offsets("roi", offsets(1, [3, 1])).is_err());
    for image in [2.0_f32, -1.0, 0.5, f32::NAN] {
        let rois = [image, 0.0, 0.0, 1.0, 1.0];
        let inputs = Inputs {
            rois: &rois,
            offsets: &[],
        };
        let level = Level::available()[0];
        let error = forward(level, &g, &inputs, &[0.0; 144], &mut [0.0; 24]).unwrap_err();
        assert!(error.to_string().contains("one of 2 images"), "{error}");
    }
}
