//! Convolution and pooling of sequences and volumes.

use striate_tensor::{
    Conv1dOptions, Conv3dOptions, DType, Divisor, Pool1dOptions, Pool3dOptions, Result, Tensor,
    Triple, no_grad,
};

use crate::common::{coordinates, randn};
use crate::harness::{check, f32s, fails};

/// Numbers of a tensor by their coordinates.
struct Numbers {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Numbers {
    fn of(x: &Tensor) -> Result<Self> {
        Ok(Self {
            shape: x.shape().to_vec(),
            values: x.to_vec()?,
        })
    }

    /// Nothing outside.
    fn at(&self, place: &[usize]) -> Option<f64> {
        let mut index = 0;
        for (&i, &len) in place.iter().zip(&self.shape) {
            if i >= len {
                return None;
            }
            index = index * len + i;
        }
        Some(self.values[index])
    }
}

fn equal(name: &str, got: &Tensor, expected: &[f64]) -> Result<()> {
    let got = got.to_vec::<f64>()?;
    assert_eq!(got.len(), expected.len(), "{name}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!(
            (got - expected).abs() <= 1e-12,
            "{name}, element {i}: {got}, expected {expected}"
        );
    }
    Ok(())
}

/// Where tap `tap` of output `place` lies in the input.
fn source(place: &[usize], tap: &[usize], o: &Conv3dOptions) -> [usize; 3] {
    std::array::from_fn(|d| {
        (place[d] * o.stride[d] + tap[d] * o.dilation[d]).wrapping_sub(o.padding[d])
    })
}

fn convolutions() -> [([usize; 5], [usize; 5], Conv3dOptions); 6] {
    let default = Conv3dOptions::default();
    [
        ([2, 3, 4, 3, 5], [2, 3, 3, 2, 3], default),
        ([2, 9, 2, 3, 4], [8, 9, 1, 1, 1], default),
        (
            [1, 8, 5, 4, 3],
            [9, 8, 3, 3, 3],
            default.stride([2, 1, 2]).padding([1, 2, 1]),
        ),
        (
            [2, 4, 6, 5, 4],
            [6, 2, 2, 3, 1],
            default.groups(2).dilation([3, 1, 1]).padding([2, 1, 0]),
        ),
        (
            [1, 9, 5, 4, 4],
            [9, 1, 3, 3, 3],
            default.groups(9).padding(1).stride(2),
        ),
        (
            [2, 4, 3, 4, 5],
            [4, 4, 1, 3, 3],
            default.stride([2, 1, 1]).padding([0, 1, 1]),
        ),
    ]
}

#[test]
fn convolution_equals_its_formula() -> Result<()> {
    for (x, w, o) in convolutions() {
        let (x, w, b) = (randn(&x, 1)?, randn(&w, 2)?, randn(&w[..1], 3)?);
        let y = x.conv3d(&w, Some(&b), o)?;
        let [xs, ws, bs] = [Numbers::of(&x)?, Numbers::of(&w)?, Numbers::of(&b)?];
        let (outputs, per_group) = (y.shape()[1] / o.groups, w.shape()[1]);
        let sum = |place: Vec<usize>| {
            let mut sum = bs.values[place[1]];
            for tap in coordinates(&w.shape()[1..]) {
                let [t, h, v] = source(&place[2..], &tap[1..], &o);
                let channel = place[1] / outputs * per_group + tap[0];
                let weight = ws.at(&[place[1], tap[0], tap[1], tap[2], tap[3]]);
                let pixel = xs.at(&[place[0], channel, t, h, v]);
                sum += pixel.unwrap_or(0.0) * weight.unwrap_or(f64::NAN);
            }
            sum
        };
        let expected: Vec<f64> = coordinates(y.shape()).into_iter().map(sum).collect();
        let name = format!("{:?} {o:?}", x.shape());
        equal(&name, &y, &expected)?;
        let single = |x: &Tensor| x.to_dtype(DType::F32);
        let (x, w, b) = (single(&x)?, single(&w)?, single(&b)?);
        let y = no_grad(|| x.conv3d(&w, Some(&b), o))?.to_vec::<f32>()?;
        let largest = expected.iter().fold(0f64, |m, e| m.max(e.abs()));
        for (got, expected) in y.iter().zip(&expected) {
            let error = (f64::from(*got) - expected).abs();
            assert!(error <= 1e-5 * largest, "{name} without gradients: {error}");
        }
    }
    Ok(())
}

