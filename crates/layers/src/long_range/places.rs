//! Maps as lists of places.

use std::sync::Arc;

use striate_tensor::{Result, Tensor};

use crate::probe::{self, ProbeKind};

/// A map `[N, C, ...]` as its places, `[N, P, C]`.
pub(super) fn places(x: &Tensor) -> Result<Tensor> {
    x.flatten(2, x.rank() - 1)?.transpose(1, 2)
}

/// Emits what the place in the middle of `queries` gathers from each place of `keys`, both `[N, C, ...]`, if a
/// recording is on: the other places are as many maps as there are places.
pub(super) fn emit_middle(
    path: &Arc<str>,
    queries: &Tensor,
    keys: &Tensor,
    scale: f64,
) -> Result<()> {
    if !probe::is_recording() {
        return Ok(());
    }
    let queries = places(queries)?;
    let middle = queries.narrow(1, queries.shape()[1] / 2, 1)?;
    let products = middle.matmul(&places(keys)?.transpose(1, 2)?)?;
    let weights = products.mul_scalar(scale)?.softmax(2)?;
    let (n, last) = (keys.shape()[0], keys.shape()[keys.rank() - 1]);
    let rows = keys.shape()[2..keys.rank() - 1].iter().product();
    probe::emit(
        path,
        ProbeKind::SpatialMap,
        &weights.reshape([n, 1, rows, last])?,
    );
    Ok(())
}
