//! What can go wrong, with the numbers inside.

use striate_kernels::KernelError;
use striate_kernels::geometry::GeometryError;
use striate_simd::{AllocError, LevelError};

use crate::DType;

/// The result of every fallible function here.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed. The text names the operation, every shape involved and the rule.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Shapes do not fit the operation, or each other.
    #[error("{op}: {detail}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The shapes and the rule they break.
        detail: String,
    },
    /// An element type the operation does not take.
    #[error("{op}: got a tensor of {got}, expected {expected}")]
    DType {
        /// The operation.
        op: &'static str,
        /// What was given.
        got: DType,
        /// What it takes.
        expected: String,
    },
    /// A dimension or an index that does not exist.
    #[error("{op}: {detail}")]
    Index {
        /// The operation.
        op: &'static str,
        /// The index and its range.
        detail: String,
    },
    /// Attributes of a convolution, pooling or sampling that make no sense.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// A kernel refused its arguments.
    #[error(transparent)]
    Kernel(KernelError),
    /// A SIMD level this machine does not have.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// Memory could not be had.
    #[error(transparent)]
    Alloc(#[from] AllocError),
    /// Gradients asked for where there are none.
    #[error("{0}")]
    Autograd(String),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Anything else, said in one sentence.
    #[error("{0}")]
    Msg(String),
    /// An error inside a layer, or inside the backward pass of an operation.
    #[error("{path}: {source}")]
    At {
        /// The layer's path, `layer3.1.conv2`.
        path: String,
        /// What went wrong there.
        source: Box<Self>,
    },
}

impl Error {
    /// A shape error of an operation.
    #[must_use]
    pub fn shape(op: &'static str, detail: impl Into<String>) -> Self {
        Self::Shape {
            op,
            detail: detail.into(),
        }
    }

    /// An element type error of an operation.
    #[must_use]
    pub fn dtype(op: &'static str, got: DType, expected: impl Into<String>) -> Self {
        Self::DType {
            op,
            got,
            expected: expected.into(),
        }
    }

    /// An index error of an operation.
    #[must_use]
    pub fn index(op: &'static str, detail: impl Into<String>) -> Self {
        Self::Index {
            op,
            detail: detail.into(),
        }
    }

    /// An error that fits no other variant.
    #[must_use]
    pub fn msg(text: impl Into<String>) -> Self {
        Self::Msg(text.into())
    }

    /// Says where in a model this happened: `layer3.1.conv2: ...`.
    ///
    /// Of nested places, `layer3` around `layer3.1.conv2`, only the innermost is told.
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        match &self {
            Self::At { path: inner, .. } if is_within(inner, path) => self,
            _ if path.is_empty() => self,
            _ => Self::At {
                path: path.to_owned(),
                source: Box::new(self),
            },
        }
    }
}

/// Whether the place `inner` is `path` or below it.
fn is_within(inner: &str, path: &str) -> bool {
    inner
        .strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ':']))
}

impl From<KernelError> for Error {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Geometry(error) => Self::Geometry(error),
            other => Self::Kernel(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_place_is_told() {
        let inside = Error::msg("too small").at("layer1.0.conv");
        let text = |error: Error| error.to_string();
        assert_eq!(
            text(inside.at("layer1.0").at("layer1")),
            "layer1.0.conv: too small"
        );
        let elsewhere = Error::msg("too small").at("layer10");
        assert_eq!(
            text(elsewhere.at("layer1").at("")),
            "layer1: layer10: too small"
        );
    }
}
