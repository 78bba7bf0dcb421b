//! Convolutions whose weights depend on the image, and the mixtures that make them.

use striate_tensor::{Conv2dOptions, Result, Tensor};

use crate::common::randn;
use crate::harness::{check, fails};

#[test]
fn mixtures() -> Result<()> {
    let (factors, experts) = (randn(&[3, 4], 1)?, randn(&[4, 5, 2, 7], 2)?);
    let mix = |x: &[Tensor]| x[0].mixture(&x[1]);
    check("mixture", mix, &[factors.clone(), experts.clone()], 1e-6)?;
    let product = factors
        .matmul(&experts.reshape([4, 70])?)?
        .reshape([3, 5, 2, 7])?;
    let difference = factors
        .mixture(&experts)?
        .sub(&product)?
        .abs()?
        .amax(&[0, 1, 2, 3], false)?;
    assert!(
        difference.item::<f64>()? < 1e-12,
        "a mixture is a matrix product"
    );
    fails(
        factors.mixture(&experts.narrow(0, 0, 3)?),
        &["mixture", "[3, 4]", "[3, 5, 2, 7]"],
    );
    fails(
        factors.flatten(0, 1)?.mixture(&experts),
        &["mixture", "[12]"],
    );
    Ok(())
}

#[test]
fn convolutions_of_each_image() -> Result<()> {
    // Few channels are read row-major, many channels-last; groups, depthwise, strides.
    for (c, o, groups, stride, kernel) in [
        (3, 5, 1, 1, 3),
        (8, 6, 2, 2, 3),
        (9, 9, 9, 1, 3),
        (10, 4, 1, 1, 1),
    ] {
        let x = randn(&[3, c, 5, 6], 1)?;
        let weight = randn(&[3, o, c / groups, kernel, kernel], 2)?;
        let bias = randn(&[3, o], 3)?;
        let options = Conv2dOptions::default()
            .padding(kernel / 2)
            .groups(groups)
            .stride(stride);
        let run = |x: &[Tensor]| x[0].conv2d_per_sample(&x[1], Some(&x[2]), options);
        check(
            "conv2d_per_sample",
            run,
            &[x.clone(), weight.clone(), bias.clone()],
            1e-5,
        )?;
        let one = |i: usize| {
            let (weight, bias) = (weight.select(0, i)?, bias.select(0, i)?);
            x.narrow(0, i, 1)?.conv2d(&weight, Some(&bias), options)
        };
        let each = [one(0)?, one(1)?, one(2)?];
        let joined = Tensor::cat(&[&each[0], &each[1], &each[2]], 0)?;
        let y = run(&[x, weight, bias])?;
        assert_eq!(
            y.to_vec::<f64>()?,
            joined.to_vec::<f64>()?,
            "one after the other"
        );
    }
    Ok(())
}

#[test]
fn no_images_give_no_images() -> Result<()> {
    let (x, weight) = (randn(&[0, 8, 5, 6], 1)?, randn(&[0, 4, 8, 3, 3], 2)?);
    let y = x.conv2d_per_sample(&weight, None, Conv2dOptions::default())?;
    assert_eq!(y.shape(), [0, 4, 3, 4]);
    Ok(())
}

#[test]
fn mistakes_of_each_image_are_named() -> Result<()> {
    let (x, weight) = (randn(&[2, 6, 4, 5], 1)?, randn(&[2, 12, 6, 3, 3], 4)?);
    let options = Conv2dOptions::default();
    let run = |weight: &Tensor, bias: Option<&Tensor>| x.conv2d_per_sample(weight, bias, options);
    fails(
        run(&weight.narrow(0, 0, 1)?, None),
        &["conv2d_per_sample", "[2, 12, 6, 3, 3]", "[1, 12"],
    );
    fails(
        run(&weight.narrow(2, 0, 5)?, None),
        &["a weight", "[2, 12, 5, 3, 3]"],
    );
    fails(
        run(&weight, Some(&randn(&[12], 1)?)),
        &["a bias", "[2, 12]", "[12]"],
    );
    fails(
        run(&randn(&[2, 12, 6, 7, 3], 1)?, None),
        &["conv2d_per_sample", "kernel"],
    );
    fails(run(&randn(&[12, 6, 3, 3], 1)?, None), &["[12, 6, 3, 3]"]);
    Ok(())
}

#[test]
fn involutions() -> Result<()> {
    for (c, groups, stride) in [(6, 2, 1), (3, 1, 2), (16, 4, 1)] {
        let x = randn(&[2, c, 6, 4], 1)?;
        let options = Conv2dOptions::default()
            .padding(1)
            .groups(groups)
            .stride(stride);
        let weight = randn(&[2, groups * 9, 6 / stride, 4 / stride], 2)?;
        let run = |x: &[Tensor]| x[0].involution(&x[1], 3, options);
        check("involution", run, &[x, weight], 1e-5)?;
    }
    let (x, options) = (
        randn(&[2, 6, 4, 4], 1)?,
        Conv2dOptions::default().padding(1),
    );
    let weight = randn(&[2, 9, 4, 4], 2)?;
    fails(
        x.involution(&weight, 3, options.groups(2)),
        &["involution", "[2, 18, 4, 4]"],
    );
    fails(
        x.involution(&weight, 3, options.groups(4)),
        &["involution", "groups", "6 channels"],
    );
    fails(x.involution(&weight, 9, options), &["involution", "kernel"]);
    Ok(())
}
