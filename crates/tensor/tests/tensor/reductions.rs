//! Reductions against loops, in every memory order.

use striate_tensor::{DType, Result, Tensor};

use crate::common::{coordinates, layouts, randn};

/// Groups the elements of each output, in row-major order of the outputs.
fn groups(x: &Tensor, dims: &[usize]) -> Vec<Vec<f64>> {
    let kept: Vec<usize> = (0..x.rank()).filter(|d| !dims.contains(d)).collect();
    let mut groups = std::collections::BTreeMap::<Vec<usize>, Vec<f64>>::new();
    for (value, at) in x
        .to_vec::<f64>()
        .unwrap()
        .into_iter()
        .zip(coordinates(x.shape()))
    {
        groups
            .entry(kept.iter().map(|&d| at[d]).collect())
            .or_default()
            .push(value);
    }
    groups.into_values().collect()
}

fn close(x: &Tensor, expected: &[f64]) {
    let x = x.to_vec::<f64>().unwrap();
    assert_eq!(x.len(), expected.len());
    for (x, e) in x.iter().zip(expected) {
        assert!((x - e).abs() <= 1e-13 * e.abs().max(1.0), "{x} {e}");
    }
}

#[test]
fn every_subset_of_dimensions_reduces() -> Result<()> {
    let x = randn(&[2, 9, 3, 4], 1)?;
    for x in layouts(&x)? {
        for mask in 1..16usize {
            let dims: Vec<usize> = (0..4).filter(|d| mask >> d & 1 == 1).collect();
            let groups = groups(&x, &dims);
            let each = |f: fn(&[f64]) -> f64| groups.iter().map(|g| f(g)).collect::<Vec<_>>();
            close(&x.sum(&dims, false)?, &each(|g| g.iter().sum()));
            close(
                &x.mean(&dims, true)?,
                &each(|g| g.iter().sum::<f64>() / g.len() as f64),
            );
            close(
                &x.amax(&dims, false)?,
                &each(|g| g.iter().copied().fold(f64::MIN, f64::max)),
            );
            close(
                &x.amin(&dims, true)?,
                &each(|g| g.iter().copied().fold(f64::MAX, f64::min)),
            );
            let shape: Vec<usize> = (0..4)
                .map(|d| if dims.contains(&d) { 1 } else { x.shape()[d] })
                .collect();
            assert_eq!(x.sum(&dims, true)?.shape(), shape);
        }
        for dim in 0..4 {
            let groups = groups(&x, &[dim]);
            let place = |g: &Vec<f64>| (0..g.len()).fold(0, |b, i| if g[i] > g[b] { i } else { b });
            let places: Vec<i64> = groups.iter().map(|g| place(g) as i64).collect();
            assert_eq!(x.argmax(dim)?.to_vec::<i64>()?, places);
            let lse: Vec<f64> = groups
                .iter()
                .map(|g| g.iter().map(|x| x.exp()).sum::<f64>().ln())
                .collect();
            close(&x.logsumexp(dim)?, &lse);
        }
    }
    Ok(())
}

#[test]
fn reducing_nothing_changes_nothing() -> Result<()> {
    let x = randn(&[2, 3], 2)?;
    close(&x.sum(&[], false)?, &x.to_vec::<f64>()?);
    close(&x.amax(&[], true)?, &x.to_vec::<f64>()?);
    Ok(())
}

#[test]
fn ties_share_the_gradient_of_an_extreme() -> Result<()> {
    let x = Tensor::from_slice(&[1.0, 3.0, 3.0, 0.0], 4)?.requires_grad(true)?;
    let grads = x.amax(&[0], false)?.backward()?;
    assert_eq!(
        grads.get(&x).unwrap().to_vec::<f64>()?,
        [0.0, 0.5, 0.5, 0.0]
    );
    let y = Tensor::from_slice(&[3.0], 1)?;
    let grads = x.maximum(&y)?.sum_all()?.backward()?;
    assert_eq!(
        grads.get(&x).unwrap().to_vec::<f64>()?,
        [0.0, 0.5, 0.5, 0.0]
    );
    Ok(())
}

#[test]
fn logsumexp_does_not_overflow() -> Result<()> {
    let x = Tensor::from_slice(&[1000.0f32, 1000.0], 2)?;
    assert!((x.logsumexp(0)?.item::<f32>()? - 1000.6931).abs() < 1e-3);
    let x = Tensor::from_slice(&[f32::NEG_INFINITY; 2], 2)?;
    assert_eq!(x.logsumexp(0)?.item::<f32>()?, f32::NEG_INFINITY);
    Ok(())
}

#[test]
fn integers_must_be_converted_first() -> Result<()> {
    let x = Tensor::ones(3, DType::I64)?;
    for result in [
        x.sum_all(),
        x.argmax(0),
        x.relu(),
        x.add(&x),
        x.logsumexp(0),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(
            error.contains("i64") && error.contains("f32 or f64"),
            "{error}"
        );
    }
    assert_eq!(x.to_dtype(DType::F32)?.sum_all()?.item::<f32>()?, 3.0);
    let wide = Tensor::from_slice(&[-1.5, 300.0, f64::NAN], 3)?;
    assert_eq!(wide.to_dtype(DType::U8)?.to_vec::<u8>()?, [0, 255, 0]);
    Ok(())
}

#[test]
fn one_side_of_a_channels_last_map_is_reduced_as_of_any_other() -> Result<()> {
    let x = randn(&[2, 9, 4, 5], 1)?;
    for (dims, gate) in [([2, 0], [1, 9, 1, 5]), ([3, 0], [1, 9, 4, 1])] {
        let results = |x: &Tensor| -> Result<[Tensor; 4]> {
            let gate = randn(&gate, 2)?.requires_grad(true)?;
            let x = x.detach().requires_grad(true)?;
            let gradients = x.mul(&gate)?.square()?.sum_all()?.backward()?;
            let of = |leaf| gradients.get(leaf).cloned();
            let [dx, dgate] = [of(&x).unwrap(), of(&gate).unwrap()];
            Ok([x.sum(&dims, false)?, x.mean(&dims[..1], true)?, dx, dgate])
        };
        let expected = results(&x)?;
        let found = results(&x.channels_last()?)?;
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.shape(), expected.shape());
            close(found, &expected.to_vec::<f64>()?);
        }
    }
    Ok(())
}
