//! Cases of whole networks, built by name, with the weights beside the case file.

use std::path::PathBuf;

use striate::layers::{Loading, VarBuilder, load_state_dict, safetensors, set_training};
use striate::models::{self, Options};
use striate::no_grad;
use striate_testkit::CaseFile;
use striate_testkit::tolerance::model_rtol;

use super::{Computed, tensor};

/// Computes the output, and the relative tolerance that it is held to.
pub(super) fn run(case: &CaseFile) -> Result<(Computed, f64), String> {
    let error = case.config["float32_error"]
        .as_str()
        .and_then(|e| e.parse().ok());
    let error: f64 = error.ok_or("its float32_error is no number")?;
    let input = case
        .tensors
        .get("input")
        .ok_or("it has no tensor `input`")?;
    let forward = || -> striate::Result<_> {
        let (weights, _) = safetensors::load(&weights(case))?;
        let net = models::build(&case.name, &Options::default(), &VarBuilder::zeros())?;
        load_state_dict(&net, &weights, Loading::Strict)?;
        set_training(&net, false);
        no_grad(|| net.forward(&tensor(input)?))
    };
    let output = forward().map_err(|e| e.to_string())?;
    let computed = Computed::from([("output".to_owned(), output)]);
    Ok((computed, model_rtol(error)))
}

/// `NAME.weights.safetensors` beside `NAME.io.safetensors`.
fn weights(case: &CaseFile) -> PathBuf {
    case.path
        .with_file_name(format!("{}.weights.safetensors", case.name))
}
