//! Entries of convolutions with less arithmetic.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[];