#[test]
fn gradients_and_levels_of_convolutions() -> Result<()> {
    for (x, w, o) in convolutions() {
        let inputs = [randn(&x, 1)?, randn(&w, 2)?, randn(&w[..1], 3)?];
        let conv = |x: &[Tensor]| x[0].conv3d(&x[1], x.get(2), o);
        check("conv3d", conv, &inputs, 1e-5)?;
        let row = Conv1dOptions::default()
            .stride(o.stride[0])
            .padding([o.padding[0], 2])
            .dilation(o.dilation[2])
            .groups(o.groups);
        let inputs = [
            randn(&[x[0], x[1], 9], 4)?,
            randn(&[w[0], w[1], 3], 5)?,
            randn(&w[..1], 6)?,
        ];
        let conv = |x: &[Tensor]| x[0].conv1d(&x[1], x.get(2), row);
        check("conv1d", conv, &inputs, 1e-5)?;
    }
    Ok(())
}

#[test]
fn sequences_are_images_of_one_row() -> Result<()> {
    let x = f32s(&[1., 2., 4., 8.], &[1, 1, 4]);
    let w = f32s(&[1., 10.], &[1, 1, 2]);
    let conv = |o| x.conv1d(&w, None, o)?.to_vec::<f32>();
    let o = Conv1dOptions::default();
    assert_eq!(conv(o)?, [21., 42., 84.]);
    assert_eq!(conv(o.padding([1, 0]))?, [10., 21., 42., 84.]);
    assert_eq!(conv(o.padding(1).stride(2))?, [10., 42., 8.]);
    assert_eq!(conv(o.dilation(3))?, [81.]);
    let two = Pool1dOptions::new(2);
    let max = |o| x.max_pool1d(o)?.to_vec::<f32>();
    assert_eq!(max(two)?, [2., 8.]);
    assert_eq!(max(two.stride(1).dilation(2))?, [4., 8.]);
    assert_eq!(max(Pool1dOptions::new(3).ceil_mode(true))?, [4., 8.]);
    let mean = |o, d| x.avg_pool1d(o, d)?.to_vec::<f32>();
    assert_eq!(mean(two, Divisor::IncludePad)?, [1.5, 6.]);
    assert_eq!(mean(two.padding(1), Divisor::ExcludePad)?, [1., 3., 8.]);
    assert_eq!(x.adaptive_avg_pool1d(2)?.to_vec::<f32>()?, [1.5, 6.]);
    assert_eq!(x.adaptive_max_pool1d(3)?.to_vec::<f32>()?, [2., 4., 8.]);
    Ok(())
}

/// `f` of the elements of each window that lie inside, and the number of its taps.
fn windows(
    x: &Tensor,
    y: &[usize],
    k: [usize; 3],
    o: Conv3dOptions,
    f: impl Fn(&[f64], usize) -> f64,
) -> Result<Vec<f64>> {
    let xs = Numbers::of(x)?;
    let value = |place: Vec<usize>| {
        let taps = coordinates(&k);
        let inside = taps.iter().filter_map(|tap| {
            let [t, h, v] = source(&place[2..], tap, &o);
            xs.at(&[place[0], place[1], t, h, v])
        });
        f(&inside.collect::<Vec<_>>(), taps.len())
    };
    Ok(coordinates(y).into_iter().map(value).collect())
}

