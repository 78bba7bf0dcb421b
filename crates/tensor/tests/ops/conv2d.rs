//! Convolution.

use striate_simd::test_each_level;
use striate_tensor::{Conv2dOptions, DType, Level, Result, Tensor, with_level};

use crate::common::{coordinates, randn};
use crate::harness::{check, f32s, fails};

fn conv(options: Conv2dOptions) -> impl Fn(&[Tensor]) -> Result<Tensor> {
    move |x| x[0].conv2d(&x[1], x.get(2), options)
}

/// The formula of the documentation, term by term.
fn formula(x: &Tensor, w: &Tensor, options: Conv2dOptions) -> Result<Vec<f64>> {
    let y = x.conv2d(w, None, options)?;
    let Conv2dOptions {
        stride,
        padding,
        dilation,
        groups,
    } = options;
    let at = |t: &Tensor, i: [usize; 4]| -> Result<f64> {
        i.into_iter()
            .try_fold(t.clone(), |t, i| t.select(0, i))?
            .item()
    };
    let per_group = w.shape()[1];
    let outputs = y.shape()[1] / groups;
    coordinates(y.shape())
        .iter()
        .map(|y| {
            let mut sum = 0.0;
            for tap in coordinates(&w.shape()[1..]) {
                let row = (y[2] * stride[0] + tap[1] * dilation[0]).wrapping_sub(padding[0]);
                let column = (y[3] * stride[1] + tap[2] * dilation[1]).wrapping_sub(padding[2]);
                if row < x.shape()[2] && column < x.shape()[3] {
                    let channel = y[1] / outputs * per_group + tap[0];
                    let weight = at(w, [y[1], tap[0], tap[1], tap[2]])?;
                    sum += at(x, [y[0], channel, row, column])? * weight;
                }
            }
            Ok(sum)
        })
        .collect()
}

#[test]
fn equals_its_formula() -> Result<()> {
    let cases = [
        ([2, 3, 5, 4], [2, 3, 3, 2], Conv2dOptions::default()),
        (
            [1, 4, 6, 5],
            [6, 2, 3, 3],
            Conv2dOptions::default()
                .groups(2)
                .stride((2, 1))
                .padding([1, 2, 0, 3]),
        ),
        (
            [1, 9, 5, 6],
            [9, 1, 2, 3],
            Conv2dOptions::default().groups(9).dilation(2).padding(2),
        ),
    ];
    for (x, w, options) in cases {
        let (x, w) = (randn(&x, 1)?, randn(&w, 2)?);
        let expected = formula(&x, &w, options)?;
        let y = x.conv2d(&w, None, options)?.to_vec::<f64>()?;
        let wrong = y
            .iter()
            .zip(&expected)
            .find(|(y, e)| (*y - *e).abs() > 1e-12);
        assert!(wrong.is_none(), "{options:?}: {wrong:?}");
    }
    Ok(())
}

#[test]
fn gradients_and_levels() -> Result<()> {
    let default = Conv2dOptions::default();
    let cases = [
        // Many channels; few, read plane by plane; few of either.
        ([2, 9, 4, 5], [10, 9, 3, 3], default.padding(1)),
        ([1, 3, 7, 6], [9, 3, 3, 3], default.stride(2).padding(1)),
        ([1, 2, 5, 5], [1, 2, 3, 3], default.padding([1, 0, 2, 1])),
        ([2, 8, 3, 4], [5, 8, 1, 1], default),
        ([1, 8, 5, 5], [8, 2, 3, 3], default.groups(4).padding(1)),
        (
            [1, 10, 6, 5],
            [10, 1, 3, 3],
            default.groups(10).stride((1, 2)).padding(1),
        ),
        (
            [1, 8, 6, 7],
            [8, 8, 3, 3],
            default.dilation((2, 3)).padding((2, 3)),
        ),
    ];
    for (x, w, options) in cases {
        let outputs = w[0];
        let (x, w, b) = (randn(&x, 3)?, randn(&w, 4)?, randn(&[outputs], 5)?);
        check(
            &format!("{options:?}"),
            conv(options),
            &[x.clone(), w.clone(), b],
            2e-6,
        )?;
        check(
            &format!("without bias {options:?}"),
            conv(options),
            &[x, w],
            2e-6,
        )?;
    }
    Ok(())
}

