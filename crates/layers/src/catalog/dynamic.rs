//! Entries of convolutions whose weights depend on the input.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[];
