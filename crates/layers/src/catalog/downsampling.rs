//! Entries of down-sampling without aliases.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[];
