//! Entries of blocks of well-known networks.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[];
