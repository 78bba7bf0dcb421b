//! Entries of modules that relate every place to every other.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[];
