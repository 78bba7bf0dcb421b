//! Entries of modules that move the sampling grid as a whole.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[];
