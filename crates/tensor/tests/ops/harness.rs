//! How an operation is checked.

use striate_simd::Level;
use striate_tensor::{DType, Error, Result, Tensor, gradcheck, with_level};

use crate::common::layouts;

/// A function of tensors.
pub(crate) trait Op: Fn(&[Tensor]) -> Result<Tensor> {}

impl<F: Fn(&[Tensor]) -> Result<Tensor>> Op for F {}

/// Checks the gradients of an op in F64, with input 0 in every memory order, and value and gradients in F32 on every
/// level, relative to the largest element of each.
pub(crate) fn check(name: &str, f: impl Op, inputs: &[Tensor], tolerance: f64) -> Result<()> {
    for x in layouts(&inputs[0])? {
        let strides = x.strides().to_vec();
        let inputs: Vec<Tensor> = [&[x], &inputs[1..]].concat();
        let place = |error: Error| Error::msg(format!("{name} with strides {strides:?}: {error}"));
        gradcheck(&f, &inputs).map_err(place)?;
        let exact = results(&f, &inputs, DType::F64)?;
        for level in Level::available() {
            let fast = with_level(level, || results(&f, &inputs, DType::F32))?;
            for (which, (fast, exact)) in fast.iter().zip(&exact).enumerate() {
                compare(
                    &format!("{name} with strides {strides:?}, {level}, result {which}"),
                    fast,
                    exact,
                    tolerance,
                );
            }
        }
    }
    Ok(())
}

/// Value, then the gradient of each input.
fn results(f: &impl Op, inputs: &[Tensor], dtype: DType) -> Result<Vec<Vec<f64>>> {
    let leaf = |x: &Tensor| x.to_dtype(dtype)?.requires_grad(true);
    let leaves = inputs.iter().map(leaf).collect::<Result<Vec<_>>>()?;
    let y = f(&leaves)?;
    let weights = crate::common::randn(y.shape(), 99)?.to_dtype(dtype)?;
    let grads = y.backward_with(&weights)?;
    let gradient = |x: &Tensor| match grads.get(x) {
        Some(grad) => Ok(grad.clone()),
        None => Err(Error::msg("an input has no gradient")),
    };
    let mut all = vec![y.detach()];
    all.extend(leaves.iter().map(gradient).collect::<Result<Vec<_>>>()?);
    all.iter()
        .map(|x| x.to_dtype(DType::F64)?.to_vec())
        .collect()
}

fn compare(name: &str, fast: &[f64], exact: &[f64], tolerance: f64) {
    assert_eq!(fast.len(), exact.len(), "{name}");
    let scale = exact.iter().fold(1e-30f64, |m, x| m.max(x.abs()));
    for (i, (fast, exact)) in fast.iter().zip(exact).enumerate() {
        assert!(
            (fast - exact).abs() <= tolerance * scale,
            "{name}, element {i}: {fast}, expected {exact}"
        );
    }
}

/// Checks that something fails and that its error contains every word.
pub(crate) fn fails(outcome: Result<Tensor>, words: &[&str]) {
    let error = match outcome {
        Ok(y) => panic!(
            "gave a tensor of shape {:?}, expected an error with {words:?}",
            y.shape()
        ),
        Err(error) => error.to_string(),
    };
    for word in words {
        assert!(
            error.contains(word),
            "\"{error}\" does not contain \"{word}\""
        );
    }
}

/// F32 numbers in row-major order.
pub(crate) fn f32s(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape).expect("a test's values fill its shape")
}
