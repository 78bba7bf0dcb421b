//! Batch, layer and group normalisation.

use striate_simd::test_each_level;
use striate_tensor::{DType, Level, Result, Tensor, with_level};

use crate::common::{positive, randn};
use crate::harness::{check, f32s, fails};

const EPS: f64 = 1e-5;

fn train(x: &[Tensor]) -> Result<Tensor> {
    Ok(x[0].batch_norm_train(Some(&x[1]), Some(&x[2]), EPS)?.0)
}

#[test]
fn gradients_and_levels() -> Result<()> {
    for shape in [
        vec![5, 9],
        vec![4, 3],
        vec![2, 3, 4],
        vec![2, 9, 3, 2],
        vec![3, 2, 2, 3],
        vec![2, 4, 2, 2, 3],
    ] {
        let x = randn(&shape, 1)?.mul_scalar(2.0)?.add_scalar(0.5)?;
        let c = shape[1];
        let (w, b) = (randn(&[c], 2)?, randn(&[c], 3)?);
        let all = [x.clone(), w, b];
        let (mean, var) = (randn(&[c], 4)?, positive(&[c], 5)?);
        check(&format!("batch_norm_train {shape:?}"), train, &all, 4e-6)?;
        let eval = |x: &[Tensor]| {
            let [mean, var] = [mean.to_dtype(x[0].dtype())?, var.to_dtype(x[0].dtype())?];
            x[0].batch_norm_eval(&mean, &var, Some(&x[1]), Some(&x[2]), EPS)
        };
        check(&format!("batch_norm_eval {shape:?}"), eval, &all, 4e-6)?;
        for groups in [1, c] {
            if groups == c && shape.len() == 2 {
                // A group of one value has no variance and no gradient.
                continue;
            }
            let name = format!("group_norm {groups} {shape:?}");
            check(
                &name,
                |x| x[0].group_norm(groups, Some(&x[1]), Some(&x[2]), EPS),
                &all,
                6e-6,
            )?;
        }
        for trailing in 1..shape.len() {
            let rest = &shape[trailing..];
            if rest.iter().product::<usize>() < 3 {
                continue;
            }
            let all = [x.clone(), randn(rest, 6)?, randn(rest, 7)?];
            let name = format!("layer_norm {rest:?} of {shape:?}");
            check(
                &name,
                |x| x[0].layer_norm(rest, Some(&x[1]), Some(&x[2]), EPS),
                &all,
                6e-6,
            )?;
        }
    }
    Ok(())
}

#[test]
fn modulations_and_sums_of_squares() -> Result<()> {
    for shape in [
        vec![5, 9],
        vec![2, 3, 4],
        vec![2, 9, 3, 2],
        vec![2, 4, 2, 2, 3],
    ] {
        let x = randn(&shape, 1)?;
        let lines = [shape[0], shape[1]];
        let all = [x.clone(), randn(&lines, 2)?, randn(&lines, 3)?];
        let modulate = |x: &[Tensor]| x[0].modulate(&x[1], &x[2]);
        check(&format!("modulate {shape:?}"), modulate, &all, 4e-6)?;
        let last = shape.len() - 1;
        for (dims, keepdim) in [(vec![last], true), (vec![0, last], false), (vec![], false)] {
            let squares = |x: &[Tensor]| x[0].sum_of_squares(&dims, keepdim);
            let name = format!("sum_of_squares {dims:?} of {shape:?}");
            check(&name, squares, std::slice::from_ref(&x), 4e-6)?;
        }
    }
    let (x, line) = (randn(&[2, 3, 4, 5], 4)?, randn(&[3], 5)?);
    fails(x.modulate(&line, &line), &["modulate", "scale", "[2, 3]"]);
    fails(x.sum_of_squares(&[4], false), &["sum_of_squares", "4"]);
    Ok(())
}

#[test]
fn scale_and_shift_are_optional() -> Result<()> {
    let x = [randn(&[3, 8, 2, 2], 8)?];
    check(
        "batch_norm_train",
        |x| Ok(x[0].batch_norm_train(None, None, EPS)?.0),
        &x,
        4e-6,
    )?;
    check(
        "group_norm",
        |x| x[0].group_norm(2, None, None, EPS),
        &x,
        6e-6,
    )?;
    check(
        "layer_norm",
        |x| x[0].layer_norm([2, 2], None, None, EPS),
        &x,
        6e-6,
    )?;
    let xw = [x[0].clone(), randn(&[8], 9)?];
    check(
        "batch_norm_train",
        |x| Ok(x[0].batch_norm_train(Some(&x[1]), None, EPS)?.0),
        &xw,
        4e-6,
    )
}

