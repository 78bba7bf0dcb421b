//! What can go wrong, each as one line that names the file, the field or the layer.

use std::io;
use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Contents that are not what their format says; the caller adds the path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) String);

/// Everything that loading data, training or saving can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb: `read`, `write`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file's contents are damaged or of another format.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        source: Malformed,
    },
    /// A setting has a value that cannot work.
    #[error("{field}: {detail}")]
    Config {
        /// The setting's name.
        field: &'static str,
        /// The value, and the rule it breaks.
        detail: String,
    },
    /// A sample number beyond the end of a data set.
    #[error("sample {index} of a data set of {len}")]
    Index {
        /// The number asked for.
        index: usize,
        /// How many there are.
        len: usize,
    },
    /// A computation failed.
    #[error(transparent)]
    Tensor(#[from] striate_tensor::Error),
    /// The loss is no longer a finite number.
    #[error(
        "the loss is {loss} at step {step}: a lower learning rate or clipped gradients may help"
    )]
    Diverged {
        /// The step, counted from 1.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// Two parts that must agree do not.
    #[error("{0}")]
    Mismatch(String),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn malformed(path: &Path, source: Malformed) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn config(field: &'static str, detail: impl Into<String>) -> Self {
        Self::Config {
            field,
            detail: detail.into(),
        }
    }
}

/// A [`Malformed`] from a format string.
macro_rules! malformed {
    ($($arg:tt)*) => { $crate::error::Malformed(format!($($arg)*)) };
}
pub(crate) use malformed;
