//! Coordinates by hand, and that they depend on the map at hand alone.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use striate_layers::*;
use striate_tensor::{DType, Philox, Result, Tensor};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn close(got: &Tensor, expected: &[f32]) -> Result<()> {
    let got = got.to_vec::<f32>()?;
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() < 1e-6, "{got:?}, not {expected:?}");
    }
    Ok(())
}

#[test]
fn coordinates_by_hand() -> Result<()> {
    let conv = |centre: f64| {
        let config = CoordConvConfig::new(Conv2dConfig::new(1, 1, 1));
        config.radius(true).radius_centre(centre).build(&vb())
    };
    let all = conv(0.0)?.coordinates([2, 3], DType::F32)?;
    let planes = [
        [-1.0, 0.0, 1.0, -1.0, 0.0, 1.0],
        [-1.0, -1.0, -1.0, 1.0, 1.0, 1.0],
        [SQRT_2, 1.0, SQRT_2, SQRT_2, 1.0, SQRT_2],
    ];
    close(&all, &planes.concat())?;
    let radius = conv(0.5)?
        .coordinates([2, 3], DType::F32)?
        .narrow(1, 2, 1)?;
    close(
        &radius,
        &[
            2.121_32,
            1.581_139,
            1.581_139,
            1.581_139,
            FRAC_1_SQRT_2,
            FRAC_1_SQRT_2,
        ],
    )?;
    // An axis of one pixel is in the middle.
    let line = conv(0.0)?.coordinates([1, 3], DType::F32)?;
    close(&line, &[-1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0])
}

#[test]
fn a_convolution_of_coordinates_by_hand() -> Result<()> {
    let conv = CoordConvConfig::new(Conv2dConfig::new(1, 1, 1).bias(false)).build(&vb())?;
    let (name, weight) = &named_parameters(&conv)[0];
    assert_eq!(name, "conv.weight");
    weight.set(&Tensor::from_vec(vec![1.0f32, 2.0, 3.0], [1, 3, 1, 1])?)?;
    let x = Tensor::arange(6, DType::F32)?.reshape([1, 1, 2, 3])?;
    close(&conv.forward(&x)?, &[-5.0, -2.0, 1.0, 4.0, 7.0, 10.0])
}

#[test]
fn without_weights_on_coordinates_it_is_the_convolution() -> Result<()> {
    let plain = Conv2dConfig::new(3, 4, 3).padding(1);
    let conv = CoordConvConfig::new(plain.clone()).build(&vb())?;
    let plain = plain.build(&vb())?;
    let weight = plain.weight().tensor();
    let none = Tensor::zeros([4, 2, 3, 3], DType::F32)?;
    for (name, p) in named_parameters(&conv) {
        match name.as_str() {
            "conv.weight" => p.set(&Tensor::cat(&[&weight, &none], 1)?)?,
            _ => p.set(&plain.bias().expect("a bias").tensor())?,
        }
    }
    let x = Tensor::randn([2, 3, 5, 7], &mut Philox::new(1))?;
    close(&conv.forward(&x)?, &plain.forward(&x)?.to_vec::<f32>()?)
}

#[test]
fn groups_are_explained() {
    let grouped = CoordConvConfig::new(Conv2dConfig::new(8, 8, 3).groups(4)).build(&vb());
    let error = grouped
        .map(|_| ())
        .expect_err("10 channels in 4 groups")
        .to_string();
    assert!(
        error.contains("10") && error.contains("coordinates"),
        "{error}"
    );
}
