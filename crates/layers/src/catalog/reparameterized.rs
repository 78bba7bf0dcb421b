//! Entries of convolutions that train in several parts and fold into one.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[];
