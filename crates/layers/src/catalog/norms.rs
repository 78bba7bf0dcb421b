//! Entries of normalisations.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[];
