//! Dropout of elements, channels and samples.

use striate_simd::test_each_level;
use striate_tensor::{
    DType, Level, Result, Tensor, checkpoint, gradcheck, manual_seed, with_level,
};

use crate::common::{layouts, randn};
use crate::harness::fails;

fn seeded(f: impl Fn(&Tensor) -> Result<Tensor>) -> impl Fn(&[Tensor]) -> Result<Tensor> {
    move |x| {
        manual_seed(7);
        f(&x[0])
    }
}

#[test]
fn backward_draws_the_same_mask() -> Result<()> {
    for x in layouts(&randn(&[3, 4, 2, 3], 1)?)? {
        gradcheck(seeded(|x| x.dropout(0.3)), std::slice::from_ref(&x))?;
        gradcheck(
            seeded(|x| x.dropout_channels(0.5)),
            std::slice::from_ref(&x),
        )?;
        gradcheck(seeded(|x| x.drop_path(0.5)), std::slice::from_ref(&x))?;
    }
    Ok(())
}

test_each_level! {
    fn keeps_the_expectation(level: Level) {
        with_level(level, || {
            manual_seed(1);
            let y = Tensor::ones([100, 100], DType::F32).unwrap().dropout(0.25).unwrap();
            let y = y.to_vec::<f32>().unwrap();
            assert!(y.iter().all(|&y| y == 0.0 || (y - 4.0 / 3.0).abs() < 1e-6));
            let dropped = y.iter().filter(|&&y| y == 0.0).count();
            assert!((2300..2700).contains(&dropped), "{dropped} of 10000 dropped");
        });
    }

    fn a_seed_gives_the_same_mask_at_every_level(level: Level) {
        let draw = || {
            manual_seed(3);
            let x = Tensor::ones([5000], DType::F32).unwrap();
            let first = x.dropout(0.5).unwrap().to_vec::<f32>().unwrap();
            (first, x.dropout(0.5).unwrap().to_vec::<f32>().unwrap())
        };
        let (first, second) = draw();
        assert_ne!(first, second, "each call has its own mask");
        assert_eq!(with_level(level, draw), (first, second));
    }
}

#[test]
fn certain_and_impossible() -> Result<()> {
    let x = Tensor::ones([2, 3], DType::F32)?;
    assert_eq!(x.dropout(1.0)?.to_vec::<f32>()?, [0.0; 6]);
    assert!(x.dropout(0.0)?.shares_memory_with(&x));
    Ok(())
}

#[test]
fn whole_channels_and_samples() -> Result<()> {
    manual_seed(2);
    let x = Tensor::ones([6, 5, 2, 2], DType::F32)?;
    let alike = |y: Tensor, len: usize| -> Result<Vec<f32>> {
        let y = y.to_vec::<f32>()?;
        assert!(y.chunks(len).all(|part| part.iter().all(|&v| v == part[0])));
        Ok(y)
    };
    let channels = alike(x.dropout_channels(0.5)?, 4)?;
    assert!(channels.contains(&0.0) && channels.contains(&2.0));
    assert!(
        channels
            .chunks(20)
            .any(|sample| sample.contains(&0.0) && sample.contains(&2.0))
    );
    let samples = alike(x.drop_path(0.5)?, 20)?;
    assert!(samples.contains(&0.0) && samples.contains(&2.0));
    Ok(())
}

#[test]
fn a_checkpoint_repeats_the_mask() -> Result<()> {
    let x = randn(&[4, 5], 3)?.requires_grad(true)?;
    manual_seed(4);
    let y = checkpoint(|x| x[0].dropout(0.5), &[&x])?;
    let grads = y.sum_all()?.backward()?;
    let kept: Vec<bool> = y.to_vec::<f64>()?.iter().map(|&y| y != 0.0).collect();
    let passed: Vec<bool> = grads
        .get(&x)
        .expect("a leaf")
        .to_vec::<f64>()?
        .iter()
        .map(|&g| g != 0.0)
        .collect();
    assert_eq!(kept, passed);
    Ok(())
}

#[test]
fn errors_name_the_rule() {
    let x = Tensor::ones([2], DType::F32).unwrap();
    fails(x.dropout(-0.1), &["dropout", "probability", "-0.1"]);
    fails(x.dropout(f64::NAN), &["dropout", "probability"]);
    fails(x.drop_path(1.5), &["drop_path", "probability"]);
    fails(x.dropout_channels(0.5), &["dropout_channels", "[2]"]);
    fails(
        x.to_dtype(DType::I64).unwrap().dropout(0.5),
        &["dropout", "i64"],
    );
}
