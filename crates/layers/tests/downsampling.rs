//! Blur pooling: what its filter keeps, and what it is for.

use striate_layers::{
    BlurConvConfig, BlurPoolConfig, Loading, MaxBlurPoolConfig, Module, StateDict, VarBuilder,
    load_state_dict, state_dict,
};
use striate_tensor::{DType, PadMode, Philox, PoolOptions, Result, Tensor};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0).dtype(DType::F64)
}

#[test]
fn filters_are_rows_of_pascals_triangle() -> Result<()> {
    for (taps, row) in [
        (1, &[1.0][..]),
        (2, &[1.0, 1.0]),
        (3, &[1.0, 2.0, 1.0]),
        (4, &[1.0, 3.0, 3.0, 1.0]),
        (5, &[1.0, 4.0, 6.0, 4.0, 1.0]),
        (6, &[1.0, 5.0, 10.0, 10.0, 5.0, 1.0]),
        (7, &[1.0, 6.0, 15.0, 20.0, 15.0, 6.0, 1.0]),
    ] {
        let module = BlurPoolConfig::new(2).filt_size(taps).build_1d(&vb())?;
        let dict = state_dict(&module);
        let filter = dict.get("filt").expect("a buffer").to_vec::<f64>()?;
        let sum: f64 = row.iter().sum();
        let expected: Vec<f64> = row.iter().chain(row).map(|a| a / sum).collect();
        assert_eq!(filter, expected);
    }
    Ok(())
}

#[test]
fn constants_stay_what_they_are() -> Result<()> {
    let x = Tensor::full([1, 2, 9, 8], 3.0, DType::F64)?;
    for taps in 1..=7 {
        for (mode, margin) in [
            (PadMode::Reflect, 0),
            (PadMode::Replicate, 0),
            (PadMode::Zeros, 4),
        ] {
            let config = BlurPoolConfig::new(2).filt_size(taps).stride(1);
            let y = config.pad_mode(mode).build(&vb())?.forward(&x)?;
            assert_eq!(y.shape(), x.shape());
            let (h, w) = (9 - 2 * margin, 8 - 2 * margin);
            let inner = y.narrow(2, margin, h)?.narrow(3, margin.min(3), w.max(1))?;
            let values = inner.to_vec::<f64>()?;
            assert!(
                values.iter().all(|v| (v - 3.0).abs() < 1e-12),
                "{taps} {mode:?}"
            );
        }
    }
    Ok(())
}

/// How far down-sampling two inputs, of which one is shifted by a pixel, is from agreeing.
fn flicker(down: &dyn Module) -> Result<f64> {
    let x = Tensor::randn([1, 4, 41, 41], &mut Philox::new(3))?.to_dtype(DType::F64)?;
    let at = |shift: usize| down.forward(&x.narrow(2, shift, 40)?.narrow(3, shift, 40)?);
    let [a, b] = [at(0)?, at(1)?];
    let inner = |y: &Tensor| y.narrow(2, 2, 15)?.narrow(3, 2, 15);
    let difference = inner(&a)?
        .sub(&inner(&b)?)?
        .square()?
        .sum_all()?
        .item::<f64>()?;
    let size = inner(&a)?.square()?.sum_all()?.item::<f64>()?;
    Ok((difference / size).sqrt())
}

#[test]
fn shifts_matter_less_than_with_max_pooling() -> Result<()> {
    let pool = striate_layers::MaxPool2d::new(PoolOptions::new(2));
    let plain = flicker(&pool)?;
    let mut last = plain;
    for taps in [3, 5, 7] {
        let config = MaxBlurPoolConfig::new(4).blur(BlurPoolConfig::new(4).filt_size(taps));
        let blurred = flicker(&config.build(&vb())?)?;
        assert!(blurred < last, "{taps} taps: {blurred} after {last}");
        last = blurred;
    }
    assert!(last < 0.6 * plain, "{last} of {plain}");
    Ok(())
}

#[test]
fn weights_may_lack_the_filter_but_not_have_another() -> Result<()> {
    let config = BlurPoolConfig::new(2);
    let module = config.build(&VarBuilder::seeded(0))?;
    load_state_dict(&module, &StateDict::new(), Loading::Strict)?;
    config.build(&VarBuilder::from_state_dict(StateDict::new()))?;
    let mut other = StateDict::new();
    other.insert("filt", Tensor::full([2, 1, 4, 4], 0.1, DType::F32)?);
    let error = config.build(&VarBuilder::from_state_dict(other));
    let error = error.map(|_| ()).expect_err("another filter").to_string();
    assert!(error.contains("filt"), "{error}");
    Ok(())
}

#[test]
fn another_filter_is_not_loaded_and_changes_nothing() -> Result<()> {
    let module = BlurConvConfig::new(2, 2).build(&vb())?;
    let before = state_dict(&module);
    let mut other = state_dict(&module);
    let name = other.names().find(|name| name.ends_with("filt"));
    let name = name.expect("a filter").to_owned();
    for (name, tensor) in before
        .iter()
        .filter(|(_, tensor)| tensor.dtype().is_float())
    {
        other.insert(name, tensor.add_scalar(0.125)?);
    }
    let error = load_state_dict(&module, &other, Loading::Strict);
    let error = error.map(|_| ()).expect_err("another filter").to_string();
    assert!(
        error.contains(&name) && error.contains("the configuration gives"),
        "{error}"
    );
    let after = state_dict(&module);
    for (name, tensor) in before.iter() {
        let now = after.get(name).expect("the same names");
        let [now, tensor] = [now, tensor].map(|t| t.to_dtype(DType::F64));
        assert_eq!(now?.to_vec::<f64>()?, tensor?.to_vec::<f64>()?, "{name}");
    }
    Ok(())
}

#[test]
fn a_reflection_needs_a_longer_side() -> Result<()> {
    let module = BlurPoolConfig::new(1)
        .filt_size(7)
        .build(&(vb() / "stem"))?;
    let x = Tensor::zeros([1, 1, 3, 9], DType::F64)?;
    let error = module
        .forward(&x)
        .map(|_| ())
        .expect_err("3 rows")
        .to_string();
    assert!(
        error.contains("stem") && error.contains("[1, 1, 3, 9]"),
        "{error}"
    );
    Ok(())
}
