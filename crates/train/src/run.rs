//! The folder of a run.
//!
//! ```text
//! config.json                    how the run was started: all that a resume needs
//! metrics.jsonl                  a line for each epoch
//! curves.svg, confusion.svg      pictures of the metrics
//! weights.safetensors            the final weights, once the run is finished
//! checkpoints/last.safetensors   where a resume continues
//! checkpoints/best.safetensors   the epoch with the best held-out accuracy
//! ```
//!
//! Each file is replaced whole or not at all; a line that could not be written whole is taken back.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::{Error, Result, malformed};
use crate::file;
use crate::history::EpochRecord;
use crate::metrics::ConfusionMatrix;
use crate::plot;

/// The version of `config.json` that is written and read.
pub const CONFIG_VERSION: u32 = 1;

/// `config.json` is smaller.
const MAX_CONFIG: u64 = 16 << 20;

/// What `config.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// [`CONFIG_VERSION`].
    pub version: u32,
    /// What the caller needs to build the same model and data again.
    pub setup: serde_json::Value,
    /// How it is trained.
    pub train: TrainConfig,
    /// The names of the classes, in the order of the model's scores.
    pub classes: Vec<String>,
}

/// Paths and files of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Makes the folder of a new run.
    ///
    /// # Errors
    /// When it holds a run already, or cannot be made.
    pub fn create(root: &Path, config: &RunConfig) -> Result<Self> {
        let run = Self {
            root: root.to_owned(),
        };
        if run.config_path().exists() {
            let e = malformed!("holds a run already: resume it, or choose another folder");
            return Err(Error::malformed(root, e));
        }
        let checkpoints = root.join("checkpoints");
        fs::create_dir_all(&checkpoints).map_err(|e| Error::io("create", &checkpoints, e))?;
        run.write_json(&run.config_path(), config)?;
        Ok(run)
    }

    /// Opens the folder of a run that was started before.
    ///
    /// # Errors
    /// When it holds no run, or its `config.json` is damaged or of another version.
    pub fn open(root: &Path) -> Result<(Self, RunConfig)> {
        let run = Self {
            root: root.to_owned(),
        };
        let path = run.config_path();
        if !path.exists() {
            let e = malformed!("holds no run: there is no config.json in it");
            return Err(Error::malformed(root, e));
        }
        let bytes = file::read(&path, MAX_CONFIG)?;
        let refuse = |e: serde_json::Error| Error::malformed(&path, malformed!("{e}"));
        let any: serde_json::Value = serde_json::from_slice(&bytes).map_err(refuse)?;
        if any["version"] != CONFIG_VERSION {
            let version = &any["version"];
            let e = malformed!("version {version}: this build reads version {CONFIG_VERSION}");
            return Err(Error::malformed(&path, e));
        }
        let config: RunConfig = serde_json::from_value(any).map_err(refuse)?;
        config.train.check()?;
        Ok((run, config))
    }

    /// The first of `parent/name-001`, `parent/name-002`, ... that does not exist.
    ///
    /// # Errors
    /// When there are 999 already.
    pub fn next(parent: &Path, name: &str) -> Result<PathBuf> {
        let mut paths = (1..1000).map(|i| parent.join(format!("{name}-{i:03}")));
        paths.find(|p| !p.exists()).ok_or_else(|| {
            Error::malformed(
                parent,
                malformed!("holds 999 runs named {name}: name this one"),
            )
        })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// `config.json`.
    pub fn config_path(&self) -> PathBuf {
        self.root.join("config.json")
    }

    /// `metrics.jsonl`.
    pub fn metrics_path(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// `weights.safetensors`.
    pub fn weights_path(&self) -> PathBuf {
        self.root.join("weights.safetensors")
    }

    /// `checkpoints/last.safetensors`.
    pub fn last_path(&self) -> PathBuf {
        self.root.join("checkpoints").join("last.safetensors")
    }

    /// `checkpoints/best.safetensors`.
    pub fn best_path(&self) -> PathBuf {
        self.root.join("checkpoints").join("best.safetensors")
    }

    /// Adds a line to `metrics.jsonl`.
    pub(crate) fn append_metrics(&self, record: &EpochRecord) -> Result<()> {
        let path = self.metrics_path();
        append(&path, &line(&path, record)?).map_err(|e| Error::io("write", &path, e))
    }

    /// Makes `metrics.jsonl` hold these lines and no other.
    pub(crate) fn write_metrics(&self, history: &[EpochRecord]) -> Result<()> {
        let path = self.metrics_path();
        let lines = history
            .iter()
            .map(|r| line(&path, r))
            .collect::<Result<Vec<_>>>()?;
        file::write(&path, &lines.concat())
    }

    /// Draws the learning curves.
    pub(crate) fn draw_curves(&self, history: &[EpochRecord]) -> Result<()> {
        let svg = plot::learning_curves(history)?;
        file::write(&self.root.join("curves.svg"), svg.as_bytes())
    }

    /// Draws the confusion matrix.
    pub(crate) fn draw_confusion(&self, matrix: &ConfusionMatrix) -> Result<()> {
        let svg = plot::confusion(matrix)?;
        file::write(&self.root.join("confusion.svg"), svg.as_bytes())
    }

    fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value);
        let text = text.map_err(|e| Error::malformed(path, malformed!("{e}")))?;
        file::write(path, format!("{text}\n").as_bytes())
    }
}

