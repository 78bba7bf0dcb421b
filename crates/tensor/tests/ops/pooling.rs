//! Pooling.

use striate_simd::test_each_level;
use striate_tensor::{DType, Divisor, Level, PoolOptions, Result, Tensor, with_level};

use crate::common::randn;
use crate::harness::{check, f32s, fails};

fn image() -> Tensor {
    f32s(&[1., 2., 3., 4., 5., 6., 7., 8., 9.], &[1, 1, 3, 3])
}

fn values(y: Result<Tensor>) -> Vec<f32> {
    y.unwrap().to_vec().unwrap()
}

#[test]
fn values_of_small_windows() {
    let x = image();
    let two = PoolOptions::new(2);
    assert_eq!(values(x.max_pool2d(two)), [5.]);
    assert_eq!(values(x.max_pool2d(two.stride(1))), [5., 6., 8., 9.]);
    assert_eq!(values(x.max_pool2d(two.ceil_mode(true))), [5., 6., 8., 9.]);
    assert_eq!(values(x.max_pool2d(two.dilation(2))), [9.]);
    let padded = two.padding(1);
    assert_eq!(
        values(x.avg_pool2d(padded, Divisor::IncludePad)),
        [0.25, 1.25, 2.75, 7.]
    );
    assert_eq!(
        values(x.avg_pool2d(padded, Divisor::ExcludePad)),
        [1., 2.5, 5.5, 7.]
    );
    assert_eq!(values(x.avg_pool2d(two, Divisor::Fixed(3))), [4.]);
    assert_eq!(values(x.adaptive_avg_pool2d(2)), [3., 4., 6., 7.]);
    assert_eq!(values(x.adaptive_avg_pool2d([1, 3])), [4., 5., 6.]);
    assert_eq!(values(x.adaptive_max_pool2d((2, 1))), [6., 9.]);
}

#[test]
fn gradients_and_levels() -> Result<()> {
    let options = [
        PoolOptions::new(2),
        PoolOptions::new(3).stride(2).padding(1),
        PoolOptions::new((2, 3))
            .stride((1, 2))
            .padding([1, 0, 0, 1])
            .ceil_mode(true),
        PoolOptions::new(2).dilation(2).stride(1),
    ];
    for shape in [[2, 9, 5, 6], [1, 3, 6, 5]] {
        let x = [randn(&shape, 1)?];
        for options in options {
            check("max_pool2d", |x| x[0].max_pool2d(options), &x, 1e-6)?;
            for divisor in [Divisor::IncludePad, Divisor::ExcludePad, Divisor::Fixed(5)] {
                check(
                    "avg_pool2d",
                    |x| x[0].avg_pool2d(options, divisor),
                    &x,
                    1e-6,
                )?;
            }
        }
        for size in [[1, 1], [3, 2], [7, 4]] {
            check(
                "adaptive_avg_pool2d",
                |x| x[0].adaptive_avg_pool2d(size),
                &x,
                1e-6,
            )?;
            check(
                "adaptive_max_pool2d",
                |x| x[0].adaptive_max_pool2d(size),
                &x,
                1e-6,
            )?;
        }
        check("global mean", |x| x[0].mean(&[2, 3], true), &x, 1e-6)?;
        check("global max", |x| x[0].amax(&[2, 3], true), &x, 1e-6)?;
    }
    // More pixels than a byte can tell apart.
    let x = [randn(&[1, 1, 17, 17], 2)?];
    check(
        "large window",
        |x| x[0].max_pool2d(PoolOptions::new(16).stride(1)),
        &x,
        1e-6,
    )
}

test_each_level! {
    fn the_first_of_equal_ones_gets_the_gradient(level: Level) {
        with_level(level, || {
            for c in [1, 8] {
                let x = Tensor::ones([1, c, 2, 2], DType::F32).unwrap().requires_grad(true).unwrap();
                for y in [x.max_pool2d(PoolOptions::new(2)), x.adaptive_max_pool2d(1)] {
                    let grads = y.unwrap().sum_all().unwrap().backward().unwrap();
                    let dx = grads.get(&x).unwrap().to_vec::<f32>().unwrap();
                    assert_eq!(dx, [1., 0., 0., 0.].repeat(c));
                }
            }
        });
    }

    fn not_a_number_wins(level: Level) {
        with_level(level, || {
            let x = f32s(&[1., f32::NAN, 3., 4.], &[1, 1, 2, 2]).expand([1, 9, 2, 2]).unwrap();
            for y in [x.max_pool2d(PoolOptions::new(2)), x.adaptive_max_pool2d(1), x.amax(&[2, 3], true)] {
                assert!(values(y).iter().all(|y| y.is_nan()), "a window with a NaN is NaN");
            }
        });
    }

    fn memory_order_and_empty_batches(level: Level) {
        with_level(level, || {
            let x = Tensor::zeros([0, 8, 4, 4], DType::F32).unwrap();
            assert_eq!(x.max_pool2d(PoolOptions::new(2)).unwrap().shape(), [0, 8, 2, 2]);
            assert_eq!(x.adaptive_avg_pool2d(1).unwrap().shape(), [0, 8, 1, 1]);
            let x = Tensor::zeros([2, 8, 4, 4], DType::F32).unwrap();
            let y = x.avg_pool2d(PoolOptions::new(2), Divisor::IncludePad).unwrap();
            assert!(y.is_channels_last() && !y.is_contiguous(), "eight channels are kept innermost");
        });
    }
}

#[test]
fn errors_name_the_rule() {
    let x = image();
    fails(
        x.max_pool2d(PoolOptions::new(4)),
        &["max_pool2d", "kernel", "padded input"],
    );
    fails(
        x.max_pool2d(PoolOptions::new(2).padding(2)),
        &["max_pool2d", "padding", "half"],
    );
    fails(
        x.avg_pool2d(PoolOptions::new(2).stride(0), Divisor::IncludePad),
        &["avg_pool2d", "stride"],
    );
    fails(
        x.avg_pool2d(PoolOptions::new(2), Divisor::Fixed(0)),
        &["avg_pool2d", "divisor"],
    );
    fails(
        x.max_pool2d(PoolOptions::new(usize::MAX)),
        &["max_pool2d", "kernel"],
    );
    fails(
        x.select(0, 0).unwrap().max_pool2d(PoolOptions::new(2)),
        &["max_pool2d", "[1, 3, 3]"],
    );
    fails(
        x.to_dtype(DType::U8).unwrap().adaptive_avg_pool2d(1),
        &["adaptive_avg_pool2d", "u8"],
    );
    let empty = Tensor::zeros([1, 1, 0, 3], DType::F32).unwrap();
    fails(
        empty.adaptive_max_pool2d(1),
        &["adaptive_max_pool2d", "[1, 1, 0, 3]"],
    );
}