#[test]
fn pooling_of_volumes() -> Result<()> {
    let default = Conv3dOptions::default();
    let cases = [
        ([1, 2, 2], default.stride([1, 2, 2])),
        ([2, 2, 2], default.stride(2)),
        ([3, 2, 3], default.stride([2, 1, 2]).padding([1, 1, 1])),
        ([2, 1, 2], default.dilation([2, 1, 1])),
    ];
    for shape in [[2, 3, 4, 5, 6], [1, 9, 5, 4, 3]] {
        let x = [randn(&shape, 1)?];
        for (k, o) in cases {
            let window = Pool3dOptions::new(k)
                .stride(o.stride)
                .padding(o.padding)
                .dilation(o.dilation);
            let name = format!("{shape:?} {window:?}");
            let y = x[0].max_pool3d(window)?;
            let max = |v: &[f64], _| v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            equal(&name, &y, &windows(&x[0], y.shape(), k, o, max)?)?;
            check("max_pool3d", |x| x[0].max_pool3d(window), &x, 1e-6)?;
            if o.dilation != [1; 3] {
                continue;
            }
            for divisor in [Divisor::IncludePad, Divisor::ExcludePad, Divisor::Fixed(5)] {
                let y = x[0].avg_pool3d(window, divisor)?;
                let mean = |v: &[f64], taps: usize| {
                    let count = match divisor {
                        Divisor::IncludePad => taps,
                        Divisor::ExcludePad => v.len(),
                        Divisor::Fixed(count) => count,
                    };
                    v.iter().sum::<f64>() / count as f64
                };
                equal(&name, &y, &windows(&x[0], y.shape(), k, o, mean)?)?;
                check("avg_pool3d", |x| x[0].avg_pool3d(window, divisor), &x, 1e-6)?;
            }
        }
        let half = |x: &[Tensor]| x[0].adaptive_avg_pool3d([2, 3, 1]);
        check("adaptive_avg_pool3d", half, &x, 1e-6)?;
        let half = |x: &[Tensor]| x[0].adaptive_max_pool3d([3, 1, 2]);
        check("adaptive_max_pool3d", half, &x, 1e-6)?;
    }
    // Cells of 2 and 2 frames, of 1 and 2 columns.
    let x = Tensor::arange(12, DType::F32)?.reshape([1, 1, 4, 1, 3])?;
    let y = x.adaptive_avg_pool3d([2, 1, 2])?;
    assert_eq!(y.to_vec::<f32>()?, [2., 3., 8., 9.]);
    let y = x.adaptive_max_pool3d(Triple([2, 1, 1]))?;
    assert_eq!(y.to_vec::<f32>()?, [5., 11.]);
    Ok(())
}

#[test]
fn what_does_not_fit() -> Result<()> {
    let (x, w) = (randn(&[1, 4, 3, 3, 3], 1)?, randn(&[2, 4, 2, 2, 2], 2)?);
    let o = Conv3dOptions::default();
    fails(x.conv3d(&w, None, o.dilation([3, 1, 1])), &["kernel"]);
    fails(x.conv3d(&w, None, o.dilation([1, 1, 3])), &["kernel"]);
    fails(x.conv3d(&w, None, o.stride([0, 1, 1])), &["stride"]);
    fails(x.conv3d(&w, None, o.groups(3)), &["groups"]);
    fails(x.conv3d(&w.select(2, 0)?, None, o), &["conv3d", "5"]);
    fails(
        x.conv1d(&w, None, Conv1dOptions::default()),
        &["conv1d", "3"],
    );
    fails(x.max_pool1d(Pool1dOptions::new(2)), &["max_pool1d", "3"]);
    fails(x.max_pool3d(Pool3dOptions::new([4, 1, 1])), &["max_pool2d"]);
    fails(
        x.select(2, 0)?
            .avg_pool3d(Pool3dOptions::new(1), Divisor::IncludePad),
        &["avg_pool3d"],
    );
    let empty = Tensor::zeros([0, 4, 3, 3, 3], DType::F32)?;
    let y = empty.conv3d(&w.to_dtype(DType::F32)?, None, o)?;
    assert_eq!(y.shape(), [0, 2, 2, 2, 2]);
    Ok(())
}
