//! Transposed convolution.

use striate_simd::test_each_level;
use striate_tensor::{
    Conv2dOptions, ConvTranspose2dOptions, DType, Level, Result, Tensor, with_level,
};

use crate::common::randn;
use crate::harness::{check, f32s, fails};

fn default() -> ConvTranspose2dOptions {
    ConvTranspose2dOptions::default()
}

#[test]
fn a_pixel_stamps_the_kernel() -> Result<()> {
    // Two pixels, stride 2, kernel 3: the stamps overlap in one column.
    let x = f32s(&[1.0, 10.0], &[1, 1, 1, 2]).to_dtype(DType::F64)?;
    let w = f32s(&[1.0, 2.0, 3.0], &[1, 1, 1, 3]).to_dtype(DType::F64)?;
    let y = x.conv_transpose2d(&w, None, default().stride((1, 2)).output_padding((0, 1)))?;
    assert_eq!(y.to_vec::<f64>()?, [1.0, 2.0, 13.0, 20.0, 30.0, 0.0]);
    Ok(())
}

#[test]
fn it_is_the_gradient_of_a_convolution() -> Result<()> {
    let w = randn(&[6, 2, 3, 4], 1)?;
    let x = randn(&[2, 6, 5, 4], 2)?;
    let options = Conv2dOptions::default()
        .groups(2)
        .stride((2, 3))
        .padding([1, 0, 2, 1])
        .dilation((1, 2));
    let transposed = default()
        .groups(2)
        .stride((2, 3))
        .padding([1, 0, 2, 1])
        .dilation((1, 2))
        .output_padding((1, 2));
    let y = x.conv_transpose2d(&w, None, transposed)?;
    let u = y.detach().requires_grad(true)?;
    let convolved = u.conv2d(&w, None, options)?;
    assert_eq!(convolved.shape(), x.shape());
    let grads = convolved.backward_with(&x)?;
    let expected = grads.get(&u).expect("a leaf").to_vec::<f64>()?;
    for (y, e) in y.to_vec::<f64>()?.iter().zip(&expected) {
        assert!((y - e).abs() < 1e-12, "{y} is not {e}");
    }
    Ok(())
}

#[test]
fn gradients_and_levels() -> Result<()> {
    let cases = [
        // A decoder's layer; few channels on either side; groups; depthwise; pixels that no tap
        // reaches; an output padding of more than a stride.
        ([2, 9, 4, 5], [9, 10, 4, 4], default().stride(2).padding(1)),
        (
            [1, 8, 4, 3],
            [8, 3, 3, 3],
            default().stride(2).padding(1).output_padding(1),
        ),
        ([1, 2, 3, 4], [2, 9, 2, 2], default().stride(2)),
        ([1, 8, 5, 5], [8, 2, 3, 3], default().groups(4).padding(1)),
        (
            [1, 10, 4, 5],
            [10, 1, 3, 3],
            default().groups(10).stride((1, 2)).padding(1),
        ),
        (
            [1, 8, 3, 3],
            [8, 8, 2, 1],
            default().stride((3, 2)).padding([1, 0, 0, 1]),
        ),
        (
            [1, 8, 3, 4],
            [8, 5, 2, 2],
            default()
                .dilation((3, 2))
                .output_padding((2, 1))
                .padding((2, 0)),
        ),
    ];
    for (x, w, options) in cases {
        let outputs = w[1] * options.groups;
        let (x, w, b) = (randn(&x, 3)?, randn(&w, 4)?, randn(&[outputs], 5)?);
        let op = |x: &[Tensor]| x[0].conv_transpose2d(&x[1], x.get(2), options);
        let name = format!("{options:?}");
        check(&name, op, &[x.clone(), w.clone(), b], 2e-6)?;
        check(&format!("without bias {name}"), op, &[x, w], 2e-6)?;
    }
    Ok(())
}

test_each_level! {
    fn memory_order_follows_the_channels(level: Level) {
        let order = |c: usize, o: usize| -> Result<[bool; 3]> {
            let x = Tensor::ones([2, c, 3, 4], DType::F32)?.requires_grad(true)?;
            let w = Tensor::ones([c, o, 2, 2], DType::F32)?;
            let y = x.conv_transpose2d(&w, None, default().stride(2))?;
            let grads = y.backward_with(&y.detach())?;
            let dx = grads.get(&x).expect("the input is a leaf");
            Ok([y.is_channels_last(), y.is_contiguous(), dx.is_channels_last()])
        };
        with_level(level, || {
            assert_eq!(order(8, 9).unwrap(), [true, false, true], "the body");
            assert_eq!(order(16, 2).unwrap(), [false, true, true], "a picture at the end");
        });
    }

    fn nothing_in_nothing_out(level: Level) {
        with_level(level, || {
            let x = Tensor::zeros([0, 8, 5, 5], DType::F32).unwrap().requires_grad(true).unwrap();
            let w = Tensor::ones([8, 9, 4, 4], DType::F32).unwrap().requires_grad(true).unwrap();
            let y = x.conv_transpose2d(&w, None, default().stride(2).padding(1)).unwrap();
            assert_eq!(y.shape(), [0, 9, 10, 10]);
            let grads = y.backward_with(&y.detach()).unwrap();
            assert_eq!(grads.get(&x).map(Tensor::shape), Some(&[0, 8, 5, 5][..]));
            assert!(grads.get(&w).unwrap().to_vec::<f32>().unwrap().iter().all(|&g| g == 0.0));
        });
    }
}

#[test]
fn errors_name_the_shapes() {
    let x = f32s(&[0.0; 2 * 4 * 3 * 3], &[2, 4, 3, 3]);
    let w = f32s(&[0.0; 4 * 2 * 3 * 3], &[4, 2, 3, 3]);
    let wrong = |w: &Tensor, options| x.conv_transpose2d(w, None, options);
    let few = w.narrow(0, 0, 3).unwrap();
    fails(
        wrong(&few, default()),
        &["conv_transpose2d", "[2, 4, 3, 3]", "[3, 2, 3, 3]"],
    );
    fails(
        wrong(&w, default().groups(3)),
        &["conv_transpose2d", "in_channels", "groups"],
    );
    fails(
        wrong(&w, default().stride(0)),
        &["conv_transpose2d", "stride"],
    );
    fails(
        wrong(&w, default().stride(2).output_padding(2)),
        &["conv_transpose2d", "output_padding is 2", "stride of 2"],
    );
    fails(
        wrong(&w, default().padding(3)),
        &["conv_transpose2d", "padding"],
    );
    fails(
        wrong(&w, default().padding(usize::MAX)),
        &["conv_transpose2d", "padding"],
    );
    let bias = f32s(&[0.0; 3], &[3]);
    fails(
        x.conv_transpose2d(&w, Some(&bias), default()),
        &["conv_transpose2d", "bias", "[2]", "[3]"],
    );
    fails(
        x.select(0, 0)
            .unwrap()
            .conv_transpose2d(&w, None, default()),
        &["conv_transpose2d", "[4, 3, 3]"],
    );
    let empty = f32s(&[], &[2, 4, 0, 3]);
    fails(
        empty.conv_transpose2d(&w, None, default()),
        &["conv_transpose2d", "input"],
    );
    fails(
        wrong(&w.to_dtype(DType::F64).unwrap(), default()),
        &["conv_transpose2d", "f64", "f32"],
    );
}
