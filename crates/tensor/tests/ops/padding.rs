//! Rows and columns around images.

use striate_tensor::{BlurOptions, DType, PadMode, PoolOptions, Result, Tensor};

use crate::common::randn;
use crate::harness::{check, f32s, fails};

const MODES: [PadMode; 3] = [PadMode::Zeros, PadMode::Reflect, PadMode::Replicate];

#[test]
fn values_of_a_row() {
    let x = f32s(&[1., 2., 3.], &[1, 1, 1, 3]);
    let row = |mode| {
        x.pad2d([0, 0, 2, 1], mode)
            .unwrap()
            .to_vec::<f32>()
            .unwrap()
    };
    assert_eq!(row(PadMode::Zeros), [0., 0., 1., 2., 3., 0.]);
    assert_eq!(row(PadMode::Reflect), [3., 2., 1., 2., 3., 2.]);
    assert_eq!(row(PadMode::Replicate), [1., 1., 1., 2., 3., 3.]);
}

#[test]
fn gradients_and_levels() -> Result<()> {
    for shape in [[2, 3, 3, 4], [1, 9, 4, 3]] {
        let x = [randn(&shape, 1)?];
        for mode in MODES {
            for sides in [[1, 2, 0, 2], [0, 0, 1, 0], [0; 4]] {
                check(
                    &format!("{mode:?} {sides:?}"),
                    |x| x[0].pad2d(sides, mode),
                    &x,
                    1e-6,
                )?;
            }
        }
    }
    Ok(())
}

#[test]
fn any_type_can_be_padded() -> Result<()> {
    let x = Tensor::from_slice(&[1u8, 2], [1, 1, 1, 2])?;
    assert_eq!(
        x.pad2d((0, 1), PadMode::Zeros)?.to_vec::<u8>()?,
        [0, 1, 2, 0]
    );
    let empty = Tensor::zeros([0, 8, 2, 2], DType::F32)?;
    for mode in MODES {
        assert_eq!(empty.pad2d(1, mode)?.shape(), [0, 8, 4, 4]);
    }
    let no_rows = Tensor::zeros([1, 1, 0, 2], DType::F32)?;
    assert_eq!(no_rows.pad2d(1, PadMode::Zeros)?.shape(), [1, 1, 2, 4]);
    Ok(())
}

#[test]
fn errors_name_the_rule() {
    let x = f32s(&[0.0; 4], &[1, 1, 2, 2]);
    fails(x.pad2d(2, PadMode::Reflect), &["pad2d", "Reflect", "2"]);
    fails(
        x.pad2d([0, 0, usize::MAX, 0], PadMode::Zeros),
        &["pad2d", "[1, 1, 2, 2]"],
    );
    fails(x.pad2d([1 << 62, 0, 0, 0], PadMode::Replicate), &["pad2d"]);
    fails(
        x.select(0, 0).unwrap().pad2d(1, PadMode::Zeros),
        &["pad2d", "[1, 2, 2]"],
    );
    let no_rows = Tensor::zeros([1, 1, 0, 2], DType::F32).unwrap();
    fails(
        no_rows.pad2d(1, PadMode::Replicate),
        &["pad2d", "Replicate"],
    );
}

#[test]
fn blurs_have_gradients_on_every_level() -> Result<()> {
    let filters = [
        BlurOptions::new(4).stride(2),
        BlurOptions::new([3, 6])
            .stride([1, 3])
            .extra([2, 0])
            .pad_mode(PadMode::Zeros),
        BlurOptions::new([1, 5])
            .extra((0, 1))
            .pad_mode(PadMode::Replicate),
    ];
    let windows = [
        PoolOptions::new(2).stride(1),
        PoolOptions::new(3).stride(1).padding(1),
    ];
    for shape in [[2, 9, 7, 6], [1, 3, 6, 7]] {
        let x = [randn(&shape, 1)?];
        for filter in filters {
            check("blur2d", |x| x[0].blur2d(filter), &x, 1e-6)?;
            for window in windows {
                let f = |x: &[Tensor]| x[0].max_blur_pool2d(window, filter);
                check("max_blur_pool2d", f, &x, 1e-6)?;
                let steps = x[0].max_pool2d(window)?.blur2d(filter)?.to_vec::<f64>()?;
                let gap = f(&x)?.to_vec::<f64>()?;
                let gap = gap.iter().zip(&steps).map(|(a, b)| (a - b).abs());
                assert!(gap.fold(0.0, f64::max) < 1e-12);
            }
        }
    }
    Ok(())
}

#[test]
fn blurred_maxima_of_windows_of_any_size() -> Result<()> {
    let (window, filter) = (
        PoolOptions::new(16).stride(1),
        BlurOptions::new(2).stride(2),
    );
    let x = randn(&[1, 2, 19, 18], 3)?;
    let y = x.max_blur_pool2d(window, filter)?;
    let steps = x.max_pool2d(window)?.blur2d(filter)?;
    assert_eq!(y.to_vec::<f64>()?, steps.to_vec::<f64>()?);
    fails(x.blur2d(BlurOptions::new(8)), &["blur2d", "taps", "8"]);
    let x = randn(&[1, 2, 3, 18], 3)?;
    fails(
        x.blur2d(BlurOptions::new(7)),
        &["blur2d", "[1, 2, 3, 18]", "reflected into 3"],
    );
    Ok(())
}
