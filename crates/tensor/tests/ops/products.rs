//! Matrix products and the affine map.

use striate_simd::test_each_level;
use striate_tensor::{DType, Level, Result, Tensor, with_level};

use crate::common::randn;
use crate::harness::{check, f32s, fails};

#[test]
fn gradients_and_levels() -> Result<()> {
    let shapes: [[&[usize]; 2]; 10] = [
        [&[3, 4], &[4, 2]],
        [&[2, 3, 4], &[2, 4, 2]],
        [&[2, 3, 4], &[4, 2]],
        [&[3, 4], &[2, 4, 2]],
        [&[2, 1, 2, 3], &[3, 3, 2]],
        [&[1, 3, 2], &[2, 2, 5]],
        [&[4], &[4]],
        [&[4], &[4, 3]],
        [&[3, 4], &[4]],
        [&[2, 3, 4], &[4]],
    ];
    for [a, b] in shapes {
        let inputs = [randn(a, 1)?, randn(b, 2)?];
        check(
            &format!("{a:?} {b:?}"),
            |x| x[0].matmul(&x[1]),
            &inputs,
            2e-6,
        )?;
    }
    // The right operand in another memory order.
    let inputs = [randn(&[3, 4], 3)?, randn(&[2, 4], 4)?];
    check(
        "transposed",
        |x| x[0].matmul(&x[1].transpose(0, 1)?),
        &inputs,
        2e-6,
    )?;
    for x in [&[5, 3][..], &[3], &[2, 4, 3]] {
        let inputs = [randn(x, 5)?, randn(&[4, 3], 6)?, randn(&[4], 7)?];
        check(
            &format!("linear {x:?}"),
            |x| x[0].linear(&x[1], x.get(2)),
            &inputs,
            2e-6,
        )?;
        check(
            &format!("linear {x:?}"),
            |x| x[0].linear(&x[1], None),
            &inputs[..2],
            2e-6,
        )?;
    }
    Ok(())
}

#[test]
fn shapes_are_those_of_pytorch() -> Result<()> {
    let shape = |a: &[usize], b: &[usize]| -> Result<Vec<usize>> {
        let zeros = |s: &[usize]| Tensor::zeros(s, DType::F32);
        Ok(zeros(a)?.matmul(&zeros(b)?)?.shape().to_vec())
    };
    assert_eq!(shape(&[7], &[7])?, []);
    assert_eq!(shape(&[7], &[7, 2])?, [2]);
    assert_eq!(shape(&[7], &[5, 7, 2])?, [5, 2]);
    assert_eq!(shape(&[5, 3, 7], &[7])?, [5, 3]);
    assert_eq!(shape(&[5, 1, 3, 7], &[4, 7, 2])?, [5, 4, 3, 2]);
    assert_eq!(shape(&[0, 7], &[7, 2])?, [0, 2]);
    assert_eq!(shape(&[3, 0], &[0, 2])?, [3, 2]);
    assert_eq!(shape(&[0, 3, 7], &[7, 2])?, [0, 3, 2]);
    Ok(())
}

test_each_level! {
    fn integers_are_exact(level: Level) {
        with_level(level, || {
            let a = f32s(&[1., 2., 3., 4., 5., 6.], &[2, 3]);
            let b = f32s(&[1., 0., -1., 2., 3., 1.], &[3, 2]);
            assert_eq!(a.matmul(&b).unwrap().to_vec::<f32>().unwrap(), [8., 7., 17., 16.]);
            let bias = f32s(&[10., 20.], &[2]);
            let y = a.linear(&b.transpose(0, 1).unwrap(), Some(&bias)).unwrap();
            assert_eq!(y.to_vec::<f32>().unwrap(), [18., 27., 27., 36.]);
            let nothing = Tensor::zeros([2, 0], DType::F32).unwrap();
            let y = nothing.linear(&nothing, Some(&bias)).unwrap();
            assert_eq!(y.to_vec::<f32>().unwrap(), [10., 20., 10., 20.], "an empty sum is zero");
        });
    }
}

#[test]
fn errors_name_the_shapes() {
    let (a, b) = (f32s(&[0.0; 6], &[2, 3]), f32s(&[0.0; 8], &[4, 2]));
    fails(a.matmul(&b), &["matmul", "[2, 3]", "[4, 2]"]);
    fails(a.matmul(&f32s(&[0.0], &[])), &["matmul", "[2, 3]", "[]"]);
    fails(
        a.matmul(&b.to_dtype(DType::F64).unwrap()),
        &["matmul", "f64"],
    );
    let stack = |n: usize, r: usize, c: usize| Tensor::zeros([n, r, c], DType::F32).unwrap();
    fails(
        stack(2, 3, 4).matmul(&stack(3, 4, 2)),
        &["matmul", "[2]", "[3]"],
    );
    fails(a.linear(&b, None), &["linear", "[2, 3]", "[4, 2]"]);
    // No elements, but products that do not fit.
    let wide = Tensor::zeros([1 << 40, 0], DType::F32).unwrap();
    fails(wide.linear(&wide, None), &["linear", "1099511627776"]);
    fails(
        wide.matmul(&wide.transpose(0, 1).unwrap()),
        &["matmul", "1099511627776"],
    );
    fails(
        a.linear(&a, Some(&f32s(&[0.0; 3], &[3]))),
        &["linear", "bias", "[3]"],
    );
}
