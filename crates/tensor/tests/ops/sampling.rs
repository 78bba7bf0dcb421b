//! Resizing, and sampling at places of a grid.

use striate_tensor::{Interpolation, Result, SampleMode, SamplePadding, Tensor};

use crate::common::randn;
use crate::harness::{check, f32s, fails};

const BILINEAR: Interpolation = Interpolation::Bilinear {
    align_corners: false,
};

#[test]
fn resizing_has_gradients_on_every_level() -> Result<()> {
    let ways = [
        Interpolation::Nearest,
        BILINEAR,
        Interpolation::Bilinear {
            align_corners: true,
        },
        Interpolation::Bicubic {
            align_corners: false,
        },
        Interpolation::Bicubic {
            align_corners: true,
        },
    ];
    for shape in [[2, 9, 3, 4], [1, 3, 4, 5]] {
        let x = [randn(&shape, 1)?];
        for way in ways {
            for size in [[5, 7], [2, 3]] {
                check("interpolate", |x| x[0].interpolate(size, way), &x, 2e-6)?;
            }
        }
    }
    Ok(())
}

#[test]
fn sampling_has_gradients_on_every_level() -> Result<()> {
    let modes = [
        SampleMode::Bilinear,
        SampleMode::Nearest,
        SampleMode::Bicubic,
    ];
    let paddings = [
        SamplePadding::Zeros,
        SamplePadding::Border,
        SamplePadding::Reflection,
    ];
    // Places that no rounding to F32 moves.
    let grid = randn(&[2, 3, 4, 2], 2)?;
    let grid = grid
        .mul_scalar(64.0)?
        .round()?
        .add_scalar(0.25)?
        .mul_scalar(1.0 / 64.0)?;
    for (channels, corners) in [(1, false), (9, true)] {
        let inputs = [randn(&[2, channels, 5, 4], 1)?, grid.clone()];
        for (mode, padding) in modes.iter().flat_map(|m| paddings.map(|p| (*m, p))) {
            let f = |x: &[Tensor]| x[0].grid_sample(&x[1], mode, padding, corners);
            check(
                &format!("grid_sample {mode:?} {padding:?}"),
                f,
                &inputs,
                1e-5,
            )?;
        }
    }
    Ok(())
}

#[test]
fn the_identity_samples_what_is_there() -> Result<()> {
    let theta = f32s(&[1., 0., 0., 0., 1., 0.], &[1, 2, 3]);
    let x = randn(&[1, 3, 4, 5], 3)?.to_dtype(theta.dtype())?;
    for corners in [false, true] {
        let grid = theta.affine_grid([4, 5], corners)?;
        let y = x.grid_sample(&grid, SampleMode::Bilinear, SamplePadding::Zeros, corners)?;
        let (x, y) = (x.to_vec::<f32>()?, y.to_vec::<f32>()?);
        assert!(x.iter().zip(&y).all(|(x, y)| (x - y).abs() < 1e-5));
    }
    let xs = |corners| -> Result<Vec<f32>> {
        let grid = theta.affine_grid(4, corners)?;
        grid.narrow(1, 0, 1)?.select(3, 0)?.to_vec()
    };
    assert_eq!(xs(false)?, [-0.75, -0.25, 0.25, 0.75]);
    let third = 1.0 / 3.0;
    let aligned = xs(true)?;
    assert!(
        aligned
            .iter()
            .zip([-1.0, -third, third, 1.0])
            .all(|(a, b)| (a - b).abs() < 1e-6)
    );
    let thetas = [randn(&[3, 2, 3], 4)?];
    check(
        "affine_grid",
        |x| x[0].affine_grid([3, 4], true),
        &thetas,
        1e-6,
    )
}

#[test]
fn mistakes_are_named() -> Result<()> {
    let x = randn(&[2, 3, 4, 5], 1)?;
    fails(
        x.interpolate([usize::MAX, 2], BILINEAR),
        &["interpolate", "address space"],
    );
    fails(
        randn(&[1, 1, 0, 3], 1)?.interpolate(2, BILINEAR),
        &["rows and columns"],
    );
    let sample =
        |grid: &Tensor| x.grid_sample(grid, SampleMode::Bilinear, SamplePadding::Zeros, false);
    fails(
        sample(&randn(&[2, 3, 3, 3], 1)?),
        &["grid_sample", "[N, OH, OW, 2]", "[2, 3, 3, 3]"],
    );
    fails(
        sample(&randn(&[1, 3, 3, 2], 1)?),
        &["2 images", "[1, 3, 3, 2]"],
    );
    fails(
        randn(&[1, 3, 2], 1)?.affine_grid(3, false),
        &["affine_grid", "[N, 2, 3]"],
    );
    let theta = randn(&[1, 2, 3], 1)?;
    fails(
        theta.affine_grid([usize::MAX, 4], false),
        &["affine_grid", "too many"],
    );
    Ok(())
}
