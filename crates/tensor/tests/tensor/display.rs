//! Printing.

use striate_tensor::{DType, Result, Tensor};

#[test]
fn numbers_line_up_in_nested_brackets() -> Result<()> {
    let x = Tensor::from_slice(&[1.5f32, -2.0, 30.25, 0.0], [2, 2])?;
    assert_eq!(
        x.to_string(),
        "[[ 1.5000, -2.0000],\n [30.2500,  0.0000]]\nf32 [2, 2]"
    );
    let x = Tensor::arange(8, DType::I64)?.reshape([2, 2, 2])?;
    let text = "[[[0, 1],\n  [2, 3]],\n\n [[4, 5],\n  [6, 7]]]\ni64 [2, 2, 2]";
    assert_eq!(x.to_string(), text);
    assert_eq!(
        x.transpose(0, 2)?.select(0, 1)?.to_string(),
        "[[1, 5],\n [3, 7]]\ni64 [2, 2]"
    );
    Ok(())
}

#[test]
fn whole_tiny_and_special_numbers_read_well() -> Result<()> {
    assert_eq!(
        Tensor::arange(3, DType::F64)?.to_string(),
        "[0., 1., 2.]\nf64 [3]"
    );
    assert_eq!(Tensor::scalar(0.25f32)?.to_string(), "0.2500\nf32 []");
    let x = Tensor::from_slice(&[1e-9, 1.0], 2)?;
    assert_eq!(x.to_string(), "[1.0000e-9,  1.0000e0]\nf64 [2]");
    let x = Tensor::from_slice(&[f32::NAN, f32::NEG_INFINITY, 2.0], 3)?;
    assert_eq!(x.to_string(), "[ NaN, -inf,   2.]\nf32 [3]");
    assert_eq!(
        Tensor::zeros([0, 2], DType::U8)?.to_string(),
        "[]\nu8 [0, 2]"
    );
    assert_eq!(
        Tensor::zeros([2, 0], DType::U8)?.to_string(),
        "[[],\n []]\nu8 [2, 0]"
    );
    Ok(())
}

#[test]
fn long_tensors_are_abbreviated() -> Result<()> {
    let x = Tensor::arange(1001, DType::I64)?;
    assert_eq!(
        x.to_string(),
        "[   0,    1,    2, ...,  998,  999, 1000]\ni64 [1001]"
    );
    let x = Tensor::arange(3000, DType::I64)?.reshape([1000, 3])?;
    let text = x.to_string();
    assert_eq!(text.lines().count(), 8);
    assert_eq!(text.lines().nth(3), Some(" ...,"));
    assert_eq!(text.lines().nth(4), Some(" [2991, 2992, 2993],"));
    Ok(())
}

#[test]
fn long_rows_are_broken() -> Result<()> {
    let text = Tensor::full([1, 100], 0.5, DType::F32)?.to_string();
    assert!(text.lines().all(|line| line.len() <= 90), "{text}");
    assert_eq!(text.matches("0.5000").count(), 100);
    assert!(
        text.lines()
            .nth(1)
            .is_some_and(|line| line.starts_with("  0.5"))
    );
    Ok(())
}

#[test]
fn debug_tells_shape_and_history() -> Result<()> {
    let x = Tensor::zeros([2, 3], DType::F32)?;
    assert_eq!(format!("{x:?}"), "Tensor(f32 [2, 3])");
    let x = x.requires_grad(true)?;
    assert_eq!(format!("{x:?}"), "Tensor(f32 [2, 3] requires_grad)");
    assert_eq!(format!("{:?}", x.relu()?), "Tensor(f32 [2, 3] recorded)");
    Ok(())
}
