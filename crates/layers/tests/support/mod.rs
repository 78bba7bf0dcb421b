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

/// Inputs of an example: normal numbers, or regions of interest.
pub(crate) fn inputs(example: &Example, dtype: DType) -> Result<Vec<Tensor>> {
    let mut rng = Philox::new(11);
    let mut input = |(i, &shape): (usize, &&[usize])| {
        if example.is_regions(i) {
            return regions(example.inputs[0], shape[0], &mut rng)?.to_dtype(dtype);
        }
        Tensor::randn(shape, &mut rng)?.to_dtype(dtype)
    };
    example.inputs.iter().enumerate().map(&mut input).collect()
}

/// Regions of images twice as large as their maps, in turn of each image, some across the edges.
fn regions(map: &[usize], count: usize, rng: &mut Philox) -> Result<Tensor> {
    let mut rows = Vec::new();
    for i in 0..count {
        let mut side = |pixels: usize| {
            let size = 2.0 * pixels as f64;
            let start = size * (0.8 * rng.uniform_f64() - 0.1);
            (start, start + size * (0.2 + 0.3 * rng.uniform_f64()))
        };
        let ((y1, y2), (x1, x2)) = (side(map[2]), side(map[3]));
        rows.extend([(i % map[0]) as f64, x1, y1, x2, y2]);
    }
    Tensor::from_vec(rows, [count, 5])
}
