//! Entries of modules over sequences.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[];