test_each_level! {
    fn statistics_of_a_batch(level: Level) {
        with_level(level, || {
            let x = f32s(&[1., 10., 2., 20., 3., 30., 6., 60.], &[4, 2]);
            let (y, stats) = x.batch_norm_train(None, None, 0.0).unwrap();
            assert_eq!(stats.count, 4);
            assert_eq!(stats.mean.to_vec::<f32>().unwrap(), [3., 30.]);
            assert_eq!(stats.variance.to_vec::<f32>().unwrap(), [3.5, 350.]);
            let y = y.to_vec::<f32>().unwrap();
            assert!((y[0] + 2. / 3.5f32.sqrt()).abs() < 1e-6, "{y:?}");
            // With the statistics of the batch, evaluation is training.
            let same = x.batch_norm_eval(&stats.mean, &stats.variance, None, None, 0.0).unwrap();
            assert_eq!(same.to_vec::<f32>().unwrap(), y);
        });
    }

    fn large_means_do_not_drown_the_variance(level: Level) {
        with_level(level, || {
            let x = Tensor::arange(64, DType::F32).unwrap().reshape([8, 8, 1, 1]).unwrap().add_scalar(4096.0).unwrap();
            let (_, stats) = x.batch_norm_train(None, None, EPS).unwrap();
            // Every channel holds 0, 8, ..., 56 and a constant: 64 * (8^2 - 1) / 12.
            for v in stats.variance.to_vec::<f32>().unwrap() {
                assert!((v - 336.0).abs() < 1e-2, "variance {v}, expected 336");
            }
        });
    }

    fn memory_order_and_empty_batches(level: Level) {
        with_level(level, || {
            let x = Tensor::ones([2, 8, 3, 3], DType::F32).unwrap();
            let (y, _) = x.batch_norm_train(None, None, EPS).unwrap();
            assert!(y.is_channels_last() && !y.is_contiguous(), "eight channels are kept innermost");
            assert!(x.group_norm(2, None, None, EPS).unwrap().is_channels_last());
            let c = Tensor::ones([8], DType::F32).unwrap();
            let empty = Tensor::zeros([0, 8, 3, 3], DType::F32).unwrap();
            assert_eq!(empty.batch_norm_eval(&c, &c, None, None, EPS).unwrap().shape(), [0, 8, 3, 3]);
            assert_eq!(empty.layer_norm([3], None, None, EPS).unwrap().shape(), [0, 8, 3, 3]);
            assert_eq!(empty.group_norm(4, None, None, EPS).unwrap().shape(), [0, 8, 3, 3]);
        });
    }
}

#[test]
fn statistics_carry_no_gradient() -> Result<()> {
    let x = randn(&[4, 2], 1)?.requires_grad(true)?;
    let (_, stats) = x.batch_norm_train(None, None, EPS)?;
    assert!(!stats.mean.tracks_grad() && !stats.variance.tracks_grad());
    let tracked = stats.mean.requires_grad(true)?;
    fails(
        x.batch_norm_eval(&tracked, &stats.variance, None, None, EPS),
        &["batch_norm", "gradient"],
    );
    Ok(())
}

#[test]
fn errors_name_the_rule() {
    let one = f32s(&[1., 2.], &[1, 2, 1, 1]);
    fails(
        one.batch_norm_train(None, None, EPS).map(|y| y.0),
        &["batch_norm", "more than one value", "[1, 2, 1, 1]"],
    );
    let x = f32s(&[0.0; 12], &[3, 4]);
    let three = f32s(&[0.0; 3], &[3]);
    fails(
        x.batch_norm_train(Some(&three), None, EPS).map(|y| y.0),
        &["batch_norm", "weight", "[4]", "[3]"],
    );
    fails(
        x.batch_norm_eval(&three, &three, None, None, EPS),
        &["batch_norm", "mean", "[4]", "[3]"],
    );
    fails(
        x.batch_norm_train(None, None, f64::NAN).map(|y| y.0),
        &["batch_norm", "epsilon"],
    );
    fails(
        x.group_norm(3, None, None, EPS),
        &["group norm", "groups", "4"],
    );
    fails(x.group_norm(0, None, None, EPS), &["group norm", "groups"]);
    fails(
        x.layer_norm([3], None, None, EPS),
        &["layer_norm", "[3, 4]", "[3]"],
    );
    fails(x.layer_norm((), None, None, EPS), &["layer_norm"]);
    fails(
        x.layer_norm([4], None, Some(&three), EPS),
        &["layer_norm", "bias", "[4]", "[3]"],
    );
    fails(
        three.batch_norm_train(None, None, EPS).map(|y| y.0),
        &["batch_norm", "[3]"],
    );
}
