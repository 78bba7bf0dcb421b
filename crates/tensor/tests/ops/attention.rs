//! Attention against its definition, softmax and two products.

use striate_tensor::{DType, Result, Tensor, gradcheck};

use crate::common::randn;
use crate::harness::{check, fails};

#[test]
fn equals_softmax_between_products() -> Result<()> {
    let (q, k, v) = (
        randn(&[2, 5, 3], 1)?,
        randn(&[2, 4, 3], 2)?,
        randn(&[2, 4, 6], 3)?,
    );
    let y = q.attention(&k, &v, 0.6)?.to_vec::<f64>()?;
    let weights = q.matmul(&k.transpose(1, 2)?)?.mul_scalar(0.6)?.softmax(2)?;
    let expected = weights.matmul(&v)?.to_vec::<f64>()?;
    assert!(y.iter().zip(&expected).all(|(y, e)| (y - e).abs() < 1e-14));
    Ok(())
}

#[test]
fn gradients_and_levels() -> Result<()> {
    for (p, q, d, e) in [(5, 4, 3, 6), (1, 9, 8, 1), (17, 2, 2, 9)] {
        let x = [
            randn(&[2, p, d], 1)?,
            randn(&[2, q, d], 2)?,
            randn(&[2, q, e], 3)?,
        ];
        let attend = |x: &[Tensor]| x[0].attention(&x[1], &x[2], 0.8);
        check("attention", attend, &x, 1e-5)?;
    }
    // Queries, keys and values may be one tensor.
    let own = |x: &[Tensor]| x[0].attention(&x[0], &x[0], 1.0);
    check("attention", own, &[randn(&[2, 6, 3], 4)?], 1e-5)
}

#[test]
fn pools_are_means_weighted_by_a_softmax() -> Result<()> {
    for shape in [
        &[2, 5, 3, 4][..],
        &[1, 17, 2, 3],
        &[2, 9, 7],
        &[2, 8, 2, 2, 2],
    ] {
        let c = shape[1];
        // Products that leave several pixels a weight: one alone has no gradient.
        let query = randn(&[c], 2)?.mul_scalar(0.3)?;
        let x = [randn(shape, 1)?, query, randn(&[1], 3)?];
        let weigh = |x: &[Tensor]| {
            let places = x[0].flatten(2, x[0].rank() - 1)?;
            let products = x[1].unsqueeze(0)?.matmul(&places)?.add(&x[2])?;
            let weights = products.softmax(2)?.transpose(1, 2)?;
            places.matmul(&weights)?.squeeze(2)
        };
        let pool = |x: &[Tensor]| x[0].attention_pool(&x[1], &x[2]);
        let (y, expected) = (pool(&x)?.to_vec::<f64>()?, weigh(&x)?.to_vec::<f64>()?);
        assert!(
            y.iter().zip(&expected).all(|(y, e)| (y - e).abs() < 1e-13),
            "{shape:?}"
        );
        // The gradient of what is added to all products is a difference of equal sums.
        let of_two = |y: &[Tensor]| y[0].attention_pool(&y[1], &x[2].to_dtype(y[0].dtype())?);
        check("attention_pool", of_two, &x[..2], 1e-5)?;
        gradcheck(pool, &x)?;
    }
    let x = randn(&[2, 6, 3, 3], 1)?;
    let (weight, bias) = (randn(&[5], 2)?, randn(&[1], 3)?);
    fails(
        x.attention_pool(&weight, &bias),
        &["attention_pool", "[6]", "[5]"],
    );
    fails(
        x.narrow(3, 0, 0)?.attention_pool(&randn(&[6], 2)?, &bias),
        &["places", "at least 1"],
    );
    Ok(())
}

#[test]
fn rectified_pairs() -> Result<()> {
    for (p, q, e) in [(5, 4, 6), (1, 9, 1), (17, 2, 9)] {
        let x = [
            randn(&[2, p], 1)?,
            randn(&[2, q], 2)?,
            randn(&[2, q, e], 3)?,
        ];
        let y = x[0].rectified_pairs(&x[1], &x[2])?.to_vec::<f64>()?;
        let weights = x[0].unsqueeze(2)?.add(&x[1].unsqueeze(1)?)?.relu()?;
        let expected = weights.matmul(&x[2])?.to_vec::<f64>()?;
        assert!(y.iter().zip(&expected).all(|(y, e)| (y - e).abs() < 1e-13));
        let gather = |x: &[Tensor]| x[0].rectified_pairs(&x[1], &x[2]);
        check("rectified_pairs", gather, &x, 1e-6)?;
    }
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32);
    let (a, b, v) = (zeros(&[2, 5])?, zeros(&[2, 4])?, zeros(&[2, 4, 6])?);
    fails(a.rectified_pairs(&a, &v), &["rectified_pairs", "[B, Q, E]"]);
    fails(
        a.rectified_pairs(&b, &b),
        &["rectified_pairs", "3 dimensions"],
    );
    Ok(())
}

#[test]
fn what_does_not_fit() -> Result<()> {
    let zeros = |shape: [usize; 3]| Tensor::zeros(shape, DType::F32);
    let (q, k, v) = (zeros([2, 5, 3])?, zeros([2, 4, 3])?, zeros([2, 4, 6])?);
    fails(q.attention(&v, &k, 1.0), &["attention", "[2, 4, 6]"]);
    fails(q.attention(&k, &q, 1.0), &["attention", "[B, Q, E]"]);
    fails(
        q.attention(&k, &v.to_dtype(DType::F64)?, 1.0),
        &["attention", "f64"],
    );
    fails(
        q.attention(&zeros([2, 0, 3])?, &zeros([2, 0, 6])?, 1.0),
        &["keys", "1"],
    );
    fails(
        q.select(0, 0)?.attention(&k, &v, 1.0),
        &["attention", "3 dimensions"],
    );
    assert_eq!(zeros([2, 0, 3])?.attention(&k, &v, 1.0)?.shape(), [2, 0, 6]);
    Ok(())
}
