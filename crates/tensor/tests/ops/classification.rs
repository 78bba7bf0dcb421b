//! Softmax, its logarithm and the cross-entropy.

use striate_simd::test_each_level;
use striate_tensor::{DType, Level, Result, Tensor, with_level};

use crate::common::randn;
use crate::harness::{check, f32s, fails};

#[test]
fn gradients_and_levels() -> Result<()> {
    for shape in [vec![5], vec![3, 7], vec![2, 9, 3, 2], vec![1, 2, 3, 4]] {
        let x = [randn(&shape, 1)?.mul_scalar(3.0)?];
        for dim in 0..shape.len() {
            check(
                &format!("softmax {dim} of {shape:?}"),
                |x| x[0].softmax(dim),
                &x,
                2e-6,
            )?;
            check(
                &format!("log_softmax {dim} of {shape:?}"),
                |x| x[0].log_softmax(dim),
                &x,
                2e-6,
            )?;
        }
    }
    for (shape, labels) in [
        (vec![3, 5], vec![0i64, 4, 2]),
        (vec![2, 9, 1, 2], vec![8, 0, 3, 3]),
        (vec![1, 3, 2], vec![1, 2]),
    ] {
        let x = [randn(&shape, 2)?];
        let target = [&shape[..1], &shape[2..]].concat();
        let target = Tensor::from_vec(labels, target)?;
        for smoothing in [0.0, 0.1, 1.0] {
            let name = format!("cross_entropy {shape:?} {smoothing}");
            check(&name, |x| x[0].cross_entropy(&target, smoothing), &x, 2e-6)?;
        }
    }
    Ok(())
}

test_each_level! {
    fn nothing_overflows(level: Level) {
        with_level(level, || {
            let x = f32s(&[1000., 1000., -1000., -1e30], &[1, 4]);
            let p = x.softmax(1).unwrap().to_vec::<f32>().unwrap();
            assert_eq!(p, [0.5, 0.5, 0., 0.]);
            let target = Tensor::from_slice(&[3i64], 1).unwrap();
            let loss = x.cross_entropy(&target, 0.0).unwrap().item::<f32>().unwrap();
            assert!((loss - 1e30).abs() < 1e24, "{loss}");
        });
    }

    fn a_hopeless_class_does_not_spoil_the_loss(level: Level) {
        with_level(level, || {
            let x = f32s(&[0., f32::NEG_INFINITY, 0.], &[1, 3]);
            let target = Tensor::from_slice(&[0i64], 1).unwrap();
            let loss = x.cross_entropy(&target, 0.0).unwrap().item::<f32>().unwrap();
            assert!((loss - 2f32.ln()).abs() < 1e-6, "{loss}");
        });
    }
}

#[test]
fn uniform_logits_give_the_logarithm_of_the_classes() -> Result<()> {
    let x = Tensor::zeros([4, 10], DType::F64)?.requires_grad(true)?;
    let target = Tensor::from_slice(&[0i64, 3, 9, 9], 4)?;
    let loss = x.cross_entropy(&target, 0.0)?;
    assert!((loss.item::<f64>()? - 10f64.ln()).abs() < 1e-12);
    let grads = loss.backward()?;
    let dx = grads.get(&x).expect("a leaf").to_vec::<f64>()?;
    assert!((dx[0] - (0.1 - 1.0) / 4.0).abs() < 1e-12 && (dx[1] - 0.1 / 4.0).abs() < 1e-12);
    Ok(())
}

#[test]
fn errors_name_the_rule() {
    let x = f32s(&[0.0; 6], &[2, 3]);
    let target = |labels: &[i64]| Tensor::from_slice(labels, labels.len()).unwrap();
    fails(x.softmax(2), &["softmax", "2", "[2, 3]"]);
    fails(
        x.to_dtype(DType::I64).unwrap().log_softmax(1),
        &["log_softmax", "i64"],
    );
    fails(
        x.cross_entropy(&target(&[0, 3]), 0.0),
        &["cross_entropy", "3"],
    );
    fails(
        x.cross_entropy(&target(&[0, -1]), 0.0),
        &["cross_entropy", "-1"],
    );
    fails(
        x.cross_entropy(&target(&[0, 1, 2]), 0.0),
        &["cross_entropy", "[2, 3]", "[3]"],
    );
    fails(
        x.cross_entropy(&target(&[0, 1]), 1.5),
        &["cross_entropy", "smoothing"],
    );
    fails(x.cross_entropy(&x, 0.0), &["cross_entropy", "f32"]);
    let none = Tensor::zeros([0, 3], DType::F32).unwrap();
    fails(
        none.cross_entropy(&target(&[]), 0.0),
        &["cross_entropy", "[0, 3]"],
    );
}

#[test]
fn smoothed_labels_by_hand() -> Result<()> {
    let logits = Tensor::from_slice(&[2f64, 1.0, 0.0, -1.0], [1, 4])?;
    let label = Tensor::from_slice(&[1i64], 1)?;
    for (smoothing, expected) in [(0.0, 1.440_190), (0.1, 1.490_190), (0.2, 1.540_190)] {
        let loss = logits.cross_entropy(&label, smoothing)?.item::<f64>()?;
        assert!((loss - expected).abs() < 5e-7, "{smoothing}: {loss}");
        // The mean of the two losses that smoothing weighs.
        let p = logits.log_softmax(1)?.to_vec::<f64>()?;
        let uniform = -p.iter().sum::<f64>() / 4.0;
        let exact = -(1.0 - smoothing) * p[1] + smoothing * uniform;
        assert!((loss - exact).abs() < 1e-12, "{smoothing}: {loss}");
    }
    Ok(())
}
