//! Broadcasting against a loop over coordinates.

use proptest::prelude::*;
use striate_tensor::{DType, Result, Tensor};

use crate::common::{coordinates, layouts, positive};

/// Two shapes that broadcast, and the common one.
fn shapes() -> impl Strategy<Value = (Vec<usize>, Vec<usize>, Vec<usize>)> {
    let dim = (0usize..4, 0u8..4).prop_map(|(len, kind)| match kind {
        0 => (1, len, len),
        1 => (len, 1, len),
        _ => (len, len, len),
    });
    (prop::collection::vec(dim, 0..5), 0usize..3, 0usize..3).prop_map(|(dims, cut_a, cut_b)| {
        let full: Vec<usize> = dims.iter().map(|d| d.2).collect();
        let mut a: Vec<usize> = dims.iter().map(|d| d.0).collect();
        let mut b: Vec<usize> = dims.iter().map(|d| d.1).collect();
        // Missing leading dimensions count as 1, in one operand only.
        let cut_a = cut_a.min(a.len());
        let cut_b = if cut_a == 0 { cut_b.min(b.len()) } else { 0 };
        let full = full
            .iter()
            .enumerate()
            .map(|(d, &len)| {
                if d < cut_a {
                    b[d]
                } else if d < cut_b {
                    a[d]
                } else {
                    len
                }
            })
            .collect();
        a.drain(..cut_a);
        b.drain(..cut_b);
        (a, b, full)
    })
}

/// The element of a tensor that a coordinate of the common shape reads.
fn at(values: &[f64], shape: &[usize], coordinate: &[usize]) -> f64 {
    let own = &coordinate[coordinate.len() - shape.len()..];
    let index = own.iter().zip(shape).fold(0, |index, (&i, &len)| {
        index * len + if len == 1 { 0 } else { i }
    });
    values[index]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pairs_meet_as_in_a_loop((a_shape, b_shape, shape) in shapes(), seed: u64) {
        check(&a_shape, &b_shape, &shape, seed).unwrap();
    }
}

fn check(a_shape: &[usize], b_shape: &[usize], shape: &[usize], seed: u64) -> Result<()> {
    let (a, b) = (positive(a_shape, seed)?, positive(b_shape, seed ^ 1)?);
    let (av, bv) = (a.to_vec::<f64>()?, b.to_vec::<f64>()?);
    let pair = |c: &Vec<usize>| (at(&av, a_shape, c), at(&bv, b_shape, c));
    let pairs: Vec<(f64, f64)> = coordinates(shape).iter().map(pair).collect();
    let expected = |f: fn(f64, f64) -> f64| pairs.iter().map(|&(x, y)| f(x, y)).collect::<Vec<_>>();
    for a in layouts(&a)? {
        for b in layouts(&b)? {
            let sum = a.add(&b)?;
            assert_eq!(sum.shape(), shape);
            assert_eq!(sum.to_vec::<f64>()?, expected(|x, y| x + y));
            assert_eq!(a.sub(&b)?.to_vec::<f64>()?, expected(|x, y| x - y));
            assert_eq!(a.mul(&b)?.to_vec::<f64>()?, expected(|x, y| x * y));
            assert_eq!(a.div(&b)?.to_vec::<f64>()?, expected(|x, y| x / y));
            assert_eq!(a.maximum(&b)?.to_vec::<f64>()?, expected(f64::max));
            assert_eq!(a.minimum(&b)?.to_vec::<f64>()?, expected(f64::min));
            let less: Vec<u8> = pairs.iter().map(|&(x, y)| u8::from(x < y)).collect();
            assert_eq!(a.lt(&b)?.to_vec::<u8>()?, less);
        }
    }
    // The gradient of a repeated element is the sum over its repetitions.
    let (a, b) = (a.requires_grad(true)?, b.requires_grad(true)?);
    let grads = a.mul(&b)?.sum_all()?.backward()?;
    let mut expected = vec![0.0; av.len()];
    for (c, (_, y)) in coordinates(shape).iter().zip(&pairs) {
        let own = &c[c.len() - a_shape.len()..];
        let index = own.iter().zip(a_shape).fold(0, |index, (&i, &len)| {
            index * len + if len == 1 { 0 } else { i }
        });
        expected[index] += y;
    }
    let grad = grads.get(&a).unwrap();
    assert_eq!(grad.shape(), a_shape);
    for (x, y) in grad.to_vec::<f64>()?.iter().zip(&expected) {
        assert!((x - y).abs() < 1e-12 * y.abs().max(1.0), "{x} {y}");
    }
    Ok(())
}

#[test]
fn repeated_elements_have_no_say_in_the_memory_order() -> Result<()> {
    let x = Tensor::ones([2, 9, 3, 5], DType::F32)?.channels_last()?;
    let repeated = Tensor::ones([2, 9, 1, 1], DType::F32)?.expand([2, 9, 3, 5])?;
    assert!(repeated.add(&x)?.is_channels_last() && x.add(&repeated)?.is_channels_last());
    Ok(())
}

#[test]
fn comparisons_work_on_every_type() -> Result<()> {
    let a = Tensor::from_slice(&[1i64, 2, 3], 3)?;
    let b = Tensor::from_slice(&[2i64], 1)?;
    assert_eq!(a.eq(&b)?.to_vec::<u8>()?, [0, 1, 0]);
    assert_eq!(a.ne(&b)?.to_vec::<u8>()?, [1, 0, 1]);
    assert_eq!(a.le(&b)?.to_vec::<u8>()?, [1, 1, 0]);
    assert_eq!(a.ge(&b)?.to_vec::<u8>()?, [0, 1, 1]);
    assert_eq!(a.gt(&b)?.dtype(), DType::U8);
    let nan = Tensor::scalar(f32::NAN)?;
    assert_eq!(nan.eq(&nan)?.item::<u8>()?, 0);
    assert!(
        Tensor::scalar(1.0f32)?
            .maximum(&nan)?
            .item::<f32>()?
            .is_nan()
    );
    Ok(())
}
