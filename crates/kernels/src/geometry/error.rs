//! Why a description of a problem is impossible.

/// A rule of an operation's shapes or attributes that the given values break.
///
/// Displays as one sentence: `max_pool2d: padding is [2, 0, 0, 0], but it must be at most half of the kernel`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op}: {field} is {got}, but {rule}")]
pub struct GeometryError {
    /// The operation.
    pub op: &'static str,
    /// The argument that breaks the rule.
    pub field: &'static str,
    /// Its value.
    pub got: String,
    /// The rule, as the end of the sentence "..., but ...".
    pub rule: String,
}

impl GeometryError {
    /// The error of `op` whose `field` has the value `got` and breaks `rule`.
    pub fn new(
        op: &'static str,
        field: &'static str,
        got: impl Into<String>,
        rule: impl Into<String>,
    ) -> Self {
        Self {
            op,
            field,
            got: got.into(),
            rule: rule.into(),
        }
    }
}
