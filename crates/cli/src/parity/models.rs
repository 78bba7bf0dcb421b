//! Cases of whole networks, built by name, with the weights beside the case file.

use std::path::PathBuf;

use striate::kernels::Accuracy;
use striate::layers::{Loading, VarBuilder, load_state_dict, safetensors, set_training};
use striate::models::{self, Options};
use striate::{no_grad, with_accuracy};
use striate_testkit::CaseFile;
use striate_testkit::tolerance::model_rtol;

use super::{Computed, STRICT, tensor};

/// Computes the output with either accuracy, and the relative tolerance that it is held to.
pub(super) fn run(case: &CaseFile) -> Result<(Computed, f64), String> {
    let error = case.config["float32_error"]
        .as_str()
        .and_then(|e| e.parse().ok());
    let error: f64 = error.ok_or("its float32_error is no number")?;
    let input = case
        .tensors
        .get("input")
        .ok_or("it has no tensor `input`")?;
    let outputs = || -> striate::Result<_> {
        let (weights, _) = safetensors::load(&weights(case))?;
        let net = models::build(&case.name, &Options::default(), &VarBuilder::zeros())?;
        load_state_dict(&net, &weights, Loading::Strict)?;
        set_training(&net, false);
        let x = tensor(input)?;
        let forward = || no_grad(|| net.forward(&x));
        let strict = with_accuracy(Accuracy::Strict, forward)?;
        let output = "output".to_owned();
        Ok([
            (format!("{output}{STRICT}"), strict),
            (output, with_accuracy(Accuracy::Fast, forward)?),
        ])
    };
    let outputs = outputs().map_err(|e| e.to_string())?;
    Ok((Computed::from(outputs), model_rtol(error)))
}

/// `NAME.weights.safetensors` beside `NAME.io.safetensors`.
fn weights(case: &CaseFile) -> PathBuf {
    case.path
        .with_file_name(format!("{}.weights.safetensors", case.name))
}
