//! Numbers for tests of single modules.

use striate_layers::{Layer, VarBuilder, named_parameters};
use striate_tensor::{Error, Philox, Result, Tensor};

pub(crate) fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

pub(crate) fn randn(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(shape, &mut Philox::new(8))
}

/// Compares to the precision of f32.
pub(crate) fn close(got: &Tensor, expected: &[f32], place: &str) -> Result<()> {
    let got = got.to_vec::<f32>()?;
    assert_eq!(got.len(), expected.len(), "{place}");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!(
            (g - e).abs() <= 2e-6 * (1.0 + e.abs()),
            "{place}: element {i} is {g}, not {e}"
        );
    }
    Ok(())
}

/// Sets every parameter by name.
pub(crate) fn load(layer: &dyn Layer, tensors: &[(&str, &[f32])]) -> Result<()> {
    for (name, p) in named_parameters(layer) {
        let (_, values) = tensors
            .iter()
            .find(|t| t.0 == name)
            .ok_or_else(|| Error::msg(name))?;
        p.set(&Tensor::from_slice(values, p.shape())?)?;
    }
    Ok(())
}
