//! Compares the outputs of a network's layers with reference activations, to find the first that departs.

use std::sync::Arc;

use serde::Serialize;
use striate::Tensor;
use striate::autograd::observe;
use striate::layers::{Module, StateDict, evaluating};
use striate_testkit::compare;

use crate::failure::Failure;

/// What the output of the whole network is called.
const OUTPUT: &str = "output";

/// One layer beside its reference.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LayerCheck {
    /// The layer's path, or `output` for the network.
    pub(crate) layer: String,
    pub(crate) pass: bool,
    /// In the 2-norm; infinite (`null` in JSON) if nothing of the reference's shape came out.
    pub(crate) error: f64,
    pub(crate) bound: f64,
}

/// Runs the network on `input` in evaluation mode, one operation after the other, and compares every layer that the reference names, in
/// the order in which they finish.
pub(crate) fn compare_layers(
    network: &dyn Module,
    input: &Tensor,
    reference: &StateDict,
    rtol: f64,
) -> Result<Vec<LayerCheck>, Failure> {
    // What tracks gradients is not fused.
    let x = input.requires_grad(true)?;
    let (y, observed) = observe(|| evaluating(network, || network.forward(&x)));
    let y = y?;
    let mut layers: Vec<(Arc<str>, Vec<Tensor>)> = Vec::new();
    for seen in observed {
        // A layer stands where it was seen last: behind its parts.
        let at = layers.iter().position(|(path, _)| *path == seen.path);
        let mut results = at.map_or(Vec::new(), |at| layers.remove(at).1);
        results.push(seen.value);
        layers.push((seen.path, results));
    }
    layers.retain(|(path, _)| !path.is_empty());
    layers.push((OUTPUT.into(), vec![y]));
    let mut checks = Vec::new();
    for (path, results) in layers {
        if let Some(expected) = reference.get(&path) {
            checks.push(check(&path, &results, expected, rtol)?);
        }
    }
    Ok(checks)
}

/// Compares whatever the layer computed that comes nearest: an activation may be a part of it here and a layer there.
fn check(
    path: &str,
    results: &[Tensor],
    expected: &Tensor,
    rtol: f64,
) -> Result<LayerCheck, Failure> {
    let values = expected.to_vec::<f32>()?;
    let mut best = LayerCheck {
        layer: path.to_owned(),
        pass: false,
        error: f64::INFINITY,
        bound: 0.0,
    };
    for result in results.iter().filter(|r| r.shape() == expected.shape()) {
        let c = compare(&result.to_vec::<f32>()?, &values, rtol);
        // Not `error >= best.error`: a NaN is not nearer.
        if c.error < best.error {
            (best.error, best.bound) = (c.error, c.bound);
        }
    }
    best.pass = best.error <= best.bound;
    Ok(best)
}
