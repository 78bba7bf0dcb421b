//! What the tests of the catalogue share.

use striate_layers::catalog::{Catalogued, Entry, Example};
use striate_layers::{VarBuilder, set_training};
use striate_tensor::{DType, Philox, Result, Tensor};

/// The module of an example, in the example's mode.
pub(crate) fn build(
    entry: &Entry,
    example: &Example,
    vb: &VarBuilder,
) -> Result<Box<dyn Catalogued>> {
    let module = entry.build_str(example.config, vb)?;
    set_training(&module, example.training);
    Ok(module)
}

/// Inputs of an example: normal numbers.
pub(crate) fn inputs(example: &Example, dtype: DType) -> Result<Vec<Tensor>> {
    let mut rng = Philox::new(11);
    example
        .inputs
        .iter()
        .map(|&shape| Tensor::randn(shape, &mut rng)?.to_dtype(dtype))
        .collect()
}