test_each_level! {
    fn memory_order_follows_the_channels(level: Level) {
        let order = |c: usize, o: usize| -> Result<[bool; 3]> {
            let x = Tensor::ones([2, c, 3, 4], DType::F32)?.requires_grad(true)?;
            let w = Tensor::ones([o, c, 1, 1], DType::F32)?;
            let y = x.conv2d(&w, None, Conv2dOptions::default())?;
            let grads = y.backward_with(&y.detach())?;
            let dx = grads.get(&x).expect("the input is a leaf");
            Ok([y.is_channels_last(), y.is_contiguous(), dx.is_channels_last()])
        };
        with_level(level, || {
            assert_eq!(order(3, 8).unwrap(), [true, false, false], "the stem");
            assert_eq!(order(8, 9).unwrap(), [true, false, true], "the body");
            assert_eq!(order(16, 2).unwrap(), [false, true, true], "a narrow end");
        });
    }

    fn nothing_in_nothing_out(level: Level) {
        with_level(level, || {
            let x = Tensor::zeros([0, 8, 5, 5], DType::F32).unwrap().requires_grad(true).unwrap();
            let w = Tensor::ones([8, 8, 3, 3], DType::F32).unwrap().requires_grad(true).unwrap();
            let y = x.conv2d(&w, None, Conv2dOptions::default()).unwrap();
            assert_eq!(y.shape(), [0, 8, 3, 3]);
            let grads = y.backward_with(&y.detach()).unwrap();
            assert_eq!(grads.get(&x).map(Tensor::shape), Some(&[0, 8, 5, 5][..]));
            assert!(grads.get(&w).unwrap().to_vec::<f32>().unwrap().iter().all(|&g| g == 0.0));
        });
    }
}

#[test]
fn only_what_is_needed_is_computed() -> Result<()> {
    let (x, w) = (
        randn(&[1, 2, 3, 3], 6)?,
        randn(&[1, 2, 2, 2], 7)?.requires_grad(true)?,
    );
    let y = x.conv2d(&w, None, Conv2dOptions::default())?;
    let grads = y.backward_with(&y.detach())?;
    assert_eq!((grads.len(), grads.get(&x).is_none()), (1, true));
    Ok(())
}

#[test]
fn errors_name_the_shapes() {
    let default = Conv2dOptions::default();
    let x = f32s(&[0.0; 2 * 4 * 3 * 3], &[2, 4, 3, 3]);
    let w = f32s(&[0.0; 4 * 2 * 3 * 3], &[4, 2, 3, 3]);
    fails(
        x.conv2d(&w, None, default),
        &["conv2d", "[2, 4, 3, 3]", "[4, 2, 3, 3]"],
    );
    fails(x.conv2d(&w, None, default.groups(3)), &["conv2d", "groups"]);
    fails(
        x.conv2d(&w, None, default.groups(2).dilation(2)),
        &["conv2d", "kernel", "padded input"],
    );
    fails(
        x.conv2d(&w, None, default.groups(2).stride(0)),
        &["conv2d", "stride"],
    );
    fails(
        x.conv2d(&w, None, default.groups(2).padding(usize::MAX)),
        &["conv2d", "padding"],
    );
    let bias = f32s(&[0.0; 3], &[3]);
    fails(
        x.conv2d(&w, Some(&bias), default.groups(2)),
        &["conv2d", "bias", "[4]", "[3]"],
    );
    fails(
        x.select(0, 0).unwrap().conv2d(&w, None, default),
        &["conv2d", "[4, 3, 3]"],
    );
    let w = w.to_dtype(DType::F64).unwrap();
    fails(
        x.conv2d(&w, None, default.groups(2)),
        &["conv2d", "f64", "f32"],
    );
}
