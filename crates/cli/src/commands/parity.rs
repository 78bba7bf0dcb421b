//! `striate parity`: runs reference cases and tells how near every tensor comes, or which layer of a network departs first.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use striate::layers::{Loading, VarBuilder, load_state_dict, safetensors};
use striate::simd::Level;
use striate::train::checkpoint::load_weights;
use striate_testkit::tolerance::MODULE_RTOL;
use striate_testkit::{CaseFile, find_cases};

use crate::failure::Failure;
use crate::network::{Network, Slots};
use crate::output::{Output, note};
use crate::parity::activations::{LayerCheck, compare_layers};
use crate::parity::{Report, run_case};

/// How many names a note spells out.
const SHOWN: usize = 8;

/// Run reference cases and tell how near every tensor comes to what PyTorch computed, or find the first layer that departs
#[derive(Args, Debug)]
#[command(
    override_usage = "striate parity [OPTIONS] <CASE>...\n       striate parity [OPTIONS] <MODEL> --weights <FILE> --activations <FILE>",
    after_help = "Exit code 1 if a case falls short or cannot be run, or a layer departs.

Activations are safetensors with the tensor `input` and what PyTorch's layers gave for it in evaluation mode, by the paths of the
layers, as golden/models.py --activations writes them.

Examples:
  striate parity golden/
  striate parity golden/cases/ops/op-conv2d-00.safetensors --json
  striate parity golden/ --every-level
  striate parity resnet50 --weights resnet50.pth --activations resnet50.activations.safetensors"
)]
pub(crate) struct Parity {
    /// Case files, or folders of them; with --activations the name of a network
    #[arg(required = true, value_name = "CASE")]
    cases: Vec<PathBuf>,

    /// Run each case at every SIMD level of this machine, not only at the selected one
    #[arg(long, conflicts_with = "activations")]
    every_level: bool,

    #[command(flatten)]
    slots: Slots,

    /// The network's weights: .safetensors, .pt, .pth, .npz, or a checkpoint of a run
    #[arg(long, value_name = "FILE", requires = "activations")]
    weights: Option<PathBuf>,

    /// What the layers of the network must give
    #[arg(long, value_name = "FILE", requires = "weights")]
    activations: Option<PathBuf>,

    /// The error that a layer may have, relative to its output in the 2-norm
    #[arg(long, value_name = "X", default_value_t = MODULE_RTOL, value_parser = tolerance)]
    tolerance: f64,
}

#[derive(Serialize)]
struct Verdict<'a> {
    model: &'a str,
    compared: usize,
    departing: usize,
    /// The first layer that departs.
    first: Option<&'a str>,
    /// Names in the file that no layer here has.
    not_compared: Vec<&'a str>,
}

fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    let number = number.filter(|x| (0.0..1.0).contains(x));
    number.ok_or_else(|| "must be a number from 0 to below 1".to_owned())
}

impl Parity {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        if let (Some(weights), Some(activations)) = (&self.weights, &self.activations) {
            return self.compare_layers(weights, activations, out);
        }
        if self.slots != Slots::default() {
            let message = "--attention and --graft are for a network with --activations";
            return Err(Failure::usage(message));
        }
        let selected = Level::selected().map_err(Failure::usage)?;
        let levels = if self.every_level {
            Level::available()
        } else {
            vec![selected]
        };
        let mut files = Vec::new();
        for path in &self.cases {
            let found = find_cases(path).map_err(Failure::usage)?;
            if found.is_empty() {
                let path = path.display();
                return Err(Failure::usage(format!(
                    "{path}: no case file (*.safetensors) in it"
                )));
            }
            files.extend(found);
        }
        let mut failed = 0;
        for file in &files {
            for &level in &levels {
                let report = report(file, level)?;
                failed += usize::from(!report.pass);
                out.object(&report)?;
                out.text(&report)?;
            }
        }
        let all = files.len() * levels.len();
        if failed > 0 {
            return Err(Failure::work(format!(
                "{failed} of {all} reference cases fall short"
            )));
        }
        note(format!("{all} reference cases pass"));
        Ok(())
    }

    /// Finds the first layer that departs.
    fn compare_layers(
        &self,
        weights: &Path,
        activations: &Path,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let [model] = self.cases.as_slice() else {
            return Err(Failure::usage("--activations are of one network"));
        };
        let network = Network {
            model: model.to_string_lossy().into_owned(),
            slots: self.slots.clone(),
        };
        network.info()?;
        let (reference, _) = safetensors::load(activations)?;
        let within =
            |e: Failure| Failure::work(format!("{}: {}", activations.display(), e.message()));
        let input = reference
            .get("input")
            .ok_or_else(|| within(Failure::work("there is no tensor `input`")))?;
        let [_, channels, _, _] = input
            .dims4()
            .map_err(|e| within(Failure::work(e.at("input"))))?;
        let read = load_weights(weights)?;
        let classes = reference.get("output").and_then(|y| y.shape().get(1));
        let built = network.build(channels, classes.copied(), &VarBuilder::zeros())?;
        load_state_dict(&built, &read.state_dict, Loading::Strict)
            .map_err(|e| Failure::work(format!("{}: {e}", weights.display())))?;
        let checks = compare_layers(&built, input, &reference, self.tolerance).map_err(within)?;
        for check in &checks {
            let LayerCheck {
                layer,
                pass,
                error,
                bound,
            } = check;
            let outcome = if *pass { "ok" } else { "DEPARTS" };
            out.object(check)?;
            out.text(format!(
                "{layer}: {outcome}, error {error:.1e} of {bound:.1e}"
            ))?;
        }
        let compared: Vec<&str> = checks.iter().map(|c| c.layer.as_str()).collect();
        let departing: Vec<&LayerCheck> = checks.iter().filter(|c| !c.pass).collect();
        let names = reference.names().filter(|n| *n != "input");
        let verdict = Verdict {
            model: &network.model,
            compared: compared.len(),
            departing: departing.len(),
            first: departing.first().map(|c| c.layer.as_str()),
            not_compared: names.filter(|n| !compared.contains(n)).collect(),
        };
        if compared.is_empty() {
            let message = "no layer of the network is named";
            return Err(within(Failure::work(message)));
        }
        out.object(&verdict)?;
        if !verdict.not_compared.is_empty() {
            let names = &verdict.not_compared;
            let some = &names[..names.len().min(SHOWN)];
            let more = if some.len() < names.len() {
                ", ..."
            } else {
                ""
            };
            note(format!(
                "{} modules of the file are no layers of their own here: {}{more}",
                names.len(),
                some.join(", ")
            ));
        }
        let all = verdict.compared;
        if let Some(first) = departing.first() {
            return Err(Failure::work(format!(
                "{} is the first layer whose output departs, with error {:.1e} of {:.1e}; {} of {all} do",
                first.layer, first.error, first.bound, verdict.departing
            )));
        }
        note(format!("{all} layers agree"));
        Ok(())
    }
}

/// Runs one case file. A file that cannot be read is a case that fell short, so that the others still run.
fn report(file: &Path, level: Level) -> Result<Report, Failure> {
    match CaseFile::read(file) {
        Ok(case) => Ok(striate::with_level(level, || run_case(&case))?),
        Err(error) => Ok(Report {
            case: file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            pass: false,
            level: level.name(),
            tensor: String::new(),
            error: f64::INFINITY,
            bound: 0.0,
            failure: Some(error.to_string()),
        }),
    }
}
