//! Pooling of regions of interest.

use striate_tensor::{Result, RoiOptions, Tensor};

use crate::common::randn;
use crate::harness::{check, f32s, fails};

/// Two regions of the first image and one of the second, with corners that no rounding to F32 moves.
fn rois() -> Tensor {
    let rois = [
        [0., 1.25, 2.5, 17.75, 13.5],
        [1., -3.5, 4.25, 9.5, 30.25],
        [0., 6.5, 6.25, 7.25, 8.5],
    ];
    f32s(&rois.concat(), &[3, 5])
}

#[test]
fn gradients_and_levels() -> Result<()> {
    let options = RoiOptions::new([2, 3]).spatial_scale(0.25);
    let regions = |x: &Tensor| rois().to_dtype(x.dtype());
    // Moved by an eighth of a pixel and more: differences at the edge of a pixel are no gradient.
    let offsets = |shape: &[usize]| {
        randn(shape, 2)?
            .mul_scalar(4.0)?
            .round()?
            .add_scalar(0.3)?
            .mul_scalar(0.25)
    };
    let x = [randn(&[2, 9, 5, 6], 1)?];
    for (ratio, aligned) in [(0, true), (2, false)] {
        let options = options.sampling_ratio(ratio).aligned(aligned);
        check(
            "roi_align",
            |x| x[0].roi_align(&regions(&x[0])?, options),
            &x,
            1e-6,
        )?;
    }
    let pool = |x: &[Tensor]| x[0].roi_pool(&regions(&x[0])?, options);
    check("roi_pool", pool, &x, 1e-6)?;
    let moved = [x[0].clone(), offsets(&[3, 2, 2, 3])?];
    let pool = |x: &[Tensor]| x[0].deform_roi_pool(&regions(&x[0])?, &x[1], 0.1, options);
    check("deform_roi_pool", pool, &moved, 1e-5)?;
    let x = [randn(&[2, 12, 5, 6], 1)?];
    check(
        "ps_roi_align",
        |x| x[0].ps_roi_align(&regions(&x[0])?, options),
        &x,
        1e-6,
    )?;
    check(
        "ps_roi_pool",
        |x| x[0].ps_roi_pool(&regions(&x[0])?, options),
        &x,
        1e-6,
    )?;
    let options = RoiOptions::new(3).spatial_scale(0.25);
    let moved = [randn(&[2, 16, 5, 6], 1)?, offsets(&[3, 4, 2, 2])?];
    let pool =
        |x: &[Tensor]| x[0].deform_ps_roi_pool(&regions(&x[0])?, Some(&x[1]), 0.1, 2, 4, options);
    check("deform_ps_roi_pool", pool, &moved, 1e-5)?;
    assert_eq!(pool(&moved)?.shape(), [3, 4, 3, 3]);
    Ok(())
}

#[test]
fn mistakes_are_named() -> Result<()> {
    let x = randn(&[2, 9, 5, 6], 1)?.to_dtype(rois().dtype())?;
    let options = RoiOptions::new([2, 3]);
    fails(
        x.roi_align(&f32s(&[0.; 4], &[1, 4]), options),
        &["roi_align", "[R, 5]", "[1, 4]"],
    );
    fails(
        x.roi_pool(&f32s(&[0.; 5], &[5]), options),
        &["roi_pool", "[R, 5]"],
    );
    fails(
        x.roi_align(&f32s(&[2., 0., 0., 1., 1.], &[1, 5]), options),
        &["one of 2 images"],
    );
    fails(
        x.roi_align(&rois().requires_grad(true)?, options),
        &["detach"],
    );
    fails(
        x.roi_align(&rois(), options.spatial_scale(-1.0)),
        &["spatial scale"],
    );
    fails(
        x.ps_roi_align(&rois(), options),
        &["ps_roi_align", "groups", "9 channels"],
    );
    let offset = randn(&[3, 2, 3, 2], 1)?.to_dtype(x.dtype())?;
    let moved = |gamma| x.deform_roi_pool(&rois(), &offset, gamma, options);
    fails(moved(0.1), &["offsets", "[3, 2, 2, 3]"]);
    fails(moved(f64::NAN), &["deform_roi_pool", "gamma", "finite"]);
    let pool = |offset| x.deform_ps_roi_pool(&rois(), offset, 0.1, 1, 4, options);
    let odd = randn(&[3, 3, 2, 2], 1)?.to_dtype(x.dtype())?;
    fails(pool(Some(&odd)), &["an x and a y"]);
    fails(pool(Some(&offset)), &["parts"]);
    Ok(())
}
