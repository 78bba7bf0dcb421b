//! Deformable convolution.

use striate_tensor::{Conv2dOptions, Result, Tensor};

use crate::common::randn;
use crate::harness::{check, fails};

/// Offsets of two and a mask of one number for each tap of a 3x3 kernel and 4x5 outputs.
fn offsets(groups: usize) -> Result<[Tensor; 2]> {
    // Places that lie nowhere near a pixel: differences across one are no gradient.
    let offset = randn(&[2, 18 * groups, 4, 5], 2)?;
    let offset = offset
        .mul_scalar(4.0)?
        .round()?
        .add_scalar(0.5)?
        .mul_scalar(0.25)?;
    Ok([offset, randn(&[2, 9 * groups, 4, 5], 3)?])
}

#[test]
fn gradients_and_levels() -> Result<()> {
    for (groups, offset_groups) in [(1, 1), (2, 3)] {
        let x = randn(&[2, 6, 4, 5], 1)?;
        let [offset, mask] = offsets(offset_groups)?;
        let weight = randn(&[12, 6 / groups, 3, 3], 4)?;
        let bias = randn(&[12], 5)?;
        let options = Conv2dOptions::default().padding(1).groups(groups);
        let plain = |x: &[Tensor]| x[0].deform_conv2d(&x[1], &x[2], None, None, options);
        check(
            "deform_conv2d",
            plain,
            &[x.clone(), offset.clone(), weight.clone()],
            1e-5,
        )?;
        let masked =
            |x: &[Tensor]| x[0].deform_conv2d(&x[1], &x[2], Some(&x[3]), Some(&x[4]), options);
        check(
            "deform_conv2d with a mask",
            masked,
            &[x, offset, weight, mask, bias],
            1e-5,
        )?;
    }
    Ok(())
}

#[test]
fn mistakes_are_named() -> Result<()> {
    let (x, weight) = (randn(&[2, 6, 4, 5], 1)?, randn(&[12, 6, 3, 3], 4)?);
    let [offset, mask] = offsets(1)?;
    let options = Conv2dOptions::default().padding(1);
    let run = |offset: &Tensor, mask: &Tensor, options| {
        x.deform_conv2d(offset, &weight, Some(mask), None, options)
    };
    fails(
        run(&randn(&[2, 17, 4, 5], 1)?, &mask, options),
        &["deform_conv2d", "2 * 3 * 3", "17"],
    );
    fails(
        run(&randn(&[2, 0, 4, 5], 1)?, &mask, options),
        &["2 * 3 * 3"],
    );
    fails(
        run(&randn(&[2, 72, 4, 5], 1)?, &mask, options),
        &["offset groups", "6 input channels"],
    );
    fails(
        run(&randn(&[1, 18, 4, 5], 1)?, &mask, options),
        &["offsets", "[2, 18, 4, 5]"],
    );
    fails(
        run(&offset, &randn(&[2, 18, 4, 5], 1)?, options),
        &["mask", "[2, 9, 4, 5]"],
    );
    fails(
        run(&offset, &mask, options.groups(2)),
        &["weight", "[12, 3, 3, 3]"],
    );
    Ok(())
}
