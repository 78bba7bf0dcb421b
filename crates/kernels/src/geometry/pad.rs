//! What lies around an image.

/// What is put around an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PadMode {
    /// Zeros.
    #[default]
    Zeros,
    /// The image mirrored at its outermost pixels, which are not repeated: `c b | a b c | b a`.
    Reflect,
    /// The outermost pixels, repeated.
    Replicate,
}

impl PadMode {
    /// The row or column that stands at `at` along an axis of `len`, which is not empty and, if it is to be reflected,
    /// longer than what is before and behind it; none where there are zeros.
    pub fn source(self, at: isize, len: usize) -> Option<usize> {
        let last = len as isize - 1;
        let inside = match self {
            Self::Zeros if at < 0 || at > last => return None,
            Self::Zeros => at,
            Self::Reflect => last - (last - at.abs()).abs(),
            Self::Replicate => at.clamp(0, last),
        };
        Some(inside as usize)
    }
}