fn line(path: &Path, record: &EpochRecord) -> Result<Vec<u8>> {
    let line = serde_json::to_vec(record);
    let mut line = line.map_err(|e| Error::malformed(path, malformed!("{e}")))?;
    line.push(b'\n');
    Ok(line)
}

/// Appends a line whole, or leaves the file as it was.
fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    file.write_all(line).inspect_err(|_| {
        // The first error is the one to report.
        let _ = file.set_len(length);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RunConfig {
        RunConfig {
            version: CONFIG_VERSION,
            setup: serde_json::json!({ "model": "resnet" }),
            train: TrainConfig::new(0.1),
            classes: vec!["a".to_owned(), "b".to_owned()],
        }
    }

    fn record(epoch: u64) -> EpochRecord {
        EpochRecord {
            epoch,
            step: 7 * epoch,
            learning_rate: 0.1,
            train_loss: 1.0 / 3.0,
            train_accuracy: 0.5,
            test_loss: 0.1 + 0.2,
            test_accuracy: 0.75,
            test_top5: 1.0,
            seconds: 0.5,
            images_per_second: 100.0,
        }
    }

    #[test]
    fn a_run_is_found_again() {
        let parent = tempfile::tempdir().unwrap();
        let root = RunFolder::next(parent.path(), "digits").unwrap();
        assert!(root.ends_with("digits-001"));
        let run = RunFolder::create(&root, &config()).unwrap();
        assert_eq!(RunFolder::open(&root).unwrap(), (run, config()));
        assert!(
            RunFolder::next(parent.path(), "digits")
                .unwrap()
                .ends_with("digits-002")
        );
        let again = RunFolder::create(&root, &config()).unwrap_err().to_string();
        assert!(again.contains("holds a run already"), "{again}");
    }

    #[test]
    fn what_is_no_run_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let message = |root: &Path| RunFolder::open(root).unwrap_err().to_string();
        assert!(message(parent.path()).contains("holds no run"));
        let path = parent.path().join("config.json");
        for (text, part) in [
            ("{\"version\": 9}", "version 9: this build reads version 1"),
            ("{\"version\": 1}", "missing field"),
            ("{\"vers", "EOF"),
            ("[]", "version null"),
        ] {
            fs::write(&path, text).unwrap();
            let message = message(parent.path());
            assert!(
                message.contains("config.json: ") && message.contains(part),
                "{message}"
            );
        }
        let blocked = parent.path().join("config.json").join("run");
        let message = RunFolder::create(&blocked, &config())
            .unwrap_err()
            .to_string();
        assert!(message.starts_with("cannot create "), "{message}");
    }

    #[test]
    fn metrics_are_lines_of_exact_numbers() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunFolder::create(parent.path(), &config()).unwrap();
        run.write_metrics(&[record(1), record(2)]).unwrap();
        run.append_metrics(&record(3)).unwrap();
        let text = fs::read_to_string(run.metrics_path()).unwrap();
        let read: Vec<EpochRecord> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(read, [record(1), record(2), record(3)]);
        run.write_metrics(&read[..1]).unwrap();
        assert_eq!(
            fs::read_to_string(run.metrics_path())
                .unwrap()
                .lines()
                .count(),
            1
        );
    }
}
