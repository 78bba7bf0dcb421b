//! Which rounding errors are acceptable.

use striate_simd::Level;

/// What a kernel may trade for speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Accuracy {
    /// Also algorithms whose error is bounded by the largest sum of magnitudes in a tile of outputs, and that spread
    /// a NaN or an infinity over that tile: see [`conv2d`](crate::conv2d).
    #[default]
    Fast,
    /// Only algorithms that add up the products of the definition, each output for itself.
    Strict,
}

/// How a kernel computes. A [`Level`] alone stands for that level and [`Accuracy::Fast`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The instructions.
    pub level: Level,
    /// The acceptable rounding errors.
    pub accuracy: Accuracy,
}

impl From<Level> for Policy {
    fn from(level: Level) -> Self {
        Self {
            level,
            accuracy: Accuracy::default(),
        }
    }
}
