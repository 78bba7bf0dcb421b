//! Short lists of sizes, kept without an allocation.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// The most dimensions a tensor can have.
pub(crate) const MAX_RANK: usize = 8;

/// Up to [`MAX_RANK`] numbers: the sizes, the strides or the order of dimensions.
#[derive(Clone, Copy)]
pub(crate) struct Dims {
    len: usize,
    all: [usize; MAX_RANK],
}

impl Dims {
    /// `len` times `value`; `None` if that is too many.
    pub(crate) fn filled(len: usize, value: usize) -> Option<Self> {
        (len <= MAX_RANK).then_some(Self {
            len,
            all: [value; MAX_RANK],
        })
    }

    /// A copy; `None` if that is too many.
    pub(crate) fn of(dims: &[usize]) -> Option<Self> {
        let mut copy = Self::filled(dims.len(), 0)?;
        copy.copy_from_slice(dims);
        Some(copy)
    }

    /// The same number of numbers, each computed from its position.
    pub(crate) fn map(&self, f: impl FnMut(usize) -> usize) -> Self {
        let mut mapped = *self;
        let values = (0..self.len).map(f);
        mapped
            .iter_mut()
            .zip(values)
            .for_each(|(to, from)| *to = from);
        mapped
    }
}

impl Deref for Dims {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.all[..self.len]
    }
}

impl DerefMut for Dims {
    fn deref_mut(&mut self) -> &mut [usize] {
        &mut self.all[..self.len]
    }
}

impl PartialEq for Dims {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Dims {}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
