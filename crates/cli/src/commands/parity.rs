//! `striate parity`: runs reference cases and tells how near every tensor comes.

use std::path::{Path, PathBuf};

use clap::Args;
use striate::simd::Level;
use striate_testkit::{CaseFile, find_cases};

use crate::failure::Failure;
use crate::output::{Output, note};
use crate::parity::{Report, run_case};

/// Run reference cases and tell how near every tensor comes to what PyTorch computed
#[derive(Args, Debug)]
#[command(after_help = "Exit code 1 if a case falls short or cannot be run.

Examples:
  striate parity golden/
  striate parity golden/cases/ops/op-conv2d-00.safetensors --json
  striate parity golden/ --every-level")]
pub(crate) struct Parity {
    /// Case files, or folders of them
    #[arg(required = true, value_name = "CASE")]
    cases: Vec<PathBuf>,

    /// Run each case at every SIMD level of this machine, not only at the selected one
    #[arg(long)]
    every_level: bool,
}

impl Parity {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
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
