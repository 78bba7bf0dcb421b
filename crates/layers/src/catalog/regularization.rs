//! Entries of what drops parts of a map in training.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[];
