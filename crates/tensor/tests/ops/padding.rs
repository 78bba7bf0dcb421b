//! Rows and columns around images.

use striate_tensor::{DType, PadMode, Result, Tensor};

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
